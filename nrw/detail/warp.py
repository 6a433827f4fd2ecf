"""Residuals of several photos, carried over to a view by the surface's depth, and blended.

A photo's residual is used where the photo sees the same place of the surface, away from depth edges and from what is
masked in it (`residuals`). It counts less the farther its direction is from the view's, and the coarser it sees the
place. Photos that disagree with the others are voted down (Cauchy weights).
"""

from dataclasses import dataclass

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

    focal: of the view, pixels.
    """

    points: Tensor
    ours: Tensor
    near: Tensor
    focal: float

    @classmethod
    def of(cls, points: Tensor, view: Camera) -> "Places":
        ours = points - constant(view.center[:, None], points.device)
        return cls(points, ours, _lengths(ours), view.fx)


def warp(source: Source, places: Places) -> tuple[Tensor, Tensor]:
    """What a source shows at places that a view sees: log ratios (3, M), and their weights (M,), 0 to 1.

    Where the weight is 0 the log ratios are finite, but mean nothing.
    """
    camera = source.camera
    pose = constant(camera.cam_from_world, places.points.device)
    x, y, z = pose[:, :3] @ places.points + pose[:, 3:]
    near = z.clamp_min(1e-6)
    u, v = x / near * (camera.fx / camera.width), y / near * (camera.fy / camera.height)
    u, v = u + camera.cx / camera.width, v + camera.cy / camera.height  # of the picture's width and height
    inside = (z > 0) & (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    rows, columns = source.depth.shape
    row, column = ((some.clamp(0, 1) * size).long().clamp_max(size - 1) for some, size in ((v, rows), (u, columns)))
    seen = source.depth.flatten()[row * columns + column]
    same = inside & ((seen - z).abs() < SAME_PLACE * z)
    grid = torch.stack([u, v], dim=1).clamp(0, 1)[None, None] * 2 - 1
    found = F.grid_sample(source.residual, grid, align_corners=False, padding_mode="border")[0, :, 0]  # (4, M)
    return found[:3], found[3] * _likeness(places, camera) * same


def _likeness(places: Places, camera: Camera) -> Tensor:
    """(M,): how much a photo's view of places is worth in their view, by direction and by size of pixels."""
    theirs = places.points - constant(camera.center[:, None], places.points.device)
    far = _lengths(theirs)
    cosine = ((places.ours * theirs).sum(dim=0) / (places.near * far)).clamp(-1, 1)
    angle = torch.rad2deg(torch.arccos(cosine)) / ANGLE
    coarser = (far / camera.fx / (places.near / places.focal) - 1).clamp(0, COARSEST)
    return torch.exp(-(angle**2) - COARSENESS * coarser)


def blend(logs: Tensor, weights: Tensor) -> Tensor:
    """Blend S sources, logs (S, 3, M), weights (S, M): (5, M), the channels of `models.detail_channels`.

    These are the mean log ratio of RGB, its spread, the photos' deviation from it, and the weight, 0 (no photo shows
    the place) to 1. Without sources there is no detail.
    """
    if not len(logs):
        return torch.zeros(DETAIL, logs.shape[2], device=logs.device)
    votes = weights
    for _ in range(ROUNDS):
        votes = weights / (1 + _squared_distance(logs, _mean(logs, votes)) / DISAGREEMENT**2)
    mean, total = _mean(logs, votes), votes.sum(dim=0)
    variance = (votes * _squared_distance(logs, mean)).sum(dim=0) / (3 * (total + NOTHING))
    return torch.cat([mean, variance.sqrt()[None], (total / (total + 10 * NOTHING))[None]])


# source by source: a third of the time of one operation over all of them, whose temporary arrays do not fit into caches


def _mean(logs: Tensor, weights: Tensor) -> Tensor:
    """(3, M)."""
    total = torch.zeros_like(logs[0])
    for some, weight in zip(logs, weights, strict=True):
        total.addcmul_(some, weight)
    return total / (weights.sum(dim=0) + NOTHING)


def _squared_distance(logs: Tensor, mean: Tensor) -> Tensor:
    """(S, M)."""
    return torch.stack([((some - mean) ** 2).sum(dim=0) for some in logs])


def _lengths(vectors: Tensor) -> Tensor:
    """(M,): of vectors (3, M)."""
    return (vectors**2).sum(dim=0).sqrt()
