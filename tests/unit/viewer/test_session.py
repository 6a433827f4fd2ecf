"""The viewer without a browser: what is drawn and what is saved. tests/browser/test_viewer.py has the rest."""

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_scene import BUILDING, HEIGHT, SKY, WIDTH, frames_of, run

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import read_image, read_json
from nrw.dataset.packed import PackedDataset
from nrw.geometry import cameras
from nrw.scene import editing
from nrw.scene.files import SceneFiles
from nrw.videos import camera_paths
from nrw.viewer.session import Look, Session, Viewpoint, depth_picture, thinned

ASPECT = WIDTH / HEIGHT


@pytest.fixture(scope="module")
def scene(tower):
    return tower


@pytest.fixture
def opened(scene):
    return open_session(scene)


def open_session(scene, edit=None):
    files = SceneFiles(scene)
    return Session(files, *files.open_views("cpu"), edit)


def test_a_viewpoint_is_the_camera_it_was_made_from(scene):
    camera = PackedDataset(scene / "dataset").view("0002").camera
    same = Viewpoint.of(camera, ASPECT).camera(WIDTH)
    assert (same.width, same.height) == (WIDTH, HEIGHT)
    np.testing.assert_allclose(same.cam_from_world, camera.cam_from_world, atol=1e-9)
    np.testing.assert_allclose(
        [same.fx, same.fy, same.cx, same.cy], [camera.fx, camera.fy, camera.cx, camera.cy], rtol=1e-4
    )


def test_pixels_fill_a_screen_of_any_shape_with_what_it_shows(scene):
    """Sides are rounded to multiples of 8, the fields of view are the screen's."""
    for aspect in (390 / 844, 1440 / 900, 3.1):
        viewpoint = Viewpoint((0, 0, 0), (1, 0, 0, 0), 0.8, aspect)
        camera = viewpoint.camera(256)
        assert camera.width % 8 == camera.height % 8 == 0 and max(camera.width, camera.height) == 256
        assert camera.height / camera.fy / 2 == pytest.approx(np.tan(0.4))
        assert camera.width / camera.fx / 2 == pytest.approx(np.tan(0.4) * aspect)


def test_the_pictures_are_those_of_the_model(opened, scene):
    viewpoint, _ = opened.place("0002", ASPECT)
    look = Look("picture", ("0000", "0005"), 0.25)
    z = 0.75 * opened.code("0000") + 0.25 * opened.code("0005")
    seen = opened.views.see(viewpoint.camera(WIDTH))
    picture, raw = opened.views.draw(seen, z, skies=look.weights), opened.views.raw(seen)
    np.testing.assert_array_equal(opened.draw(viewpoint, look, WIDTH), picture)
    np.testing.assert_array_equal(opened.draw(viewpoint, replace(look, mode="colour"), WIDTH), raw)
    labels = opened.draw(viewpoint, replace(look, mode="labels"), WIDTH)
    assert {tuple(color) for color in labels.reshape(-1, 3)} <= {
        tuple(ade20k.colorize(np.array([label]))[0]) for label in (BUILDING, SKY)
    }
    depth = opened.draw(viewpoint, replace(look, mode="depth"), WIDTH)
    assert ((depth == 0).all(axis=-1) == (raw == 0).all(axis=-1)).mean() > 0.99
    other = opened.draw(viewpoint, replace(look, photos=("0003", "0005")), WIDTH)
    assert not np.array_equal(other, picture)


def test_a_moving_camera_sees_the_coarser_scene_and_a_resting_one_the_fine(opened):
    viewpoint, _ = opened.place("0002", ASPECT)
    look = Look("picture", ("0000", "0005"), 0.25)
    moving = opened.draw(viewpoint, look, WIDTH, fine=False)
    assert opened.coarse is not opened.views and opened.coarse.sources is None
    seen, z = opened.coarse.see(viewpoint.camera(WIDTH)), 0.75 * opened.code("0000") + 0.25 * opened.code("0005")
    np.testing.assert_array_equal(moving, opened.coarse.draw(seen, z, skies=look.weights))
    fine = opened.draw(viewpoint, look, WIDTH)
    np.testing.assert_array_equal(fine, open_session(opened.files.root).draw(viewpoint, look, WIDTH))


def test_depth_is_bright_where_it_is_near():
    depth = np.float32([[0, 0.5, 1, 2]])
    assert depth_picture(depth, near=1.0)[0, :, 0].tolist() == [0, 255, 255, 127]


