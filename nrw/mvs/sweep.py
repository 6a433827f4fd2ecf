"""The plane sweep: matching costs for fronto-parallel planes at equal steps of inverse depth.

Collins 1996, "A space-sweep approach to true multi-image matching"; costs as in `match`.
"""

import numpy as np
import torch

from nrw.cameras import Camera
from nrw.mvs.match import Matcher

MIN_PLANES, MAX_PLANES = 32, 256


def depth_range(camera: Camera, points: np.ndarray) -> tuple[float, float]:
    """The nearest and farthest depth to search, world units, from the (N, 3) sparse points that the photo sees.

    The near end leaves room for the ground in front of the nearest point; the far end costs few planes.
    """
    depth = camera.project(points)[1]
    near, far = np.percentile(depth[depth > 0], [0.5, 99.5])
    return 0.7 * near, 2 * far


def inverse_depth_planes(matcher: Matcher, near: float, far: float) -> torch.Tensor:
    """(D,) ascending inverse depths, a pixel of disparity apart in the source whose baseline is the median."""
    middle = torch.full_like(matcher.reference.image, (1 / near + 1 / far) / 2)
    rates = matcher.disparity_rate(middle)
    typical = torch.stack(
        [rate[rate > 0].median() if (rate > 0).any() else rate.new_zeros(()) for rate in rates]
    ).median()
    count = int(np.clip(float(typical) * (1 / near - 1 / far), MIN_PLANES, MAX_PLANES))
    return torch.linspace(1 / far, 1 / near, count, device=middle.device)


def sweep(matcher: Matcher, planes: torch.Tensor) -> torch.Tensor:
    """The costs (H, D, W) float32 in [0, 1] of D planes; the same for all planes where the photo is masked."""
    height, width = matcher.reference.image.shape
    cost = planes.new_empty(height, len(planes), width)
    for index, plane in enumerate(planes):  # one at a time: its maps stay in the processor's cache
        cost[:, index] = 1 - matcher.score(plane.expand(1, height, width))[0]
    cost.masked_fill_(matcher.reference.usable[:, None] == 0, 1.0)
    return cost
