"""The wall around a place: houses up to 10 degrees above the horizon, seen by four cameras past a slab."""

import numpy as np
import pytest
from mvs_scene import level_camera

from nrw.geometry.pointcloud import Cloud
from nrw.mvs.backdrop import backdrop

HOUSES = np.tan(np.radians(10))
NONE = Cloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), np.empty((0, 3), np.float32))


@pytest.fixture
def cameras():
    """Four cameras that look along y."""
    return {f"{number:04d}": level_camera(0.1 * number, 0, 1.6) for number in range(4)}


def slab(low: float, high: float) -> Cloud:
    """A square metre to either side, 4 m before the cameras, between two heights."""
    corners = np.array([[-1, 4, low], [1, 4, low], [1, 4, high], [-1, 4, high]], np.float32)
    normals = np.tile(np.float32([0, -1, 0]), (4, 1))
    return Cloud(corners, np.zeros((4, 3), np.uint8), normals, faces=np.array([[0, 1, 2], [0, 2, 3]], np.int32))


def houses(camera):
    """(H, W) bool: what is lower than the roofs of the houses."""
    rays = camera.ray_directions()
    return rays[..., 2] < HOUSES * np.hypot(rays[..., 0], rays[..., 1])


def wall_of(cameras, surface, shown=None):
    """The backdrop where each photo shows houses, or what `shown` says, and sky above."""
    shown = shown or {photo_id: houses(camera) for photo_id, camera in cameras.items()}
    return backdrop(cameras, shown.__getitem__, lambda photo_id: ~shown[photo_id], surface)


def elevations(cameras, wall):
    """Tangents of the elevation of the wall's points, and their direction x / y, from the middle camera."""
    offset = wall.points - cameras["0001"].center
    return offset[:, 2] / np.hypot(offset[:, 0], offset[:, 1]), offset[:, 0] / offset[:, 1]


def test_the_wall_stands_where_houses_are_seen(cameras):
    wall = wall_of(cameras, slab(0, 3))
    rise, across = elevations(cameras, wall)
    assert len(wall.faces) > 100
    assert abs(rise.max() - HOUSES) < 0.02 and rise.min() > -0.2
    assert (np.abs(across) > 0.2).all()  # nothing behind the slab
    assert (across < -0.3).any() and (across > 0.3).any()
    a, b, c = (wall.points[wall.faces[:, corner]] for corner in range(3))
    facing = np.einsum("ij,ij->i", np.cross(b - a, c - a), wall.normals[wall.faces[:, 0]])
    to_cameras = np.einsum("ij,ij->i", wall.normals, cameras["0001"].center - wall.points)
    assert (facing > 0).all() and (to_cameras > 0).all()


def test_no_wall_where_most_photos_see_sky_or_only_one_sees_houses(cameras):
    sky = {photo_id: np.zeros_like(houses(camera)) for photo_id, camera in cameras.items()}
    one = {**sky, "0001": houses(cameras["0001"])}
    assert not len(wall_of(cameras, slab(0, 3), one))
    alone = {"0001": cameras["0001"]}
    assert not len(wall_of(alone, slab(0, 3), one))


def test_a_gate_in_the_surface_shows_no_wall(cameras):
    lintel = slab(1.9, 3)
    wall = wall_of(cameras, lintel)
    _, across = elevations(cameras, wall)
    assert len(wall) and (np.abs(across) > 0.2).all()


def test_who_passes_by_does_not_refute_the_wall(cameras):
    shown = {photo_id: houses(camera) for photo_id, camera in cameras.items()}
    people = np.zeros_like(shown["0000"])
    people[:, : people.shape[1] // 3] = True
    lasting = {**shown, "0000": shown["0000"] & ~people, "0001": shown["0001"] & ~people}
    wall = backdrop(cameras, lasting.__getitem__, lambda photo_id: ~shown[photo_id], slab(0, 3))
    assert len(wall.faces) > 0.85 * len(wall_of(cameras, slab(0, 3)).faces)


def test_no_camera_is_outside_the_wall(cameras):
    far = {**cameras, "0009": level_camera(0, -60, 1.6)}
    wall = wall_of(far, slab(0, 3))
    middle = np.array([0, 4])
    radii = np.linalg.norm(wall.points[:, :2] - middle, axis=1)
    assert len(wall) and radii.min() > 64 * 1.4


def test_without_a_surface_there_is_no_wall(cameras):
    assert not len(wall_of(cameras, NONE))
