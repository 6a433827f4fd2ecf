"""The benchmark against the demo's truth measures what it says, on the truth itself."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks import truth as module
from benchmarks.ground_truth import Compared, depth_errors, flickers
from benchmarks.truth import Similarity, Truth, align, lift, look_up, resample, views_of_pixels
from nrw.cameras import Camera


@pytest.fixture(scope="module")
def truth():
    return Truth()


def test_align_recovers_a_similarity_despite_a_wrong_camera(truth):
    true = {name: truth.camera(entry) for name, entry in truth.photos.items()}
    world = Similarity(3.0, Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix(), np.array([5.0, -2, 9]))
    scene = {name: world.camera_to_scene(camera) for name, camera in true.items()}
    strayed = next(iter(scene))
    scene[strayed] = replace(scene[strayed], cam_from_world=scene[strayed].cam_from_world + 4)
    found = align(scene, true, 0.02 * truth.size)
    assert found.scale == pytest.approx(3)
    np.testing.assert_allclose(found.rotation, world.rotation, atol=1e-9)
    np.testing.assert_allclose(found.translation, world.translation, atol=1e-6)
    for name in list(true)[1:]:
        np.testing.assert_allclose(
            found.camera_to_truth(scene[name]).cam_from_world, true[name].cam_from_world, atol=1e-6
        )


def test_resample_shows_the_same_rays():
    """A picture of a linear function of the ray direction stays that function at another focal length and size."""
    source = Camera(120, 90, 100, 100, 60, 45, np.eye(3, 4))
    target = Camera(70, 50, 80, 80, 36, 24, np.eye(3, 4))

    def picture(camera):
        x = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
        return np.broadcast_to((128 + 150 * x)[None, :, None], (camera.height, camera.width, 3))

    found, inside = resample(np.rint(picture(source)).astype(np.uint8), source, target)
    assert found.shape == (50, 70, 3) and inside.mean() > 0.9
    assert np.abs(found - picture(target))[inside].max() <= 1


def test_true_depth_has_no_error_and_a_scaled_one_has_its_scale(truth):
    entry = next(iter(truth.photos.values()))
    depth = truth.depth(entry)
    camera = truth.camera(entry).resized(*depth.shape[::-1])
    error, shown = depth_errors(depth, camera, depth / 2, camera, 2.0)
    assert shown.dtype == bool and shown.all()
    np.testing.assert_allclose(error[depth > 0], 0, atol=1e-6)
    assert np.isnan(error[depth == 0]).all()
    error, _ = depth_errors(depth, camera, depth, camera, 1.03)
    np.testing.assert_allclose(error[depth > 0], 0.03, rtol=1e-4)


def test_views_of_pixels_counts_photos_that_see_a_surface(truth):
    name, entry = next(iter(truth.photos.items()))
    depth = truth.depth(entry)
    camera = truth.camera(entry).resized(*depth.shape[::-1])
    away = replace(camera, cam_from_world=np.diag([-1.0, 1, -1]) @ camera.cam_from_world)
    others = {
        name: (camera, depth),
        "same": (camera, depth),
        "hidden": (camera, np.full_like(depth, 0.05)),
        "away": (away, depth),
    }
    count = views_of_pixels(truth, name, others)
    assert set(np.unique(count[depth > 0])) == {2} and (count[depth == 0] == 0).all()


def test_lifted_pixels_project_to_their_centres(truth):
    entry = truth.flythrough["frames"][7]
    depth = truth.depth(entry)
    camera = truth.camera(entry).resized(*depth.shape[::-1])
    uv, z = camera.project(lift(depth, camera).reshape(-1, 3))
    solid = depth.ravel() > 0
    np.testing.assert_allclose(z[solid], depth.ravel()[solid], rtol=1e-5)
    np.testing.assert_array_equal(look_up(depth, uv)[solid], depth.ravel()[solid])


def test_flicker_sees_a_blinking_picture(truth, monkeypatch):
    monkeypatch.setitem(truth.flythrough, "frames", truth.flythrough["frames"][:4])
    frames = []
    for number, entry in enumerate(truth.flythrough["frames"]):
        true = truth.picture(entry["files"]["noon"])
        blinking = np.clip(true.astype(int) + 20 * (number % 2), 0, 255).astype(np.uint8)
        still = np.full_like(true, 90)
        frames.append(Compared("", "", true, still, blinking))
    of_true, of_still, of_blinking = flickers(truth, frames)
    assert of_still == pytest.approx(0, abs=1e-6)
    assert 0.002 < of_true < 0.05
    assert of_blinking > of_true + 0.03


def test_kinds_share_no_label():
    assert not module.KINDS["building"] & module.KINDS["ground"]
    assert not module.TRANSIENT & (module.KINDS["building"] | module.KINDS["ground"])
