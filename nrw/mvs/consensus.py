"""Depth proposals from the neighbours' depth maps: each map rendered into a photo, and the depths that most agree on.

As in Merrell et al. 2007, "Real-Time Visibility-Based Fusion of Depth Maps": the maps are rendered into the reference,
and each depth at a pixel is supported by the others close to it. Matching then decides which of them the photo sees.
"""

import torch

from nrw.geometry.cameras import Camera
from nrw.mvs.batches import batches
from nrw.mvs.depth_maps import DepthMap, intrinsics
from nrw.mvs.planes import MAX_SLOPE, facing

TOLERANCE = 0.01  # relative difference from which on depths do not support each other


def seen_from(camera: Camera, others: list[DepthMap]) -> torch.Tensor:
    """Render other photos' depth maps into `camera`: inverse depths (N, H, W), 0 = none.

    Each pixel covers the four nearest pixels of the result with its plane, so that surfaces at a grazing angle keep
    their slope. The nearest surface hides others.
    """
    size, device = camera.height * camera.width, others[0].depth.device
    seen = torch.zeros(len(others), size, device=device)
    for some in batches(len(others), size, device):
        carried = [_carried(other, camera) for other in others[some]]
        points, normals = (torch.cat(parts, 1) for parts in zip(*carried, strict=True))
        start = torch.cat([torch.full_like(own[0], n * size, dtype=torch.long) for n, (own, _) in enumerate(carried)])
        for part in batches(len(start), 8, device):
            _splat(seen[some].view(-1), camera, points[:, part], normals[:, part], start[part])
    return seen.view(-1, camera.height, camera.width)


def _carried(other: DepthMap, camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and normals, (3, M) each, of another photo's pixels with a depth, in the camera."""
    row, column = torch.nonzero(other.depth, as_tuple=True)
    depth, normals = other.depth[row, column], other.normals[row, column]
    x = (column + 0.5 - other.camera.cx) / other.camera.fx
    y = (row + 0.5 - other.camera.cy) / other.camera.fy
    rotation = camera.rotation @ other.camera.rotation.T
    translation = camera.cam_from_world[:, 3] - rotation @ other.camera.cam_from_world[:, 3]
    rotation, translation = (torch.tensor(p, dtype=torch.float32, device=depth.device) for p in (rotation, translation))
    return rotation @ torch.stack([x * depth, y * depth, depth]) + translation[:, None], (normals @ rotation.T).T


def _splat(
    seen: torch.Tensor, camera: Camera, points: torch.Tensor, normals: torch.Tensor, start: torch.Tensor
) -> None:
    """Enter (3, M) points and normals into the inverse depths `seen`, in which their picture begins at (M,) `start`."""
    device, normals = points.device, normals.T
    focal, center = intrinsics([camera], device)  # (2, 1) each
    size = torch.tensor([camera.width, camera.height], device=device)[:, None, None]
    inverse_depth = 1 / points[2].clamp_min(1e-12)
    pixel = (points[:2] * inverse_depth).mul_(focal).add_(center)
    exact = facing(normals, *((pixel - center) / focal))
    corners = torch.tensor([[0, 1, 0, 1], [0, 0, 1, 1]], device=device)[..., None]
    near = (pixel - 0.5).floor()[:, None] + corners  # (2, 4, M)
    inside = (points[2] > 0) & ((near >= 0) & (near < size)).all(0)
    slope = (facing(normals, *((near + 0.5).sub_(center[..., None]).div_(focal[..., None]))) / exact).nan_to_num_(1.0)
    value = inverse_depth * slope.clamp_(1 / MAX_SLOPE, MAX_SLOPE)
    index = (near[1] * camera.width + near[0]).long() + start
    seen.scatter_reduce_(0, index[inside], value[inside], "amax")


def modes(inverse_depths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The two inverse depths (H, W) per pixel with most support among (N, H, W) maps, 0 = none; 0 where there is none.

    The second differs from the first by at least 2 * TOLERANCE of it.
    """
    count, height, width = inverse_depths.shape
    rows = batches(height, count * count * width, inverse_depths.device)
    first, second = zip(*(_modes(inverse_depths[:, some]) for some in rows), strict=True)
    return torch.cat(first), torch.cat(second)


def _modes(inverse_depths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    relative = inverse_depths / inverse_depths.clamp_min(1e-12)[:, None]  # (N, N, H, W)
    support = (1 - relative.sub_(1).abs_().div_(TOLERANCE)).clamp_min_(0).sum(1)
    first = _best(inverse_depths, support)
    support.masked_fill_((inverse_depths - first).abs_() < 2 * TOLERANCE * first, 0)
    return first, _best(inverse_depths, support)


def _best(values: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """(H, W): of (N, H, W) values the one with most support per pixel, 0 where none has any."""
    most, index = support.max(0, keepdim=True)
    return torch.where(most > 0, values.gather(0, index), 0.0)[0]
