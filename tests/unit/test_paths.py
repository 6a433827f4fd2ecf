import json
from itertools import pairwise

import numpy as np
import pytest

from nrw.cameras import Camera
from nrw.errors import UserError
from nrw.paths import CameraPath, fitted, flythrough, joint, look_at, read_path, smoothstep, write_path


def camera_at(position, target=(0, 0, 0), width=320, height=240, focal=300.0):
    pose = look_at(np.array(position, dtype=float), np.array(target, dtype=float))
    return Camera(width, height, focal, focal, width / 2, height / 2, pose)


def box_surface(rng, n, low, high):
    """(n, 3) points on the faces of an axis-aligned box."""
    points = rng.uniform(low, high, (n, 3))
    axis, side = rng.integers(0, 3, n), rng.integers(0, 2, n)
    points[np.arange(n), axis] = np.where(side, np.array(high)[axis], np.array(low)[axis])
    return points


@pytest.fixture
def ring(rng):
    """Cameras at eye level on 200 degrees of a circle of radius 1 around a small tower, slightly scattered."""
    azimuths = np.radians(np.linspace(-100, 100, 40)) + rng.normal(0, 0.02, 40)
    radii = 1 + rng.normal(0, 0.03, 40)
    cameras = {
        f"{i:04d}": camera_at([r * np.cos(a), r * np.sin(a), 0.02])
        for i, (a, r) in enumerate(zip(azimuths, radii, strict=True))
    }
    return cameras, box_surface(rng, 6000, [-0.1, -0.1, -0.2], [0.1, 0.1, 0.3])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def centers(cameras):
    return np.array([camera.center for camera in cameras])


def test_flythrough_follows_the_ring_at_constant_speed(ring):
    cameras, points = ring
    path = flythrough(cameras, points, n_frames=240, width=480, height=272)
    assert len(path) == 240
    assert {(c.width, c.height) for c in path} == {(480, 272)}
    positions = centers(path)
    radius = np.hypot(positions[:, 0], positions[:, 1])
    assert radius.min() > 0.85 and radius.max() < 1.1
    azimuth = np.degrees(np.unwrap(np.arctan2(positions[:, 1], positions[:, 0])))
    assert abs(azimuth[-1] - azimuth[0]) > 150
    assert (np.diff(azimuth) * np.sign(azimuth[-1] - azimuth[0]) > 0).all()
    speed = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    assert speed.max() / speed.min() < 1.02
    acceleration = np.linalg.norm(np.diff(positions, 2, axis=0), axis=1)
    assert acceleration.max() < 0.1 * speed.mean()


def test_flythrough_is_upright_and_looks_at_the_scene(ring):
    cameras, points = ring
    for camera in flythrough(cameras, points, n_frames=60, width=480, height=272):
        right, down, forward = camera.rotation
        assert right[2] == pytest.approx(0, abs=1e-9)
        assert down[2] < -0.5
        assert np.allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-9)
        to_scene = -camera.center / np.linalg.norm(camera.center)
        assert forward @ to_scene > np.cos(np.radians(10))


def test_flythrough_moves_little_between_frames_even_when_there_are_few(ring):
    path = flythrough(*ring, n_frames=30, width=320, height=240)
    steps = np.linalg.norm(np.diff(centers(path), axis=0), axis=1)
    turns = [np.trace(a.rotation @ b.rotation.T) for a, b in pairwise(path)]
    assert steps.max() <= 0.02
    assert np.degrees(np.arccos((min(turns) - 1) / 2)) <= 0.8


def test_flythrough_leaves_out_a_camera_far_away(ring):
    cameras, points = ring
    lost = camera_at([40.0, 3.0, 9.0])
    path = flythrough(cameras | {"lost": lost}, points, n_frames=120, width=320, height=240)
    assert np.abs(centers(path)).max() < 1.2


def test_flythrough_goes_around_a_box_between_the_cameras(rng):
    """Two groups of cameras that look at a wall, with a building between them."""
    cameras = {}
    for i, x in enumerate([*np.linspace(-0.9, -0.5, 8), *np.linspace(0.5, 0.9, 8)]):
        cameras[f"{i:04d}"] = camera_at([x, -1.0 + 0.01 * (i % 3), 0.0], target=[x * 0.3, 0.3, 0.0])
    wall = np.column_stack([rng.uniform(-1, 1, 4000), np.full(4000, 0.3), rng.uniform(-0.2, 0.5, 4000)])
    low, high = np.array([-0.2, -1.3, -0.3]), np.array([0.2, -0.7, 0.6])
    cloud = np.concatenate([wall, box_surface(rng, 20_000, low, high)])
    straight = np.linspace([-0.9, -1, 0], [0.9, -1, 0], 50)
    assert ((straight > low) & (straight < high)).all(axis=1).any()  # the box is in the way
    positions = centers(flythrough(cameras, cloud, n_frames=400, width=320, height=240))
    assert positions[0, 0] * positions[-1, 0] < 0  # from one group to the other
    outside = np.maximum(np.maximum(low - positions, positions - high), 0)
    assert np.linalg.norm(outside, axis=1).min() > 0.05


def test_flythrough_passes_three_cameras_and_refuses_none(ring, rng):
    _, points = ring
    three = {name: camera_at(p) for name, p in zip("abc", ([1, -0.2, 0], [1.02, 0, 0.01], [1, 0.2, 0]), strict=True)}
    path = flythrough(three, points, n_frames=48, width=320, height=240)
    assert abs(path[0].center[1] - path[-1].center[1]) > 0.25
    blind = {"a": camera_at([1, 0, 0], target=[2, 0, 0]), "b": camera_at([1, 0.3, 0], target=[2, 0, 0])}
    with pytest.raises(UserError, match="at least 2 registered cameras"):
        flythrough(blind, points, n_frames=48, width=320, height=240)


def test_flythrough_of_cameras_in_one_line_with_the_scene(ring):
    _, points = ring
    row = {f"{i}": camera_at([0.8 + 0.05 * i, 0.001 * i, 0]) for i in range(8)}
    positions = centers(flythrough(row, points, n_frames=60, width=320, height=240))
    assert np.ptp(positions[:, 0]) > 0.25


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
    ],
)
def test_a_bad_path_file_is_a_user_error_that_says_where(tmp_path, changes, message):
    (tmp_path / "path.json").write_text(json.dumps(document(**changes)))
    with pytest.raises(UserError, match=message):
        read_path(tmp_path / "path.json")


def test_a_missing_or_broken_path_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_path(tmp_path / "none.json")
    (tmp_path / "path.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        read_path(tmp_path / "path.json")
