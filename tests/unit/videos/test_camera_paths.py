import json

import numpy as np
import pytest

from nrw.core.errors import UserError
from nrw.geometry.cameras import Camera, fitted, look_at
from nrw.videos.camera_paths import CameraPath, joint, read_path, smoothstep, write_path


def camera_at(position, target=(0, 0, 0), width=320, height=240, focal=300.0):
    pose = look_at(np.array(position, dtype=float), np.array(target, dtype=float))
    return Camera(width, height, focal, focal, width / 2, height / 2, pose)


def test_joint_begins_and_ends_at_the_two_views_and_turns_on_the_great_circle():
    a, b = camera_at([1, 0, 0], focal=200), camera_at([0, 1, 0], focal=800)
    path = joint(a, b, 11, ease=False)
    assert np.allclose(path[0].cam_from_world, a.cam_from_world)
    assert np.allclose(path[-1].cam_from_world, b.cam_from_world)
    assert path[5].fx == pytest.approx(400)  # the geometric mean
    assert np.allclose(path[5].center, [0.5, 0.5, 0])
    assert np.allclose(path[5].rotation[2], -np.array([1, 1, 0]) / np.sqrt(2))


def test_joint_of_views_of_different_shape_has_one_size_in_multiples_of_8():
    path = joint(camera_at([1, 0, 0], width=317, height=203), camera_at([0, 1, 0], width=203, height=500), 5)
    assert {(c.width, c.height) for c in path} == {(320, 200)}


def test_fitted_keeps_the_diagonal_field_of_view():
    camera = fitted(camera_at([1, 0, 0], width=300, height=400, focal=500), 800, 600)
    assert (camera.fx, camera.cx, camera.cy) == pytest.approx((1000, 400, 300))


def test_smoothstep_starts_and_stops_at_rest():
    t = smoothstep(1001)
    assert (t[0], t[500], t[-1]) == pytest.approx((0, 0.5, 1))
    assert max(t[1], 1 - t[-2]) < 1e-8


def test_path_file_round_trip(tmp_path):
    cameras = joint(camera_at([1, 0, 0]), camera_at([0, 1, 0.2]), 3)
    path = CameraPath(24.0, cameras, [{"0001": 1.0}, {"0001": 0.25, "0002": 0.75}, None])
    write_path(tmp_path / "path.json", path)
    again = read_path(tmp_path / "path.json")
    assert again.fps == 24 and again.appearances == path.appearances
    for before, after in zip(cameras, again.cameras, strict=True):
        assert np.array_equal(before.cam_from_world, after.cam_from_world)
        assert (before.K == after.K).all() and (before.width, before.height) == (after.width, after.height)


def entry(camera, **more):
    pose = camera.cam_from_world.tolist()
    return {"cam_from_world": pose, "fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy, **more}


def document(**changes):
    frame = entry(camera_at([1, 0, 0]), appearance="0003")
    return {"fps": 10, "width": 320, "height": 240, "frames": [frame]} | changes


def test_keyframes_become_frames(tmp_path):
    a, b = camera_at([1, 0, 0]), camera_at([0, 1, 0])
    keys = [
        entry(a, time=0, appearance="0001"),
        entry(b, time=1, appearance="0002"),
        entry(a, time=3, appearance="0001"),
    ]
    written = document(keyframes=keys)
    del written["frames"]
    (tmp_path / "path.json").write_text(json.dumps(written))
    path = read_path(tmp_path / "path.json")
    assert len(path.cameras) == len(path.appearances) == 31
    assert np.allclose(path.cameras[10].center, [0, 1, 0])
    assert path.appearances[0] == {"0001": 1.0} and path.appearances[10] == {"0002": 1.0}
    assert path.appearances[5] == pytest.approx({"0001": 0.5, "0002": 0.5})
    assert np.allclose(path.cameras[-1].cam_from_world, a.cam_from_world)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": "fast"}, "fps is 'fast'"),
        ({"fps": 0}, "fps must be positive"),
        ({"width": 321}, "multiples of 8"),
        ({"frames": []}, "not empty"),
        ({"frames": [3]}, r"frames\[0\]: an object"),
        ({"frames": [entry(camera_at([1, 0, 0])) | {"fx": None}]}, r"frames\[0\]: fx is None"),
        ({"frames": [entry(camera_at([1, 0, 0])) | {"fx": -5}]}, "focal lengths must be positive"),
        ({"frames": [entry(camera_at([1, 0, 0])) | {"cam_from_world": [[1, 2], [3]]}]}, "3 rows of 4 numbers"),
        ({"frames": [entry(camera_at([1, 0, 0])) | {"cam_from_world": [[2, 0, 0, 0]] * 3}]}, "not a rotation"),
        ({"frames": [entry(camera_at([1, 0, 0]), appearance={"1": -1.0, "2": 2.0})]}, "must not be negative"),
        ({"frames": [entry(camera_at([1, 0, 0]), appearance=7)]}, "id of a photo"),
        ({"keyframes": [entry(camera_at([1, 0, 0]), time=0)]}, "exactly one list"),
        ({"frame": []}, r"path\.json: there is no field 'frame'\. Did you mean 'frames'\?"),
        ({"frames": [entry(camera_at([1, 0, 0]), appearances="0003")]}, r"frames\[0\]: .*Did you mean 'appearance'\?"),
        ({"frames": [entry(camera_at([1, 0, 0]), time=0)]}, r"no field 'time'.* The fields: cam_from_world, fx"),
    ],
)
def test_a_bad_path_file_is_a_user_error_that_says_where(tmp_path, changes, message):
    (tmp_path / "path.json").write_text(json.dumps(document(**changes)))
    with pytest.raises(UserError, match=message):
        read_path(tmp_path / "path.json")


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    (tmp_path / "path.json").write_text(json.dumps(document()), encoding="utf-8-sig")
    assert read_path(tmp_path / "path.json").appearances == [{"0003": 1.0}]


def test_a_missing_or_broken_path_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_path(tmp_path / "none.json")
    with pytest.raises(UserError, match=f"{tmp_path.name} is a folder: name the JSON file"):
        read_path(tmp_path)
    (tmp_path / "path.json").write_text("{")
    with pytest.raises(UserError, match=r"pathe.json does not exist\. Did you mean '.*path.json'"):
        read_path(tmp_path / "pathe.json")
    with pytest.raises(UserError, match="not JSON"):
        read_path(tmp_path / "path.json")
