"""Residuals of several photos, carried over to a view by the surface's depth, and blended.

A photo's residual is used where the photo sees the same place of the surface, away from depth edges and from what is
masked in it (`residuals`). It counts less the farther its direction is from the view's, and the coarser it sees the
place. Photos that disagree with the others are voted down (Cauchy weights).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nrw.core.device import constant
from nrw.geometry.cameras import Camera
from nrw.models.detail_channels import DETAIL

SAME_PLACE = 0.01  # relative difference of depth
ANGLE = 12.0  # degrees between two directions at which a photo counts 1/e
COARSENESS = 1.5  # photos count exp(-this) for each time that their pixels are larger than the view's
COARSEST = 3.0  # larger pixels count no less
DISAGREEMENT = 0.25  # log ratio at which a photo counts half
ROUNDS = 2  # of voting
NOTHING = 0.03  # weight of no detail at all, against places that are seen from far aside only


@dataclass(frozen=True)
class Source:
    """A photo's residual. camera: of its pixels. residual: (1, 4, H, W) float32, log ratio of RGB and confidence.

    depth: (h, w) float32, what its view of the surface shows, 0 = none, of any size. All on one device.
    """

    camera: Camera
    residual: Tensor
    depth: Tensor


def lift(camera: Camera, pixel: Tensor, depth: Tensor) -> Tensor:
    """(3, M) float32: the world points of pixels (M,), numbered row by row, at depths (M,)."""
    x = (pixel % camera.width + 0.5 - camera.cx) / camera.fx * depth
    y = (pixel // camera.width + 0.5 - camera.cy) / camera.fy * depth
    rotation = constant(camera.rotation, depth.device)
    return rotation.T @ torch.stack([x, y, depth]) + constant(camera.center[:, None], depth.device)


@dataclass(frozen=True)
class Places:
    """Points that a view sees. points: (3, M), world. ours: (3, M), from the view's camera. near: (M,), their lengths.

    eye: (3,) float64, position of the camera. focal: of the view, pixels.
    """

    points: Tensor
    ours: Tensor
    near: Tensor
    eye: np.ndarray
    focal: float

    @classmethod
    def of(cls, points: Tensor, view: Camera) -> "Places":
        ours = points - constant(view.center[:, None], points.device)
        return cls(points, ours, _squared_length(ours).sqrt(), view.center, view.fx)


def warp(source: Source, places: Places) -> tuple[Tensor, Tensor]:
    """What a source shows at places that a view sees: log ratios (3, M), and their weights (M,), 0 to 1.

    Where the weight is 0 the log ratios are finite, but mean nothing.
    """
    grid, z = _on_grid(source.camera, places.points)
    seen = F.grid_sample(source.depth[None, None], grid, mode="nearest", align_corners=False)  # 0 beyond the picture
    same = (seen.flatten() - z).abs_() < SAME_PLACE * z
    found = F.grid_sample(source.residual, grid, align_corners=False, padding_mode="border")[0, :, 0]  # (4, M)
    return found[:3], found[3] * _likeness(places, source.camera) * same


def _on_grid(camera: Camera, points: Tensor) -> tuple[Tensor, Tensor]:
    """Project points (3, M): the grid (1, 1, M, 2) of `grid_sample`, [-1, 1] in the picture, and depths (M,)."""
    grid_from_camera = np.array(
        [
            [2 * camera.fx / camera.width, 0, 2 * camera.cx / camera.width - 1],
            [0, 2 * camera.fy / camera.height, 2 * camera.cy / camera.height - 1],
            [0, 0, 1],
        ]
    )
    grid_from_world = constant(grid_from_camera @ camera.cam_from_world, points.device)
    x, y, z = torch.addmm(grid_from_world[:, 3:], grid_from_world[:, :3], points)
    grid = points.new_empty(len(z), 2)
    for column, along in zip(grid.T, (x, y), strict=True):
        torch.div(along, z.clamp_min(1e-6), out=column)
    return grid.clamp_(-2, 2)[None, None], z


def _likeness(places: Places, camera: Camera) -> Tensor:
    """(M,): how much a photo's view of places is worth in their view, by direction and by size of pixels."""
    # a vector from the photo's camera is the one from ours, plus a constant
    apart = places.eye - camera.center
    along = (constant(apart[None], places.near.device) @ places.ours)[0]
    squared = places.near.square().add_(along)  # ours times theirs
    far = (squared + along).add_(float(apart @ apart)).clamp_min_(0).sqrt_()
    angle = (squared / (places.near * far)).clamp_(-1, 1).arccos_().mul_(np.degrees(1) / ANGLE)
    coarser = (far * (places.focal / camera.fx) / places.near).sub_(1).clamp_(0, COARSEST)
    return angle.square_().add_(coarser, alpha=COARSENESS).neg_().exp_()


def blend(logs: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, Tensor]:
    """Blend S sources, logs S times (3, M), weights (S, M): (5, M), the channels of `models.detail_channels`, and (M,).

    These are the mean log ratio of RGB, its spread, the photos' deviation from it, and the weight, 0 (no photo shows
    the place) to 1; and the effective number of photos in the mean, 1 to S, or 0 (Kish, "Survey Sampling", 1965).
    Without sources there is no detail.
    """
    if not len(logs):
        return weights.new_zeros(DETAIL, weights.shape[1]), weights.new_zeros(weights.shape[1])
    votes = weights
    for _ in range(ROUNDS):
        votes = weights / _squared_distance(logs, _mean(logs, votes)).div_(DISAGREEMENT**2).add_(1)
    mean, total = _mean(logs, votes), votes.sum(dim=0)
    variance = (votes * _squared_distance(logs, mean)).sum(dim=0) / (3 * (total + NOTHING))
    number = total.square() / votes.square().sum(dim=0).clamp_min(1e-12)
    return torch.cat([mean, variance.sqrt()[None], (total / (total + 10 * NOTHING))[None]]), number


# source by source: a third of the time of one operation over all of them, whose temporary arrays do not fit into caches


def _mean(logs: Sequence[Tensor], weights: Tensor) -> Tensor:
    """(3, M)."""
    total = torch.zeros_like(logs[0])
    for some, weight in zip(logs, weights, strict=True):
        total.addcmul_(some, weight)
    return total / (weights.sum(dim=0) + NOTHING)


def _squared_distance(logs: Sequence[Tensor], mean: Tensor) -> Tensor:
    """(S, M)."""
    return torch.stack([_squared_length(some - mean) for some in logs])


def _squared_length(vectors: Tensor) -> Tensor:
    """(M,): of vectors (3, M)."""
    x, y, z = vectors
    return x.square().addcmul_(y, y).addcmul_(z, z)
