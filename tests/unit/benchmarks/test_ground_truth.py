"""The benchmark against the demo's truth measures what it says, on the truth itself."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks import truth as module
from benchmarks.demo_truth import DemoTruth, widely_seen
from benchmarks.ground_truth import Compared, flickers
from benchmarks.truth import Similarity, Truth, align, lift, look_up, resample
from nrw.core.io import write_csv
from nrw.geometry.cameras import Camera


@pytest.fixture(scope="module")
def truth():
    return Truth()


@pytest.fixture(scope="module")
def views(truth, tmp_path_factory):
    """The truth on the pixels of two photos' own cameras."""
    names = list(truth.photos)[:2]
    table = tmp_path_factory.mktemp("photos") / "photos.csv"
    write_csv(table, [{"id": str(number), "file": name} for number, name in enumerate(names)], ("id", "file"))
    demo = DemoTruth(table)
    return {str(number): demo.view(str(number), truth.camera(truth.photos[name])) for number, name in enumerate(names)}


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


def test_true_depth_has_no_error_and_a_scaled_one_has_its_scale(truth, views):
    view = next(iter(views.values()))
    known = view.smooth
    assert known.mean() > 0.3
    np.testing.assert_allclose(view.error(view.depth)[known], 0, atol=1e-6)
    np.testing.assert_allclose(view.error(1.03 * view.depth)[known], 0.03, rtol=1e-4)


def test_widely_seen_surfaces_are_seen_by_that_many(views):
    photo, view = next(iter(views.items()))
    away = replace(
        view, camera=replace(view.camera, cam_from_world=np.diag([-1.0, 1, -1]) @ view.camera.cam_from_world)
    )
    hidden = replace(view, depth=np.full_like(view.depth, 0.05), around=np.full_like(view.around, 0.05))
    scene = {photo: view, "same": view, "away": away, "hidden": hidden}
    assert not widely_seen(scene, photo, least=3).any()
    twice = widely_seen(scene, photo, least=2)
    assert twice.sum() > 1000 and (view.depth[twice] > 0).all()
    assert not view.has(module.TRANSIENT)[twice].any()


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
        frames.append(Compared("", "", true, {"still": still, "blinking": blinking}))
    change = flickers(truth, frames)
    assert change["still"] == pytest.approx(0, abs=1e-6)
    assert 0.002 < change["true"] < 0.05
    assert change["blinking"] > change["true"] + 0.03


def test_kinds_share_no_label():
    assert not module.KINDS["building"] & module.KINDS["ground"]
    assert not module.TRANSIENT & (module.KINDS["building"] | module.KINDS["ground"])