def test_points_for_the_browser_are_drawn_at_random_and_always_the_same():
    chosen = thinned(10_000, 100)
    assert len(set(chosen)) == 100 and (np.diff(chosen) > 0).all() and np.array_equal(chosen, thinned(10_000, 100))
    assert thinned(5, 100).tolist() == [0, 1, 2, 3, 4]


def test_the_start_is_a_photo_that_shows_the_cloud_beside_one_of_another_light(opened):
    look = opened.start()
    assert look.mode == "picture" and look.blend == 0 and look.weights == {look.photos[0]: 1.0}
    brightness = {photo_id: opened.dataset.view(photo_id).pixels.mean() for photo_id in opened.ids}
    first, second = look.photos
    assert abs(brightness[second] - brightness[first]) == max(
        abs(value - brightness[first]) for value in brightness.values()
    )
    assert opened.thumbnail(first, 96).size == (96, 72)


def test_a_blend_weighs_two_photos():
    assert Look("picture", ("a", "b"), 0.25).weights == {"a": 0.75, "b": 0.25}
    assert Look("picture", ("a", "b"), 1.0).weights == {"b": 1.0}
    assert Look("picture", ("a", "a"), 0.5).weights == {"a": 1.0}


def test_an_edit_of_the_labels_reaches_picture_and_labels(scene, opened):
    edit = editing.table({"building": "sky"}, opened.dataset.meta)
    edited = open_session(scene, edit)
    viewpoint, _ = opened.place("0002", ASPECT)
    look = Look("labels", ("0000", "0000"), 0.0)
    assert (edited.draw(viewpoint, look, WIDTH) == ade20k.colorize(np.array([SKY]))[0]).all()
    look = replace(look, mode="picture")
    labels = np.full((HEIGHT // 2, WIDTH // 2), SKY, np.uint8)  # of the networks' size
    expected = opened.views.draw(
        opened.views.see(viewpoint.camera(WIDTH), labels), opened.code("0000"), skies={"0000": 1.0}
    )
    np.testing.assert_array_equal(edited.draw(viewpoint, look, WIDTH), expected)


def test_a_scene_without_labels_offers_none(scene):
    files = SceneFiles(scene)
    views, dataset = files.open_views("cpu")
    views.model.completion = None
    assert Session(files, views, dataset).modes == ("picture", "colour", "depth")


def test_snapshots_are_numbered_and_kept(opened, scene):
    viewpoint, _ = opened.place("0001", ASPECT)
    look = Look("picture", ("0000", "0005"), 0.0)
    first, second = (opened.snapshot(viewpoint, look, size) for size in (WIDTH, 2 * WIDTH))
    assert (first.name, second.name) == ("0001.png", "0002.png") and first.parent == scene / "snapshots"
    np.testing.assert_array_equal(read_image(first), opened.draw(viewpoint, look, WIDTH))
    assert read_image(second).shape == (2 * HEIGHT, 2 * WIDTH, 3)


def test_key_frames_become_a_path_that_nrw_video_films(opened, scene, tmp_path):
    with pytest.raises(UserError, match="at least 2 key frames; 0 recorded"):
        opened.save_path("walk", 64)
    for photo_id, weights, seconds in (("0000", {"0000": 1.0}, 9.0), ("0004", {"0000": 0.5, "0005": 0.5}, 0.5)):
        opened.add_keyframe(opened.place(photo_id, ASPECT)[0], weights, seconds)
    for name in ("", "../walk", "a b"):
        with pytest.raises(UserError, match="letters, digits"):
            opened.save_path(name, 64)
    path = opened.save_path("walk", 64)
    assert path == scene / "paths" / "walk.json"
    assert shlex.split(opened.video_command(Path("my place/walk.json"))) == [
        "nrw", "video", str(scene), "my place/walk.json", "my place/walk.mp4",
    ]  # fmt: skip
    document = read_json(path)
    assert [entry["time"] for entry in document["keyframes"]] == [0.0, 0.5]
    assert document["keyframes"][1]["appearance"] == {"0000": 0.5, "0005": 0.5}
    read = camera_paths.read_path(path)
    assert len(read.cameras) == 13 and (read.cameras[0].width, read.cameras[0].height) == (64, 32)
    place = opened.dataset.view("0004").camera
    np.testing.assert_allclose(read.cameras[-1].cam_from_world, place.cam_from_world, atol=1e-9)
    same = cameras.fitted(place, 64, 32)
    assert read.cameras[-1].fx == pytest.approx(same.fx, rel=0.01)
    run("video", scene, path, tmp_path / "walk.mp4")
    assert frames_of(tmp_path / "walk.mp4") == (13, (64, 32))
