"""What the neighbours' depth maps say about a photo's: each seen from its camera, and the depths most of them agree on.

As Merrell et al. 2007, "Real-Time Visibility-Based Fusion of Depth Maps": the maps are rendered into the reference, and
each depth at a pixel is supported by those that are near it. Which of them the photo itself sees is left to matching.
"""

import torch

from nrw.geometry.cameras import Camera
from nrw.mvs.planes import MAX_SLOPE, facing

TOLERANCE = 0.01  # relative difference of depths at which they no longer support each other


def seen_from(camera: Camera, depth: torch.Tensor, normals: torch.Tensor, other: Camera) -> torch.Tensor:
    """The inverse depth (H', W') that `camera` sees of another photo's surface, 0 where that shows none.

    depth, normals: (H, W), 0 = none, and (H, W, 3), of the camera `other`. Each pixel covers the four nearest pixels
    here with its plane, so that grazing surfaces keep their slope; the nearest surface hides those behind it.
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
    before = points[2] > 0
    inverse_depth = 1 / points[2].clamp_min(1e-12)
    x = points[0] * inverse_depth * camera.fx + camera.cx
    y = points[1] * inverse_depth * camera.fy + camera.cy
    exact = facing(normals, x, y, camera)
    seen = torch.zeros(camera.height * camera.width, device=device)
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = (x - 0.5).floor() + dx, (y - 0.5).floor() + dy
            inside = before & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
            slope = (facing(normals, column + 0.5, row + 0.5, camera) / exact).nan_to_num(1.0)
            value = inverse_depth * slope.clamp(1 / MAX_SLOPE, MAX_SLOPE)
            index = (row * camera.width + column)[inside].long()
            seen.scatter_reduce_(0, index, value[inside], "amax")
    return seen.view(camera.height, camera.width)


def modes(inverse_depths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The two inverse depths (H, W) at each pixel that most of (N, H, W) maps, 0 = none, support; 0 if there is none.

    The second one is not near the first.
    """
    support = torch.zeros_like(inverse_depths)
    for own, value in zip(support, inverse_depths, strict=True):
        for other in inverse_depths:
            own += (1 - (other / value.clamp_min(1e-12) - 1).abs_().div_(TOLERANCE)).clamp_min_(0)
    first = _best(inverse_depths, support)
    support[(inverse_depths - first).abs() < 2 * TOLERANCE * first] = 0
    return first, _best(inverse_depths, support)


def _best(values: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """(H, W) that of (N, H, W) values which has most support, 0 where none has any."""
    most, index = support.max(0, keepdim=True)
    return torch.where(most > 0, values.gather(0, index), 0.0)[0]
