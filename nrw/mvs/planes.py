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
from nrw.mvs.batches import batches

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
    slant = level_slant(camera, inverse_depth.device)
    # the inverse of the distance that the pixel's surface is below the camera
    closeness = torch.where(slant > 0, inverse_depth / slant.clamp_min(1e-6), 0.0)
    padded = F.pad(torch.stack([inverse_depth, closeness, weight]), (radius,) * 4)
    tolerance = STEEPEST * radius / camera.fx  # relative difference
    fits = [
        _fit(padded[:, rows.start : rows.stop + 2 * radius], radius, tolerance)
        for rows in batches(height, (2 * radius + 1) ** 2 * width, padded.device)
    ]
    change, slope_x, slope_y = torch.cat(fits, 1)
    return Planes(inverse_depth * (1 + change), slope_x * inverse_depth, slope_y * inverse_depth)


def _fit(padded: torch.Tensor, radius: int, tolerance: float) -> torch.Tensor:
    """(3, H, W): of the planes' inverse depth, relative to the pixel's, the difference and the slopes.

    padded: (3, H', W') inverse depth, closeness and weight, `radius` pixels larger on each side.
    """
    windows = _windows(padded, radius)
    inverse_depth, closeness, _ = windows[:, radius, radius]
    level = torch.gt(*_support(windows[:, ::radius, ::radius], tolerance))
    compared = torch.where(level, closeness, inverse_depth).clamp_min_(1e-12)
    same = torch.where(level, windows[1], windows[0]).div_(compared).sub_(1).abs_() < tolerance
    w = windows[2] * same
    change = (windows[0] / inverse_depth.clamp_min(1e-12)).sub_(1).mul_(w)
    # moments of the window: sums of w times 1, x, y, x², xy, y², and of the change relative to the centre times 1, x, y
    y, x = torch.meshgrid(*[torch.arange(-radius, radius + 1.0, device=w.device)] * 2, indexing="ij")
    factors = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y]).flatten(1)
    n, sx, sy, sxx, sxy, syy = (factors @ w.flatten(2).flatten(0, 1)).unflatten(1, level.shape)
    sc, sxc, syc = (factors[:3] @ change.flatten(2).flatten(0, 1)).unflatten(1, level.shape)
    n.clamp_min_(1e-6)
    xx, xy, yy = sxx - sx * sx / n, sxy - sx * sy / n, syy - sy * sy / n
    xc, yc = sxc - sx * sc / n, syc - sy * sc / n
    determinant = xx * yy - xy * xy
    solvable = determinant > 1e-3 * n * n  # not all on one line
    determinant = torch.where(solvable, determinant, 1.0)
    slope_x, slope_y = (yy * xc - xy * yc) / determinant, (xx * yc - xy * xc) / determinant
    fitted = torch.stack([(sc - slope_x * sx - slope_y * sy) / n, slope_x, slope_y])
    return torch.where(solvable, fitted, 0.0)


def _windows(padded: torch.Tensor, radius: int) -> torch.Tensor:
    """The (..., H', W') values at the places of the windows around H x W pixels: (..., 2r + 1, 2r + 1, H, W)."""
    height, width = padded.shape[-2] - 2 * radius, padded.shape[-1] - 2 * radius
    return padded.unfold(-2, height, 1).unfold(-2, width, 1).contiguous()


def _support(windows: torch.Tensor, tolerance: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(H, W) each: the weight of the pixels with the centre's closeness, and with its inverse depth.

    windows: (3, 3, 3, H, W), inverse depth, closeness and weight at a window's centre, corners and middles of sides.
    tolerance: relative difference up to which values are the same.
    """
    values, weight = windows[:2], windows[2]
    center = values[:, 1, 1][:, None, None]
    near = (values - center).abs_() < center * tolerance
    inverse_depth, closeness = (near * weight).sum((1, 2))
    return closeness, inverse_depth


def facing(normals: Array, x: Array, y: Array) -> Array:
    """(...): products of normals (..., 3) and the rays (x, y, 1), with x and y (...) normalised image coordinates.

    On a plane the inverse depth is proportional to it. NumPy arrays or tensors.
    """
    return normals[..., 0] * x + normals[..., 1] * y + normals[..., 2]


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
