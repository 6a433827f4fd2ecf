"""Semi-global matching: the best labelling of a cost volume, smooth along 8 directions.

Hirschmüller 2008, "Stereo Processing by Semiglobal Matching and Mutual Information", equations 13 and 14.
"""

import itertools

import torch


def aggregate(cost: torch.Tensor, pixels: torch.Tensor, p1: float, p2: float, edge: float) -> torch.Tensor:
    """Sum the path costs from 8 directions.

    cost: (H, D, W) float32, the matching cost of label d at pixel (y, x); the order makes scans of rows contiguous.
    pixels: (H, W) float32 gray values in [0, 1]. p1: penalty of a step by one label. p2: penalty of a larger step; it
    is divided by 1 + |difference of gray values| / edge, so that depth may jump at edges, but is never less than p1.
    Returns (H, D, W) float32.
    """
    total = torch.zeros_like(cost)
    for lateral in (-1, 0, 1):
        for rows in (range(cost.shape[0]), range(cost.shape[0] - 1, -1, -1)):
            _scan(cost, pixels, rows, lateral, p1, p2, edge, total)
    cost, pixels = cost.transpose(0, 2).contiguous(), pixels.T.contiguous()  # (W, D, H)
    sideways = torch.zeros_like(cost)
    for columns in (range(cost.shape[0]), range(cost.shape[0] - 1, -1, -1)):
        _scan(cost, pixels, columns, 0, p1, p2, edge, sideways)
    return total.add_(sideways.transpose(0, 2))


def _scan(
    cost: torch.Tensor,
    pixels: torch.Tensor,
    rows: range,
    lateral: int,
    p1: float,
    p2: float,
    edge: float,
    total: torch.Tensor,
) -> None:
    """Add to `total` the costs of the paths through the rows in the given order, `lateral` columns per row."""
    width = cost.shape[2]
    here = slice(max(lateral, 0), width + min(lateral, 0))  # pixels with a predecessor on their path ...
    there = slice(max(-lateral, 0), width + min(-lateral, 0))  # ... and those predecessors, in the row before
    previous = cost[rows[0]]
    total[rows[0]] += previous
    for before, row in itertools.pairwise(rows):
        path = previous[:, there]  # (D, W')
        lowest = path.amin(0)
        jump = (p2 / (1 + (pixels[row, here] - pixels[before, there]).abs() / edge)).clamp_min(p1)
        step = torch.minimum(path, lowest + jump)
        torch.minimum(step[1:], path[:-1] + p1, out=step[1:])
        torch.minimum(step[:-1], path[1:] + p1, out=step[:-1])
        step -= lowest
        previous = cost[row].clone()
        previous[:, here] += step
        total[row] += previous


def winners(total: torch.Tensor) -> torch.Tensor:
    """The label of least cost per pixel, (H, W) float32, refined by the parabola through its neighbours' costs."""
    labels = total.shape[1]
    best = total.argmin(1, keepdim=True)  # (H, 1, W)
    left, middle, right = (total.gather(1, (best + step).clamp(0, labels - 1)) for step in (-1, 0, 1))
    curvature = left + right - 2 * middle
    offset = torch.where(curvature > 0, (left - right) / (2 * curvature).clamp_min(1e-12), 0.0).clamp(-0.5, 0.5)
    inside = (best > 0) & (best < labels - 1)
    return (best + torch.where(inside, offset, 0.0))[:, 0].float()
