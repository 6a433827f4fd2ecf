"""One scene for all tests of structure from motion, which only read it."""

import pytest
from corner_scene import FOCAL, HEIGHT, MATCH, WIDTH, corner_photo, match, noise_photo, viewpoints, write_photos
from PIL import Image

from nrw.sfm.features import extract_features


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    """Photos 0-5 of one corner, 6-9 of another, 10 a blank one, 11-13 noise; matched exhaustively."""
    folder = tmp_path_factory.mktemp("scene")
    photos = [corner_photo(*view, seed=1) for view in viewpoints(6)]
    photos += [corner_photo(*view, seed=2) for view in viewpoints(4)]
    photos.append(Image.new("RGB", (WIDTH, HEIGHT), "gray"))
    photos += [noise_photo(seed) for seed in range(3)]
    write_photos(folder, photos, {0: FOCAL, 1: FOCAL})
    extract_features(
        folder / "images", folder / "photos.csv", folder / "features.db", max_size=320, max_features=600, threads=2
    )
    match(folder / "features.db", folder / "database.db", **MATCH)
    return folder
