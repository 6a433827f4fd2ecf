"""Refinement of an inverse-depth map at one scale: fit planes, try the neighbours' planes and small offsets, and keep
each proposal that scores better.

Planes are propagated as in PatchMatch stereo (Bleyer et al. 2011), but for all pixels at once, as in Galliani et al.
2015, "Massively Parallel Multiview Stereopsis by Surface Normal Diffusion". Fitting planes between the rounds removes a
third of the error that remains when each pixel takes its best score, and raises the scores, since windows match better
on smooth surfaces.
"""

import torch
import torch.nn.functional as F

from nrw.mvs.matcher import Matcher
from nrw.mvs.planes import Planes, fit_planes

MARGIN = 0.002  # by which a proposal must score better: without it, noise roughens untextured parts
FIT_RADIUS = 2  # pixels
SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))


def upsample(inverse_depth: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resize (h, w) to (height, width) by the nearest pixel: no depths between foreground and background arise."""
    return F.interpolate(inverse_depth[None, None], (height, width), mode="nearest-exact")[0, 0]


def refine(
    matcher: Matcher, inverse_depth: torch.Tensor, limits: tuple[float, float], rounds: tuple[tuple[int, float], ...]
) -> torch.Tensor:
    """Improve an (H, W) inverse-depth map; the result lies within `limits`.

    rounds: per round, the distance (pixels) from which neighbours propose their planes, and the offset (pixels of
    disparity) that is tried in both directions.
    """
    for distance, offset in rounds:
        planes = _fitted(matcher, inverse_depth)
        sides = [_from_neighbour(planes, dx * distance, dy * distance) for dx, dy in SIDES]
        inverse_depth, best = best_of(matcher, torch.stack([planes.value, *sides]).clamp(*limits))
        step = offset / _disparity_rate(matcher, inverse_depth)
        for sign in (-1, 1):
            proposal = (inverse_depth + sign * step).clamp(*limits)
            inverse_depth, best = _better(inverse_depth, best, proposal, matcher.score(proposal[None])[0])
    peak = _parabola(matcher, inverse_depth, rounds[-1][1])
    return _fitted(matcher, peak).value.clamp(*limits)


def unless_worse(
    matcher: Matcher, first: torch.Tensor, second: torch.Tensor, radius: int, handicap: float
) -> torch.Tensor:
    """(H, W): `second`, but `first` where its mean score in the window around the pixel is higher by `handicap`."""
    scores = F.pad(matcher.score(torch.stack([first, second]))[:, None], (radius,) * 4, mode="replicate")
    first_score, second_score = F.avg_pool2d(scores, 2 * radius + 1, 1)[:, 0]
    return torch.where(first_score > second_score + handicap, first, second)


def best_of(matcher: Matcher, proposals: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of (N, H, W) inverse depths the first, but any later one that scores better: (H, W) each, and its score."""
    scores = matcher.score(proposals)
    inverse_depth, best = proposals[0], scores[0]
    for proposal, score in zip(proposals[1:], scores[1:], strict=True):
        inverse_depth, best = _better(inverse_depth, best, proposal, score)
    return inverse_depth, best


def _better(
    current: torch.Tensor, best: torch.Tensor, proposal: torch.Tensor, score: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the proposal where its score is higher than that of `current`, `best`; all (H, W). Returns both anew."""
    better = score > best + MARGIN
    return torch.where(better, proposal, current), torch.where(better, score, best)


def _fitted(matcher: Matcher, inverse_depth: torch.Tensor) -> Planes:
    """The planes of an (H, W) map, fitted with its scores as weights."""
    score = matcher.score(inverse_depth[None])[0]
    return fit_planes(inverse_depth, score.clamp_min(0.01), FIT_RADIUS, matcher.reference.camera)


def _from_neighbour(planes: Planes, dx: int, dy: int) -> torch.Tensor:
    """(H, W): at (x, y), the value of the plane of the neighbour at (x + dx, y + dy)."""
    extrapolated = planes.value - planes.slope_x * dx - planes.slope_y * dy
    height, width = extrapolated.shape
    reach = max(abs(dx), abs(dy))
    padded = F.pad(extrapolated[None, None], (reach,) * 4, mode="replicate")[0, 0]
    return padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]


def _disparity_rate(matcher: Matcher, inverse_depth: torch.Tensor) -> torch.Tensor:
    """(H, W) pixels of disparity per unit of inverse depth, mean over the sources, positive."""
    return matcher.disparity_rate(inverse_depth).mean(0).clamp_min(1e-6)


def _parabola(matcher: Matcher, inverse_depth: torch.Tensor, offset: float) -> torch.Tensor:
    """Move to the peak of the parabola through the scores at plus and minus `offset` pixels of disparity."""
    step = offset / _disparity_rate(matcher, inverse_depth)
    left, middle, right = matcher.score(torch.stack([inverse_depth - step, inverse_depth, inverse_depth + step]))
    curvature = 2 * middle - left - right
    shift = torch.where(curvature > 1e-6, (right - left) / (2 * curvature).clamp_min(1e-6), 0.0).clamp(-1, 1)
    return inverse_depth + shift * step
