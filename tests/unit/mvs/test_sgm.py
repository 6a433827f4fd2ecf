"""Semi-global matching against brute force."""

import itertools

import numpy as np
import pytest
import torch
from launches import Launches

from nrw.mvs import sgm


def test_sgm_sums_the_exact_path_costs():
    """Each direction's path cost at a pixel is the least cost of all labellings of the path that ends there."""
    rng = np.random.default_rng(1)
    height, labels, width = 3, 4, 4
    cost = rng.random((height, labels, width)).astype(np.float32)
    pixels = rng.random((height, width)).astype(np.float32)
    p1, p2, edge = 0.1, 0.5, 0.3

    def path_cost(y, x, label, dy, dx):
        path = [(y, x)]
        while 0 <= path[-1][0] - dy < height and 0 <= path[-1][1] - dx < width:
            path.append((path[-1][0] - dy, path[-1][1] - dx))
        least = np.inf
        for others in itertools.product(range(labels), repeat=len(path) - 1):
            chosen = (label, *others)
            total = sum(cost[r, k, c] for (r, c), k in zip(path, chosen, strict=True))
            for a, b, k, m in zip(path[:-1], path[1:], chosen[:-1], chosen[1:], strict=True):
                jump = max(p1, p2 / (1 + abs(pixels[a] - pixels[b]) / edge))
                total += {0: 0.0, 1: p1}.get(abs(k - m), jump)
            least = min(least, total)
        return least

    def excess(y, x, dy, dx):
        """The recursion subtracts the predecessor's least cost at every step; undo nothing, compare differences."""
        values = np.array([path_cost(y, x, label, dy, dx) for label in range(labels)])
        inside = 0 <= y - dy < height and 0 <= x - dx < width
        least_before = min(path_cost(y - dy, x - dx, label, dy, dx) for label in range(labels)) if inside else 0.0
        return values - least_before

    total = sgm.aggregate(torch.from_numpy(cost), torch.from_numpy(pixels), p1, p2, edge).numpy()
    directions = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    for y, x in itertools.product(range(height), range(width)):
        expected = sum(excess(y, x, dy, dx) for dy, dx in directions)
        np.testing.assert_allclose(total[y, :, x], expected, rtol=1e-4)


def path_by_path(cost, p1, p2):
    """(H, D, W): the sum over 8 directions, pixel by pixel, for a picture without edges."""
    height, _, width = cost.shape
    total = np.zeros_like(cost)
    for dy, dx in itertools.product((-1, 0, 1), repeat=2):
        path = np.zeros_like(cost)
        for y in range(height)[:: dy or 1]:
            for x in range(width)[:: dx or 1]:
                path[y, :, x] = cost[y, :, x]
                if (dy or dx) and 0 <= y - dy < height and 0 <= x - dx < width:
                    before = path[y - dy, :, x - dx]
                    border = np.pad(before, 1, constant_values=np.inf)
                    least = np.minimum(np.minimum(border[:-2], border[2:]) + p1, before)
                    path[y, :, x] += np.minimum(least, before.min() + p2) - before.min()
        total += path if dy or dx else 0
    return total


@pytest.mark.parametrize("size", [(6, 5, 9), (7, 5, 4), (1, 3, 6), (5, 4, 1), (2, 1, 2)])
def test_whole_costs_sum_exactly_in_any_order(size):
    cost = np.random.default_rng(0).integers(0, 50, size).astype(np.float32)
    total = sgm.aggregate(torch.from_numpy(cost), torch.zeros(size[0], size[2]), 3.0, 10.0, 1.0)
    np.testing.assert_array_equal(total.numpy(), path_by_path(cost, 3, 10))


def test_all_directions_go_on_together():
    """A step costs as few launches for many labels and columns as for few, and there are as many as the longer side."""
    for height, labels, width in ((20, 3, 31), (31, 60, 20)):
        with Launches() as launches:
            sgm.aggregate(torch.rand(height, labels, width), torch.rand(height, width), 0.1, 0.5, 0.3)
        assert launches.total < 20 * 11 + 11 * 8 + 60


def test_sgm_winner_is_the_parabolas_vertex():
    labels = torch.arange(9.0)
    truth = torch.tensor([[3.3, 5.0, 0.0]])  # (1, 3)
    total = (labels[None, :, None] - truth[:, None]) ** 2  # (1, D, 3)
    torch.testing.assert_close(sgm.winners(total), truth)
