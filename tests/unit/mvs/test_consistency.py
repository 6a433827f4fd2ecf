"""The forward-backward check against exact depth maps."""

import torch
from mvs_scene import HEIGHT, WIDTH, camera_at, surface_points, true_depth

from nrw.mvs.batches import AT_ONCE
from nrw.mvs.consistency import agreeing
from nrw.mvs.depth_maps import DepthMap
from nrw.mvs.planes import normals_from_depth

HERE, THERE = camera_at((0, 0, 0)), camera_at((0.5, 0, 0))


def true_map(camera):
    depth = torch.from_numpy(true_depth(camera)).float()
    return DepthMap(depth, normals_from_depth(depth, camera), camera)


def test_consistency_keeps_what_others_confirm():
    wrong = true_map(HERE).depth.clone()
    wrong[40:60, 60:100] *= 1.05
    wrong[80:, :] = 0
    agree = agreeing(wrong, HERE, [true_map(THERE)], max_pixels=2, max_relative=0.01)
    assert not agree[40:60, 60:100].any()
    assert not agree[80:].any()
    uv, _ = THERE.project(surface_points(HERE, 1))
    seen = ((uv > 1) & (uv < [WIDTH - 1, HEIGHT - 1])).all(1).reshape(HEIGHT, WIDTH)
    assert (agree.numpy()[:40][seen[:40]] == 1).all()


def test_photos_of_any_size_count_together_as_alone(monkeypatch):
    small = camera_at((-0.4, 0.1, 0)).resized(WIDTH // 2, HEIGHT - 9)
    nothing = DepthMap(torch.zeros(HEIGHT, WIDTH), torch.zeros(HEIGHT, WIDTH, 3), camera_at((-0.5, 0, 0)))
    others = [true_map(THERE), nothing, true_map(small)]
    depth = true_map(HERE).depth
    monkeypatch.setitem(AT_ONCE, "cpu", 3 * depth.numel())
    together = agreeing(depth, HERE, others)
    assert together.max() == 2
    monkeypatch.setitem(AT_ONCE, "cpu", 1)
    assert torch.equal(together, agreeing(depth, HERE, others))
    assert torch.equal(together, sum(agreeing(depth, HERE, [other]) for other in others))
