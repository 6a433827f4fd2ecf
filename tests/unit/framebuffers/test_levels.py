"""The networks' levels of two walls, one before the other."""

from zipfile import BadZipFile

import numpy as np
import pytest
import torch

from nrw.framebuffers.levels import finest_level, level_path, load_level, pyramid, save_level
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import Cloud
from nrw.geometry.rasterize import Geometry, rasterize

NEAR, FAR = 2.0, 4.0
LEFT, RIGHT = (200, 40, 10), (20, 90, 250)


@pytest.fixture(scope="module")
def seen():
    """The left half shows a near wall, the right half a far one down to half its height, and nothing below."""
    camera = Camera(24, 16, 12.0, 12.0, 12.0, 8.0, np.eye(4)[:3])
    walls = [rectangle(-2, 0, -2, 2, NEAR), rectangle(-1, 8, -4, 0, FAR)]
    points = np.concatenate(walls).astype(np.float32)
    colors = np.repeat(np.uint8([LEFT, RIGHT]), 4, axis=0)
    faces = np.int32([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    cloud = Cloud(points, colors, np.tile(np.float32([0, 0, -1]), (8, 1)), np.zeros(8, np.float32), faces)
    geometry = Geometry.of(cloud)
    buffer = rasterize(geometry, camera)
    return geometry, torch.from_numpy(colors.T.copy()), camera, buffer


def rectangle(left, right, top, bottom, depth):
    return [(left, top, depth), (right, top, depth), (right, bottom, depth), (left, bottom, depth)]


def test_a_level_shows_the_nearest_surface_and_how_much_of_a_pixel_is_covered(seen):
    geometry, channels, camera, buffer = seen
    level, samples = finest_level(geometry, channels, camera, buffer, 2)
    assert level.color.shape == (8, 12, 3) and level.depth.shape == level.index.shape == (8, 12)
    assert len(samples.pixel) == int(buffer.hit.sum())
    assert (level.color[:, :6] == torch.tensor(LEFT)).all() and (level.color[:4, 6:] == torch.tensor(RIGHT)).all()
    assert torch.allclose(level.depth[:, :6], torch.tensor(NEAR)) and torch.allclose(
        level.depth[:4, 6:], torch.tensor(FAR)
    )
    assert (level.index[:, :6] < 4).all() and (level.index[:4, 6:] >= 4).all()
    for empty in (level.color[4:, 6:], level.depth[4:, 6:], level.coverage[4:, 6:]):
        assert (empty == 0).all()
    assert (level.index[4:, 6:] == -1).all() and (level.coverage[:4] == 255).all()


def test_a_pixel_across_an_edge_shows_the_nearer_side(seen):
    geometry, channels, _, _ = seen
    moved = Camera(24, 16, 12.0, 12.0, 13.0, 9.0, np.eye(4)[:3])  # edges fall inside the pixels of the level
    level, _ = finest_level(geometry, channels, moved, rasterize(geometry, moved), 2)
    assert torch.allclose(level.depth[0, 6], torch.tensor(NEAR)) and (level.color[0, 6] == torch.tensor(LEFT)).all()
    assert level.coverage[0, 6] == 255 and level.coverage[4, 8] == 128 and level.coverage[5, 8] == 0


def test_coarser_levels_halve_it_and_mix_no_surfaces(seen):
    geometry, channels, camera, buffer = seen
    levels = pyramid(finest_level(geometry, channels, camera, buffer, 1)[0], 4)
    assert [tuple(level.depth.shape) for level in levels] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    colors = torch.tensor([LEFT, RIGHT, (0, 0, 0)])
    for level in levels:
        assert ((level.color[:, :, None] == colors).all(dim=3).any(dim=2)).all()
        assert ((level.coverage == 0) == (level.depth == 0)).all() and ((level.index < 0) == (level.depth == 0)).all()
    assert levels[3].coverage[1, 2] == 0 and levels[3].coverage[0, 1] == 255
    assert torch.allclose(levels[3].depth[0, 1], torch.tensor(NEAR))  # half near, half far


def test_a_level_survives_its_file(seen, tmp_path):
    geometry, channels, camera, buffer = seen
    level, _ = finest_level(geometry, channels, camera, buffer, 2)
    path = level_path(tmp_path, "0001")
    save_level(path, level)
    for name, values in vars(load_level(path)).items():
        assert torch.equal(values, getattr(level, name)) and values.dtype == getattr(level, name).dtype
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadZipFile):
        load_level(path)
