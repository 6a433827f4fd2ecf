"""Semi-global matching: the best labelling of a cost volume, smooth along 8 directions.

Hirschmüller 2008, "Stereo Processing by Semiglobal Matching and Mutual Information", equations 13 and 14.
"""

import torch


def aggregate(cost: torch.Tensor, pixels: torch.Tensor, p1: float, p2: float, edge: float) -> torch.Tensor:
    """Sum the path costs from 8 directions.

    cost: (H, D, W) float32, the matching cost of label d at pixel (y, x); the order makes scans of rows contiguous.
    pixels: (H, W) float32 gray values in [0, 1]. p1: penalty of a step by one label. p2: penalty of a larger step; it
    is divided by 1 + |difference of gray values| / edge, so that depth may jump at edges, but is never less than p1.
    Returns (H, D, W) float32.

    All paths take their steps together, so that a step is a few operations on all of them, side by side.
    """
    labels = cost.shape[1]
    turned = cost.transpose(0, 2).contiguous()  # (W, D, H)
    upright = _Scan(cost, torch.zeros_like(cost), pixels, (-1, 0, 1))
    sideways = _Scan(turned, torch.zeros_like(turned), pixels.T, (0,))
    scans = sorted([upright, sideways], key=lambda scan: len(scan.cost), reverse=True)
    jumps = cost.new_zeros(len(scans[0].cost), sum(scan.size for scan in scans))
    paths = cost.new_zeros(labels + 2, jumps.shape[1])
    paths[:: labels + 1] = torch.inf  # beyond the labels
    start = 0
    for scan in scans:
        columns = slice(start, start + scan.size)
        scan.begin(paths[1:-1, columns])
        jumps[: len(scan.cost), columns] = (p2 / (1 + scan.differences() / edge)).clamp_min_(p1)
        start += scan.size

    for step, jump in enumerate(jumps):
        going = [scan for scan in scans if step < len(scan.cost)]
        size = sum(scan.size for scan in going)
        relative = paths[:, :size] - paths[:, :size].amin(0)
        least = torch.minimum(relative[:-2], relative[2:]).add_(p1)
        least = torch.minimum(least, relative[1:-1], out=least)
        least = torch.minimum(least, jump[:size], out=least)
        for scan, part in zip(going, least.split([scan.size for scan in going], 1), strict=True):
            scan.advance(step, part)
    return upright.total.add_(sideways.total.transpose(0, 2))


class _Scan:
    """Paths through the rows of a volume from both ends, which meet in the middle and pass.

    There are 2 L of them per column: of the two rows that they are in, the upper one's come first. Each has a border of
    columns in which paths begin; there its costs are 0.

    cost, total: (H, D, W); costs of the paths are added to total. pixels: (H, W). laterals: (L,) consecutive, columns
    that the paths step aside per row. size: columns of all paths, side by side.
    """

    def __init__(self, cost: torch.Tensor, total: torch.Tensor, pixels: torch.Tensor, laterals: tuple[int, ...]):
        self.cost, self.total, self.pixels, self.laterals = cost, total, pixels, laterals
        self.size = 2 * len(laterals) * (cost.shape[2] + 2)

    def begin(self, paths: torch.Tensor) -> None:
        """paths: (D, size), costs of the last step; those of the next go there, each to the column that it leads to."""
        self._paths = self._unfolded(paths)
        labels, _, laterals, width = self._paths.shape
        strides = self._paths.stride()
        self._next = self._paths.as_strided(
            (labels, 2, laterals, width - 2),
            (*strides[:2], strides[2] + 1, 1),
            self._paths.storage_offset() + 1 + self.laterals[0],
        )

    def differences(self) -> torch.Tensor:
        """(H, size): differences of gray between the pixels that each step of the paths leads to and comes from."""
        height, width = self.pixels.shape
        differences = self.pixels.new_zeros(height, 2, len(self.laterals), width + 2)
        for end, rows in enumerate((self.pixels, self.pixels.flip(0))):
            for place, lateral in enumerate(self.laterals):
                here = slice(max(lateral, 0), width + min(lateral, 0))  # pixels with a predecessor on their path ...
                there = slice(max(-lateral, 0), width + min(-lateral, 0))  # ... and those, in the row before
                torch.sub(rows[1:, here], rows[:-1, there], out=differences[1:, end, place, 1:-1][:, here])
        middle = (height + 1) // 2
        differences[middle:] = differences[middle:].flip(1)
        return differences.abs_().flatten(1)

    def advance(self, step: int, least: torch.Tensor) -> None:
        """Go to the rows of a step. least: (D, size), the paths' least costs before them."""
        height = len(self.cost)
        upper = min(step, height - 1 - step)
        rows = slice(upper, height - upper, max(height - 1 - 2 * upper, 1))  # two, or the one in the middle
        cost, total = (volume[rows].transpose(0, 1)[:, :, None] for volume in (self.cost, self.total))
        torch.add(cost, self._unfolded(least)[..., 1:-1], out=self._next)
        total.add_(self._next.sum_to_size(total.shape))
        if step + 1 == (height + 1) // 2:
            self._paths.copy_(self._paths.flip(1))

    def _unfolded(self, columns: torch.Tensor) -> torch.Tensor:
        """(D, size) as (D, 2, L, W + 2)."""
        return columns.unflatten(1, (2, len(self.laterals), -1))


def winners(total: torch.Tensor) -> torch.Tensor:
    """The label of least cost per pixel, (H, W) float32, refined by the parabola through its neighbours' costs."""
    labels = total.shape[1]
    best = total.argmin(1, keepdim=True)  # (H, 1, W)
    left, middle, right = (total.gather(1, (best + step).clamp(0, labels - 1)) for step in (-1, 0, 1))
    curvature = left + right - 2 * middle
    offset = torch.where(curvature > 0, (left - right) / (2 * curvature).clamp_min(1e-12), 0.0).clamp(-0.5, 0.5)
    inside = (best > 0) & (best < labels - 1)
    return (best + torch.where(inside, offset, 0.0))[:, 0].float()
