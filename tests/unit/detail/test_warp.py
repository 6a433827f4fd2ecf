"""Residuals of a textured wall, carried from camera to camera."""

import numpy as np
import pytest
import torch

from nrw.detail.warp import NOTHING, Places, Source, blend, lift, warp
from nrw.geometry.cameras import Camera

DEPTH = 4.0


def camera(x=0.0, width=80, height=60) -> Camera:
    return Camera(width, height, 70, 70, width / 2, height / 2, np.column_stack([np.eye(3), [-x, 0.0, 0.0]]))


def pattern(points: torch.Tensor) -> torch.Tensor:
    """(3, M) log ratios on the wall."""
    return 0.5 * torch.sin(torch.stack([3 * points[0], 2 * points[1], points[0] + points[1]]))


def pixels_of(view: Camera) -> torch.Tensor:
    return torch.arange(view.width * view.height)


def source(x: float, trusted: float = 1.0) -> Source:
    view = camera(x)
    depth = torch.full((view.height, view.width), DEPTH)
    logs = pattern(lift(view, pixels_of(view), depth.flatten())).view(3, view.height, view.width)
    return Source(view, torch.cat([logs, torch.full((1, *depth.shape), trusted)])[None], depth)


def test_lifted_pixels_project_back():
    view = camera(0.7)
    points = lift(view, pixels_of(view), torch.full((4800,), DEPTH))
    uv, depth = view.project(points.T.numpy().astype(float))
    np.testing.assert_allclose(uv[81], [1.5, 1.5], atol=1e-4)
    np.testing.assert_allclose(depth, DEPTH, rtol=1e-6)


def test_the_residual_appears_where_the_wall_is():
    view = camera()
    points = lift(view, pixels_of(view), torch.full((4800,), DEPTH))
    logs, weights = warp(source(0.4), Places.of(points, view))
    seen = weights > 0
    u = camera(0.4).project(points.T.numpy().astype(float))[0]
    inside = torch.from_numpy((u >= 0).all(axis=1) & (u < [80, 60]).all(axis=1))
    assert torch.equal(seen, inside) and 0.8 < seen.float().mean() < 1
    assert (logs - pattern(points))[:, seen].abs().max() < 0.02
    assert torch.isfinite(logs).all()
    angle = np.degrees(np.arctan2(0.4, DEPTH))
    assert float(weights[30 * 80 + 40]) == pytest.approx(np.exp(-((angle / 12) ** 2)), abs=0.01)


def test_what_a_nearer_surface_hides_has_no_weight():
    view, seen_by = camera(), source(0.4)
    seen_by.depth[:, :40] = 2.0
    points = lift(view, pixels_of(view), torch.full((4800,), DEPTH))
    _, weights = warp(seen_by, Places.of(points, view))
    u = camera(0.4).project(points.T.numpy().astype(float))[0][:, 0]
    assert (weights[torch.from_numpy(u < 40)] == 0).all() and (weights > 0).any()


def test_untrusted_pixels_and_coarse_ones_count_less():
    view = camera()
    points = lift(view, pixels_of(view), torch.full((4800,), DEPTH))
    (_, full), (_, half) = warp(source(0.0), Places.of(points, view)), warp(source(0.0, 0.5), Places.of(points, view))
    torch.testing.assert_close(half, full / 2)
    fine = camera(0, 160, 120)
    _, coarse = warp(source(0.0), Places.of(lift(fine, pixels_of(fine), torch.full((19200,), DEPTH)), fine))
    assert coarse.max() <= full.max()


def test_an_outlier_is_voted_down_and_nothing_gives_nothing():
    logs = torch.tensor([0.2, 0.2, 0.2, -1.5])[:, None, None].expand(4, 3, 1)
    found, _ = blend(logs, torch.ones(4, 1))
    assert float(found[0]) == pytest.approx(0.2, abs=0.03)
    assert float(found[4]) > 0.8
    assert float(blend(logs[:3], torch.ones(3, 1))[0][3]) < 0.05 < float(found[3])
    faint, _ = blend(logs[:1], torch.full((1, 1), NOTHING))
    assert float(faint[0]) < 0.15  # against nothing at all
    assert not any(some.any() for some in blend(torch.zeros(0, 3, 5), torch.zeros(0, 5)))


@pytest.mark.parametrize(
    ("weights", "number"), [([1, 1, 1], 3), ([0.5, 0.5, 0], 2), ([1, 0.5, 0.5], 8 / 3), ([0] * 3, 0)]
)
def test_photos_count_by_their_weights(weights, number):
    same = torch.full((3, 3, 1), 0.2)
    assert float(blend(same, torch.tensor(weights, dtype=torch.float32)[:, None])[1]) == pytest.approx(number, abs=0.01)
