"""Depth maps rendered into another camera, and the depths that most of them show."""

import numpy as np
import pytest
import torch
from mvs_scene import FOCAL, HEIGHT, WIDTH, camera_at, surface_points, true_depth

from nrw.mvs.batches import AT_ONCE
from nrw.mvs.consensus import modes, seen_from
from nrw.mvs.depth_maps import DepthMap
from nrw.mvs.planes import normals_from_depth


def test_a_photo_is_shown_the_surface_of_another_and_the_nearest_of_two():
    here, there = camera_at((0, 0, 0)), camera_at((0.5, 0, 0))
    depth = torch.from_numpy(true_depth(there)).float()
    truth = true_depth(here)
    found = seen_from(here, [DepthMap(depth, normals_from_depth(depth, there), there)])[0].numpy()
    uv, _ = there.project(surface_points(here, 1))
    inner = ((uv > 2) & (uv < [WIDTH - 2, HEIGHT - 2])).all(1).reshape(HEIGHT, WIDTH)
    assert np.mean(found[inner] > 0) > 0.99
    assert np.quantile(np.abs(found * truth - 1)[inner & (found > 0)], 0.98) < 0.002

    depth = torch.full((HEIGHT, WIDTH), 5.0)
    depth[40:80, 40:80] = 2.5  # before the wall, and shifted by twice as many pixels
    found = seen_from(here, [DepthMap(depth, normals_from_depth(depth, there), there)])[0]
    shift = round(0.5 * FOCAL / 2.5)
    assert torch.allclose(found[42:78, 42 + shift : 78 + shift], torch.tensor(0.4))
    assert torch.allclose(found[:38, shift:], torch.tensor(0.2))


def test_maps_of_any_size_are_rendered_together_as_alone(monkeypatch):
    here = camera_at((0, 0, 0))
    cameras = [camera_at((0.5, 0, 0)), camera_at((-0.4, 0.1, 0)).resized(WIDTH // 2, HEIGHT - 9)]
    depths = [torch.from_numpy(true_depth(camera)).float() for camera in cameras]
    maps = [DepthMap(d, normals_from_depth(d, camera), camera) for d, camera in zip(depths, cameras, strict=True)]
    alone = torch.cat([seen_from(here, [own]) for own in maps])
    assert (alone > 0).float().mean() > 0.7
    for limit in (4 * 2 * WIDTH * HEIGHT, 4000):
        monkeypatch.setitem(AT_ONCE, "cpu", limit)
        assert torch.equal(seen_from(here, maps), alone)


def test_modes_are_the_depths_that_most_maps_show():
    maps = torch.tensor([0.5, 0.502, 0.501, 0.25, 0.2502, 0.0, 0.9])[:, None, None]
    first, second = (float(mode) for mode in modes(maps))
    assert first == pytest.approx(0.501) and second == pytest.approx(0.25, rel=0.01)
    first, second = (float(mode) for mode in modes(torch.tensor([0.0, 0.5])[:, None, None]))
    assert (first, second) == (0.5, 0)
