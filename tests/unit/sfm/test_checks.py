"""Checks that do not rest on the reconstruction's own word."""

import numpy as np
import pycolmap
import pytest
from corner_scene import FOCAL, run_reconstruct

from nrw.sfm.checks import SPOT, _one_spot, checks_of
from nrw.sfm.database import usable_photos


@pytest.fixture(scope="module")
def reconstructed(scene, tmp_path_factory):
    """The folder of a right model of photos 0-5 of the corner, two of them with a focal length from EXIF."""
    out = tmp_path_factory.mktemp("checks")
    run_reconstruct(scene, scene / "database.db", out)
    return out


def checks(scene, out, model=None, photos=None):
    model = model or pycolmap.Reconstruction(out / "sparse")
    return checks_of(model, scene / "database.db", photos or usable_photos(scene / "photos.csv"))


def test_a_right_model_passes_and_is_summed_up(scene, reconstructed):
    found = checks(scene, reconstructed)
    assert found["pairs"] >= 5 and found["stationary"] == 0
    assert (found["exif"], found["exif_off"], found["implausible"], found["one_spot"]) == (2, 0, 0, 0)
    assert set(found["errors"]) == {"2", "3", "4 or more"} and 0 < found["errors"]["4 or more"] < 1


def test_focal_lengths_against_exif_and_against_lenses(scene, reconstructed):
    photos = usable_photos(scene / "photos.csv")
    photos["0001"] = photos["0001"] | {"focal_px": str(0.7 * FOCAL)}
    assert checks(scene, reconstructed, photos=photos)["exif_off"] == 0.5
    model = pycolmap.Reconstruction(reconstructed / "sparse")
    cameras = [image.camera for image in sorted(model.images.values(), key=lambda image: image.name) if image.has_pose]
    cameras[2].params = [*cameras[2].params[:3], 0.9]
    cameras[3].params = [20 * FOCAL, *cameras[3].params[1:]]
    assert checks(scene, reconstructed, model)["implausible"] == pytest.approx(2 / 6, abs=1e-3)


def test_matches_of_print_are_counted(scene, reconstructed, monkeypatch):
    seen = []

    def half_printed(a, b, matches):
        seen.append(len(matches))
        return np.full(len(matches), len(seen) % 2 == 0)

    monkeypatch.setattr("nrw.sfm.checks.printed_matches", half_printed)
    found = checks(scene, reconstructed)
    assert found["pairs"] == len(seen) and min(seen) >= 15
    assert found["stationary"] == pytest.approx(len(seen) // 2 / len(seen), abs=1e-3)


def test_cameras_in_one_spot():
    apart = np.arange(8)[:, None] * np.array([1.0, 0, 0])
    assert _one_spot(apart) == 0
    together = np.where(np.arange(8)[:, None] < 4, apart * SPOT / 8, apart)
    assert _one_spot(together) == 3 / 8
