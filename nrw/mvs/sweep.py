"""The plane sweep: matching costs for a family of parallel planes at equal steps of disparity.

Collins 1996, "A space-sweep approach to true multi-image matching"; costs as in `matcher`. There are two families:
planes that face the camera, and level planes, on which the ground is a single label instead of one per row (Gallup et
al. 2007, "Real-time plane-sweeping stereo with multiple sweeping directions").
"""

from dataclasses import dataclass

import numpy as np
import torch

from nrw.geometry.cameras import Camera
from nrw.mvs.matcher import Matcher

MIN_PLANES, MAX_PLANES = 32, 256


@dataclass(frozen=True)
class Family:
    """Parallel planes n.X = d in the camera. Their inverse depth is (n.(x, y, 1)) / d, with x and y normalised.

    slant: (H, W), n.(x, y, 1). For planes that face the camera it is 1 everywhere, and d is the depth. Pixels with
    slant <= 0 see none of the planes. nearest, farthest: the range of d, world units.
    """

    slant: torch.Tensor
    nearest: float
    farthest: float


def depth_range(camera: Camera, points: np.ndarray) -> tuple[float, float]:
    """The nearest and farthest depth to search, world units, from the (N, 3) sparse points that the photo sees.

    The range is wider than the points': objects may stand before the nearest, and depths beyond the farthest cost few
    planes.
    """
    depth = camera.project(points)[1]
    near, far = np.percentile(depth[depth > 0], [0.5, 99.5])
    return 0.7 * near, 2 * far


def plane_distances(matcher: Matcher, family: Family) -> torch.Tensor:
    """(D,) ascending 1 / d, one pixel of disparity apart in the source with the median disparity rate."""
    low, high = 1 / family.farthest, 1 / family.nearest
    rates = matcher.disparity_rate(family.slant * (low + high) / 2) * family.slant
    moving = torch.where((family.slant > 0) & (rates > 0), rates, torch.nan)
    typical = moving.flatten(1).nanmedian(1).values.nan_to_num(0).median()
    count = int(np.clip(float(typical) * (high - low), MIN_PLANES, MAX_PLANES))
    return torch.linspace(low, high, count, device=family.slant.device)


def sweep(matcher: Matcher, family: Family, distances: torch.Tensor) -> torch.Tensor:
    """The costs (H, D, W) float32 in [0, 1] of D planes; 1 for all where the photo is masked or sees none of them."""
    height, width = matcher.reference.pixels.shape
    cost = distances.new_empty(height, len(distances), width)
    for planes in matcher.at_once(len(distances)):
        score = matcher.score(family.slant * distances[planes, None, None])
        cost[:, planes] = (1 - score).transpose(0, 1)
    sees = (matcher.reference.keep > 0) & (family.slant > 0)
    cost.masked_fill_(~sees[:, None], 1.0)
    return cost
