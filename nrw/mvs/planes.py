"""Local planes of a depth map, which smooth it, extrapolate it, and give its normals.

On a plane n.X = 1 the inverse depth is n.(x, y, 1), with x, y the normalised image coordinates. It is linear in the
image, so that a least-squares fit of a linear function to the inverse depths of a window fits a plane.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from nrw.geometry.cameras import Camera

MAX_SLOPE = 1.1  # ratio of depths half a pixel apart, to which a plane's slope is limited
STEEPEST = 3.0  # tangent of the angle to the image plane up to which all of a window may be on one surface

Array = TypeVar("Array", np.ndarray, torch.Tensor)


@dataclass(frozen=True)
class Planes:
    """Inverse depth on the plane of each pixel. value: (H, W), at the pixel. slope_x, slope_y: (H, W), per pixel."""

    value: torch.Tensor
    slope_x: torch.Tensor
    slope_y: torch.Tensor


def level_slant(camera: Camera, device: torch.device | str = "cpu") -> torch.Tensor:
    """(H, W): the height that a pixel's ray loses per unit of depth, <= 0 above the horizon. The world's z is up.

    On a level plane d below the camera the inverse depth is this divided by d.
    """
    x = (torch.arange(camera.width, device=device) + 0.5 - camera.cx) / camera.fx
    y = ((torch.arange(camera.height, device=device) + 0.5 - camera.cy) / camera.fy)[:, None]
    up = camera.rotation[:, 2]
    return (-(float(up[0]) * x + float(up[1]) * y + float(up[2]))).float()


def fit_planes(inverse_depth: torch.Tensor, weight: torch.Tensor, radius: int, camera: Camera) -> Planes:
    """Fit a plane around each pixel of an (H, W) inverse-depth map, 0 = none, with (H, W) weights >= 0.

    Neighbours are left out if their depth differs by more than on a surface of slope STEEPEST. Where more neighbours
    share the pixel's height than its depth, heights are compared instead: at a grazing angle the ground is steeper than
    that. Where too few neighbours are left, the value stays and the slopes are 0.
    """
    height, width = inverse_depth.shape
    scale = inverse_depth.clamp_min(1e-12)
    tolerance = STEEPEST * radius / camera.fx  # relative difference
    slant = level_slant(camera, inverse_depth.device)
    # the inverse of the distance that the pixel's surface is below the camera
    closeness = torch.where(slant > 0, inverse_depth / slant.clamp_min(1e-6), 0.0)
    level = _support(closeness, weight, radius, tolerance) > _support(inverse_depth, weight, radius, tolerance)
    compared = torch.where(level, closeness, inverse_depth).clamp_min(1e-12)
    padded, padded_weight, padded_closeness = (
        F.pad(values[None, None], (radius,) * 4)[0, 0] for values in (inverse_depth, weight, closeness)
    )
    # moments of the window: sums of w times 1, x, y, x², xy, y², c, xc, yc; c is the change relative to the centre
    n, sx, sy, sxx, sxy, syy, sc, sxc, syc = (torch.zeros_like(inverse_depth) for _ in range(9))
    for y in range(2 * radius + 1):
        for x in range(2 * radius + 1):
            dx, dy = x - radius, y - radius
            window = slice(y, y + height), slice(x, x + width)
            same = (torch.where(level, padded_closeness[window], padded[window]) / compared - 1).abs() < tolerance
            w = torch.where(same, padded_weight[window], 0.0)
            change = (padded[window] / scale - 1) * w
            for moment, factor in ((n, 1), (sx, dx), (sy, dy), (sxx, dx * dx), (sxy, dx * dy), (syy, dy * dy)):
                if factor:
                    moment.add_(w, alpha=factor)
            for moment, factor in ((sc, 1), (sxc, dx), (syc, dy)):
                if factor:
                    moment.add_(change, alpha=factor)
    n.clamp_min_(1e-6)
    xx, xy, yy = sxx - sx * sx / n, sxy - sx * sy / n, syy - sy * sy / n
    xc, yc = sxc - sx * sc / n, syc - sy * sc / n
    determinant = xx * yy - xy * xy
    solvable = determinant > 1e-3 * n * n  # not all on one line
    determinant = torch.where(solvable, determinant, 1.0)
    slope_x = torch.where(solvable, (yy * xc - xy * yc) / determinant, 0.0)
    slope_y = torch.where(solvable, (xx * yc - xy * xc) / determinant, 0.0)
    change = torch.where(solvable, (sc - slope_x * sx - slope_y * sy) / n, 0.0)
    return Planes(inverse_depth * (1 + change), slope_x * inverse_depth, slope_y * inverse_depth)


def _support(values: torch.Tensor, weight: torch.Tensor, radius: int, tolerance: float) -> torch.Tensor:
    """(H, W): the weight of the pixels with the centre's value, among a window's centre, corners and middles of sides.

    tolerance: relative difference up to which values are the same.
    """
    height, width = values.shape
    padded, padded_weight = (F.pad(v[None, None], (radius,) * 4)[0, 0] for v in (values, weight))
    limit = values * tolerance
    support = torch.zeros_like(values)
    for y in (0, radius, 2 * radius):
        for x in (0, radius, 2 * radius):
            near = (padded[y : y + height, x : x + width] - values).abs_() < limit
            support.add_(near * padded_weight[y : y + height, x : x + width])
    return support


def facing(normals: Array, x: Array, y: Array, camera: Camera) -> Array:
    """(...): products of normals (..., 3) and the rays, of length 1 along the optical axis, through pixels x, y (...).

    On a plane the inverse depth is proportional to it. NumPy arrays or tensors.
    """
    across, down = (x - float(camera.cx)) / float(camera.fx), (y - float(camera.cy)) / float(camera.fy)
    return normals[..., 0] * across + normals[..., 1] * down + normals[..., 2]


def normals_from_depth(depth: torch.Tensor, camera: Camera, radius: int = 3) -> torch.Tensor:
    """Compute normals (H, W, 3), unit length, in and towards the camera, from depth (H, W); 0 = none in both."""
    valid = depth > 0
    inverse_depth = torch.where(valid, 1 / depth.clamp_min(1e-12), 0.0)
    planes = fit_planes(inverse_depth, valid.float(), radius, camera)
    x = (torch.arange(camera.width, device=depth.device) + 0.5 - camera.cx) / camera.fx
    y = ((torch.arange(camera.height, device=depth.device) + 0.5 - camera.cy) / camera.fy)[:, None]
    slope_x, slope_y = planes.slope_x * camera.fx, planes.slope_y * camera.fy
    plane = torch.stack([slope_x, slope_y, planes.value - slope_x * x - slope_y * y], dim=-1)
    return torch.where(valid[..., None], -F.normalize(plane, dim=-1), 0.0)
