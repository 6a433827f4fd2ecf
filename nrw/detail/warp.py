"""Residuals of several photos, carried over to a view by the surface's depth, and blended.

A photo's residual is used where the photo sees the same place of the surface, away from depth edges and from what is
masked in it (`residuals`). It counts less the farther its direction is from the view's, and the coarser it sees the
place. Photos that disagree with the others are voted down (Cauchy weights).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nrw.geometry.cameras import Camera

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


@dataclass(frozen=True)
class Detail:
    """The detail of a view at M places.

    mean: (M, 3), log ratio of RGB. spread: (M,), deviation of the photos from it. weight: (M,), 0 (no photo shows the
    place) to 1.
    """

    mean: Tensor
    spread: Tensor
    weight: Tensor


def lift(camera: Camera, pixel: Tensor, depth: Tensor) -> Tensor:
    """(M, 3) float32: the world points of pixels (M,), numbered row by row, at depths (M,)."""
    x = (pixel % camera.width + 0.5 - camera.cx) / camera.fx * depth
    y = (pixel // camera.width + 0.5 - camera.cy) / camera.fy * depth
    rotation = torch.as_tensor(camera.rotation, dtype=torch.float32, device=depth.device)
    center = torch.as_tensor(camera.center, dtype=torch.float32, device=depth.device)
    return torch.stack([x, y, depth], dim=1) @ rotation + center


def warp(source: Source, points: Tensor, view: Camera) -> tuple[Tensor, Tensor]:
    """What a source shows at points (M, 3) that a view sees: log ratios (M, 3), and their weights (M,), 0 to 1."""
    camera = source.camera
    pose = torch.as_tensor(camera.cam_from_world, dtype=torch.float32, device=points.device)
    x, y, z = (points @ pose[:, :3].T + pose[:, 3]).unbind(1)
    u, v = x / z * camera.fx + camera.cx, y / z * camera.fy + camera.cy
    inside = ((z > 0) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)).nonzero().squeeze(1)
    u, v, z, points = u[inside], v[inside], z[inside], points[inside]
    rows, columns = source.depth.shape
    seen = source.depth[(v * (rows / camera.height)).long(), (u * (columns / camera.width)).long()]
    same = ((seen - z).abs() < SAME_PLACE * z).nonzero().squeeze(1)
    inside, u, v, points = inside[same], u[same], v[same], points[same]
    grid = torch.stack([u / camera.width * 2 - 1, v / camera.height * 2 - 1], dim=1)[None, None]
    found = F.grid_sample(source.residual, grid, align_corners=False, padding_mode="border")[0, :, 0]  # (4, m)
    weight = found[3] * _likeness(points, camera, view)
    logs, weights = torch.zeros(len(x), 3, device=points.device), torch.zeros(len(x), device=points.device)
    logs[inside], weights[inside] = found[:3].T, weight
    return logs, weights


def _likeness(points: Tensor, camera: Camera, view: Camera) -> Tensor:
    """(M,): how much a photo's view of points (M, 3) is worth in another view, by direction and by size of pixels."""
    eye, other = (torch.as_tensor(c.center, dtype=torch.float32, device=points.device) for c in (camera, view))
    ours, theirs = points - other, points - eye
    near, far = ours.norm(dim=1), theirs.norm(dim=1)
    cosine = ((ours * theirs).sum(dim=1) / (near * far)).clamp(-1, 1)
    angle = torch.rad2deg(torch.arccos(cosine)) / ANGLE
    coarser = (far / camera.fx / (near / view.fx) - 1).clamp(0, COARSEST)
    return torch.exp(-(angle**2) - COARSENESS * coarser)


def blend(logs: Tensor, weights: Tensor) -> Detail:
    """Blend S sources: logs (S, M, 3), weights (S, M). Without sources there is no detail."""
    votes = weights
    for _ in range(ROUNDS):
        mean = _mean(logs, votes)
        votes = weights / (1 + ((logs - mean) ** 2).sum(dim=2) / DISAGREEMENT**2)
    mean, total = _mean(logs, votes), votes.sum(dim=0)
    variance = (votes * ((logs - mean) ** 2).mean(dim=2)).sum(dim=0) / (total + NOTHING)
    return Detail(mean, variance.sqrt(), total / (total + 10 * NOTHING))


def _mean(logs: Tensor, weights: Tensor) -> Tensor:
    """(M, 3)."""
    return torch.einsum("sm,smc->mc", weights, logs) / (weights.sum(dim=0) + NOTHING)[:, None]
