"""Surface normals from a depth map."""

import torch
import torch.nn.functional as F

from nrw.cameras import Camera

RADIUS = 3  # pixels
SAME_SURFACE = 0.03  # relative difference of depth up to which a neighbour counts


def normals_from_depth(depth: torch.Tensor, camera: Camera) -> torch.Tensor:
    """(H, W) depth, 0 = none, to (H, W, 3) unit normals in the camera, towards it; zero where there is no depth.

    On the plane n.X = 1 the inverse depth is n.(x, y, 1) with x, y the normalised image coordinates: n is fitted by least
    squares to the inverse depths of a window, leaving out neighbours of another surface.
    """
    height, width = depth.shape
    valid = depth > 0
    inverse = torch.where(valid, 1 / depth.clamp_min(1e-12), 0.0)
    padded = F.pad(inverse[None, None], (RADIUS,) * 4)[0, 0]
    # moments over the window's pixels: number, and sums of dx, dy, dx², dx·dy, dy², c, dx·c, dy·c
    n, sx, sy, sxx, sxy, syy, sc, sxc, syc = (torch.zeros_like(inverse) for _ in range(9))
    for dy in range(-RADIUS, RADIUS + 1):
        for dx in range(-RADIUS, RADIUS + 1):
            other = padded[RADIUS + dy : RADIUS + dy + height, RADIUS + dx : RADIUS + dx + width]
            change = other / inverse.clamp_min(1e-12) - 1  # relative to the centre: well scaled
            weight = (change.abs() < SAME_SURFACE).float()
            change *= weight
            for moment, factor in ((n, 1), (sx, dx), (sy, dy), (sxx, dx * dx), (sxy, dx * dy), (syy, dy * dy)):
                moment.add_(weight, alpha=factor)
            for moment, factor in ((sc, 1), (sxc, dx), (syc, dy)):
                moment.add_(change, alpha=factor)
    n.clamp_min_(1)
    xx, xy, yy = sxx - sx * sx / n, sxy - sx * sy / n, syy - sy * sy / n
    xc, yc = sxc - sx * sc / n, syc - sy * sc / n
    determinant = xx * yy - xy * xy
    solvable = determinant > 1e-3
    determinant = torch.where(solvable, determinant, 1.0)
    slope_x = torch.where(solvable, (yy * xc - xy * yc) / determinant, 0.0) * inverse * camera.fx
    slope_y = torch.where(solvable, (xx * yc - xy * xc) / determinant, 0.0) * inverse * camera.fy
    x = (torch.arange(width, device=depth.device) + 0.5 - camera.cx) / camera.fx
    y = ((torch.arange(height, device=depth.device) + 0.5 - camera.cy) / camera.fy)[:, None]
    plane = torch.stack([slope_x, slope_y, inverse - slope_x * x - slope_y * y], dim=-1)
    return torch.where(valid[..., None], -F.normalize(plane, dim=-1), 0.0)
