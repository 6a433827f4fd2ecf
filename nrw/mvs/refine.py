"""Refinement of an inverse-depth map at one scale: try the neighbours' surfaces and small offsets, keep what scores better.

Propagation as in PatchMatch stereo (Bleyer et al. 2011), but for all pixels at once, as Galliani et al. 2015 ("Massively
Parallel Multiview Stereopsis by Surface Normal Diffusion") do: a neighbour proposes its own inverse depth and the value
that its local plane has here.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from nrw.mvs.match import Matcher

MARGIN = 0.002  # by how much a proposal must score better: keeps noise from roughening untextured parts


def upsample(inverse_depth: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(h, w) to (height, width) by the nearest pixel, so that no depth arises between a foreground and its background."""
    return F.interpolate(inverse_depth[None, None], (height, width), mode="nearest-exact")[0, 0]


def refine(
    matcher: Matcher, inverse_depth: torch.Tensor, limits: tuple[float, float], offsets: tuple[float, ...], reach: tuple[int, ...]
) -> torch.Tensor:
    """Improve an (H, W) inverse-depth map; the result lies within `limits`.

    offsets: one round each, in pixels of disparity, largest first: plus and minus that much is tried.
    reach: pixels; the distances in that round from which neighbours propose.
    """
    for offset, distance in zip(offsets, reach, strict=True):
        best = matcher.score(inverse_depth[None])[0]
        for proposal in _propagated(inverse_depth, distance):
            inverse_depth, best = _keep_better(matcher, inverse_depth, best, proposal.clamp(*limits))
        step = offset / _disparity_rate(matcher, inverse_depth)
        for sign in (-1, 1):
            proposal = (inverse_depth + sign * step).clamp(*limits)
            inverse_depth, best = _keep_better(matcher, inverse_depth, best, proposal)
    return _parabola(matcher, inverse_depth, offsets[-1]).clamp(*limits)


def _keep_better(
    matcher: Matcher, current: torch.Tensor, best: torch.Tensor, proposal: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    score = matcher.score(proposal[None])[0]
    better = score > best + MARGIN
    return torch.where(better, proposal, current), torch.where(better, score, best)


def _propagated(inverse_depth: torch.Tensor, distance: int) -> Iterator[torch.Tensor]:
    """What the neighbours on four sides propose: their value, and their value extrapolated along their slope."""
    padded = F.pad(inverse_depth[None, None], (2 * distance,) * 4, mode="replicate")[0, 0]
    height, width = inverse_depth.shape
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        near, far = (
            padded[
                (2 + dy * steps) * distance : (2 + dy * steps) * distance + height,
                (2 + dx * steps) * distance : (2 + dx * steps) * distance + width,
            ]
            for steps in (1, 2)
        )
        yield near
        yield 2 * near - far


def _disparity_rate(matcher: Matcher, inverse_depth: torch.Tensor) -> torch.Tensor:
    """(H, W) pixels per unit of inverse depth, mean over the sources, positive."""
    return matcher.disparity_rate(inverse_depth).mean(0).clamp_min(1e-6)


def _parabola(matcher: Matcher, inverse_depth: torch.Tensor, offset: float) -> torch.Tensor:
    """Move to the peak of the parabola through the scores at plus and minus `offset` pixels of disparity."""
    step = offset / _disparity_rate(matcher, inverse_depth)
    left, middle, right = (matcher.score((inverse_depth + sign * step)[None])[0] for sign in (-1, 0, 1))
    curvature = 2 * middle - left - right
    shift = torch.where(curvature > 1e-6, (right - left) / (2 * curvature).clamp_min(1e-6), 0.0).clamp(-1, 1)
    return inverse_depth + shift * step
