from itertools import pairwise

import numpy as np
import pytest

from nrw.core.errors import UserError
from nrw.geometry.cameras import Camera, look_at
from nrw.videos.flythrough import flythrough

LIMITS = {"fps": 25, "max_speed": 0.5, "max_turn": 20}  # 0.02 units and 0.8 degrees per frame


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
    path = flythrough(cameras, points, n_frames=240, width=480, height=272, **LIMITS)
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
    for camera in flythrough(cameras, points, n_frames=60, width=480, height=272, **LIMITS):
        right, down, forward = camera.rotation
        assert right[2] == pytest.approx(0, abs=1e-9)
        assert down[2] < -0.5
        assert np.allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-9)
        to_scene = -camera.center / np.linalg.norm(camera.center)
        assert forward @ to_scene > np.cos(np.radians(10))


def test_flythrough_moves_little_between_frames_even_when_there_are_few(ring):
    path = flythrough(*ring, n_frames=30, width=320, height=240, **LIMITS)
    steps = np.linalg.norm(np.diff(centers(path), axis=0), axis=1)
    turns = [np.trace(a.rotation @ b.rotation.T) for a, b in pairwise(path)]
    assert steps.max() <= 0.02
    assert np.degrees(np.arccos((min(turns) - 1) / 2)) <= 0.8


def fastest(path, fps):
    """The largest translation per second (units) and rotation per second (degrees)."""
    steps = np.linalg.norm(np.diff(centers(path), axis=0), axis=1)
    turns = [np.trace(a.rotation @ b.rotation.T) for a, b in pairwise(path)]
    return fps * steps.max(), fps * np.degrees(np.arccos((min(turns) - 1) / 2))


@pytest.mark.parametrize(("max_speed", "max_turn"), [(0.2, 90), (0.5, 20), (100, 15)])
def test_flythrough_is_as_fast_per_second_at_any_frame_rate(ring, max_speed, max_turn):
    limits = {"max_speed": max_speed, "max_turn": max_turn}
    found = {}
    for fps in (24, 30):
        path = flythrough(*ring, n_frames=2 * fps, fps=fps, width=320, height=240, **limits)
        found[fps] = speed, turn = fastest(path, fps)
        assert speed <= max_speed and turn <= max_turn
        assert max(speed / max_speed, turn / max_turn) > 0.95  # one of them is what limits the path
    assert found[24] == pytest.approx(found[30], rel=0.01)


def test_flythrough_leaves_out_a_camera_far_away(ring):
    cameras, points = ring
    lost = camera_at([40.0, 3.0, 9.0])
    path = flythrough(cameras | {"lost": lost}, points, n_frames=120, width=320, height=240, **LIMITS)
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
    positions = centers(flythrough(cameras, cloud, n_frames=400, width=320, height=240, **LIMITS))
    assert positions[0, 0] * positions[-1, 0] < 0  # from one group to the other
    outside = np.maximum(np.maximum(low - positions, positions - high), 0)
    assert np.linalg.norm(outside, axis=1).min() > 0.05


def test_flythrough_passes_three_cameras_and_refuses_none(ring, rng):
    _, points = ring
    three = {name: camera_at(p) for name, p in zip("abc", ([1, -0.2, 0], [1.02, 0, 0.01], [1, 0.2, 0]), strict=True)}
    path = flythrough(three, points, n_frames=48, width=320, height=240, **LIMITS)
    assert abs(path[0].center[1] - path[-1].center[1]) > 0.25
    blind = {"a": camera_at([1, 0, 0], target=[2, 0, 0]), "b": camera_at([1, 0.3, 0], target=[2, 0, 0])}
    with pytest.raises(UserError, match="at least 2 registered cameras"):
        flythrough(blind, points, n_frames=48, width=320, height=240, **LIMITS)


def test_flythrough_of_cameras_in_one_line_with_the_scene(ring):
    _, points = ring
    row = {f"{i}": camera_at([0.8 + 0.05 * i, 0.001 * i, 0]) for i in range(8)}
    positions = centers(flythrough(row, points, n_frames=60, width=320, height=240, **LIMITS))
    assert np.ptp(positions[:, 0]) > 0.25


def test_cameras_enclosed_by_the_cloud_or_inside_it_are_a_user_error(rng):
    """Two cameras, each in a closed box of its own; and cameras amid a solid block of points."""
    boxes = [box_surface(rng, 20_000, [x - 0.5, -0.5, -0.5], [x + 0.5, 0.5, 0.5]) for x in (-1.0, 1.0)]
    apart = {f"{x}": camera_at([x, 0.0, 0.0], target=[0.0, 0.1, 0.0]) for x in (-1.0, 1.0)}
    with pytest.raises(UserError, match="no way between"):
        flythrough(apart, np.concatenate(boxes), n_frames=24, width=320, height=240, **LIMITS)
    block = rng.uniform(-0.1, 0.1, (100_000, 3))
    buried = {f"{x}": camera_at([x, 0.0, 0.0], target=[0.0, 0.02, 0.0]) for x in (-0.05, 0.05)}
    with pytest.raises(UserError, match=r"stand clear of it; of 2 cameras [01] do"):
        flythrough(buried, block, n_frames=24, width=320, height=240, **LIMITS)
