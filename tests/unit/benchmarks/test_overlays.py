"""The photos that the benchmark prints on, and its measure."""

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from benchmarks.overlays import KINDS, rotation_errors, write_photos
from benchmarks.truth import Truth
from nrw.photos.borders import find_strips


def test_rotation_errors_are_those_of_the_cameras_not_of_the_world():
    true = Rotation.random(7, random_state=1)
    world = Rotation.from_euler("xyz", [20, 50, -30], degrees=True)
    errors = np.array([0, 0.1, 0, 0.1, 0, 40, 90.0])
    off = Rotation.from_rotvec(np.radians(errors)[:, None] * [0, 0, 1])
    found = rotation_errors(list((off * true * world).as_matrix()), list(true.as_matrix()))
    assert found == pytest.approx(errors, abs=0.1)


@pytest.mark.parametrize(("kind", "files", "edges"), [("caption", 14, 1), ("frame", 14, 4), ("watermark", 14, 0)])
def test_photos_of_several_shapes_are_printed_on(kind, files, edges, tmp_path):
    write_photos(KINDS[kind], Truth(), 320, tmp_path)
    photos = sorted(tmp_path.rglob("*.jpg"))
    pictures = [np.asarray(Image.open(photo)) for photo in photos]
    assert len(photos) == files and len({picture.shape for picture in pictures}) == 5
    assert all(len(find_strips(picture)) == edges for picture in pictures)


def test_other_places_and_lights_come_beside_the_photos(tmp_path):
    write_photos(KINDS["two places, clean"], Truth(), 100, tmp_path / "places")
    write_photos(KINDS["tripod, clean"], Truth(), 100, tmp_path / "tripod")
    assert len(list((tmp_path / "places").rglob("*.jpg"))) == len(list((tmp_path / "tripod").rglob("*.jpg"))) == 19
    assert {Image.open(photo).size for photo in (tmp_path / "tripod").glob("tripod-*")} == {(75, 100)}
