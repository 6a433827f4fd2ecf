"""Depth proposals from the neighbours' depth maps: each map rendered into a photo, and the depths that most agree on.

As in Merrell et al. 2007, "Real-Time Visibility-Based Fusion of Depth Maps": the maps are rendered into the reference,
and each depth at a pixel is supported by the others close to it. Matching then decides which of them the photo sees.
"""

import torch

from nrw.geometry.cameras import Camera
from nrw.mvs.planes import MAX_SLOPE, facing

TOLERANCE = 0.01  # relative difference from which on depths do not support each other


def seen_from(camera: Camera, depth: torch.Tensor, normals: torch.Tensor, other: Camera) -> torch.Tensor:
    """Render another photo's depth map into `camera`: inverse depth (H', W'), 0 = none.

    depth, normals: (H, W), 0 = none, and (H, W, 3), in the camera `other`. Each pixel covers the four nearest pixels of
    the result with its plane, so that surfaces at a grazing angle keep their slope. The nearest surface hides others.
    """
    device = depth.device
    row, column = torch.nonzero(depth, as_tuple=True)
    depth, normals = depth[row, column], normals[row, column]
    x, y = (column + 0.5 - other.cx) / other.fx, (row + 0.5 - other.cy) / other.fy
    rotation = camera.rotation @ other.rotation.T
    translation = camera.cam_from_world[:, 3] - rotation @ other.cam_from_world[:, 3]
    rotation, translation = (torch.tensor(part, dtype=torch.float32, device=device) for part in (rotation, translation))
    points = rotation @ torch.stack([x * depth, y * depth, depth]) + translation[:, None]  # (3, N)
    normals = normals @ rotation.T
    in_front = points[2] > 0
    inverse_depth = 1 / points[2].clamp_min(1e-12)
    x = points[0] * inverse_depth * camera.fx + camera.cx
    y = points[1] * inverse_depth * camera.fy + camera.cy
    exact = facing(normals, x, y, camera)
    seen = torch.zeros(camera.height * camera.width, device=device)
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = (x - 0.5).floor() + dx, (y - 0.5).floor() + dy
            inside = in_front & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
            slope = (facing(normals, column + 0.5, row + 0.5, camera) / exact).nan_to_num(1.0)
            value = inverse_depth * slope.clamp(1 / MAX_SLOPE, MAX_SLOPE)
            index = (row * camera.width + column)[inside].long()
            seen.scatter_reduce_(0, index, value[inside], "amax")
    return seen.view(camera.height, camera.width)


def modes(inverse_depths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The two inverse depths (H, W) per pixel with most support among (N, H, W) maps, 0 = none; 0 where there is none.

    The second differs from the first by at least 2 * TOLERANCE of it.
    """
    support = torch.zeros_like(inverse_depths)
    for own, value in zip(support, inverse_depths, strict=True):
        for other in inverse_depths:
            own += (1 - (other / value.clamp_min(1e-12) - 1).abs_().div_(TOLERANCE)).clamp_min_(0)
    first = _best(inverse_depths, support)
    support[(inverse_depths - first).abs() < 2 * TOLERANCE * first] = 0
    return first, _best(inverse_depths, support)


def _best(values: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """(H, W): of (N, H, W) values the one with most support per pixel, 0 where none has any."""
    most, index = support.max(0, keepdim=True)
    return torch.where(most > 0, values.gather(0, index), 0.0)[0]
