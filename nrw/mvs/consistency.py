"""The geometric check: a depth is kept where other photos' depth maps have the surface at the same place.

Forward-backward reprojection as in COLMAP (Schönberger et al. 2016, section 4.4) and MVSNet's filter (Yao et al. 2018).
"""

from itertools import accumulate

import numpy as np
import torch

from nrw.geometry.cameras import Camera
from nrw.mvs.batches import batches
from nrw.mvs.depth_maps import DepthMap, intrinsics
from nrw.mvs.planes import MAX_SLOPE, facing


def agreeing(
    depth: torch.Tensor,
    camera: Camera,
    others: list[DepthMap],
    max_pixels: float = 2.0,
    max_relative: float = 0.01,
) -> torch.Tensor:
    """Count the other photos whose maps confirm this photo's depths: (H, W) int16.

    A depth is confirmed where its point, projected into the other photo, differs from the depth there by less than
    `max_relative`, and the other photo's point projects back within `max_pixels`. depth: (H, W), 0 = none. Between its
    pixel centres the other depth is extrapolated by its local plane: on ground at a grazing angle it changes by more
    than `max_relative` per pixel.
    """
    count = torch.zeros_like(depth, dtype=torch.int16)
    for some in batches(len(others), 3 * depth.numel(), depth.device):
        count += _confirmed(depth, camera, others[some], max_pixels, max_relative).sum(0, dtype=torch.int16)
    return count


def _confirmed(
    depth: torch.Tensor, camera: Camera, others: list[DepthMap], max_pixels: float, max_relative: float
) -> torch.Tensor:
    """(N, H, W) bool: the depths that each of N other photos confirms."""
    device, cameras = depth.device, [other.camera for other in others]
    focal, center = (part[..., None, None] for part in intrinsics(cameras, device))  # (2, N, 1, 1)
    size = torch.tensor([(other.width, other.height) for other in cameras], device=device).T[..., None, None]
    # all maps one after the other, and where each begins
    depths = torch.cat([other.depth.flatten() for other in others])
    normals = torch.cat([other.normals.flatten(0, 1) for other in others])
    starts = accumulate((other.depth.numel() for other in others[:-1]), initial=0)
    start = torch.tensor(list(starts), device=device)[:, None, None]

    x, y = (torch.arange(side, device=device) + 0.5 for side in (camera.width, camera.height))
    pixel = torch.stack(torch.meshgrid(x, y, indexing="xy"))[:, None]  # (2, 1, H, W)
    seen, seen_depth = _transfer([(camera, other) for other in cameras], pixel, depth)
    inside = (depth > 0) & (seen_depth > 0) & ((seen >= 0) & (seen < size)).all(0)
    place = torch.where(inside, seen, 0.0).int()  # (2, N, H, W)
    index = start + place[1] * size[0] + place[0]
    there = normals[index]  # (N, H, W, 3)
    slope = facing(there, *((place + 0.5).sub_(center).div_(focal))) / facing(there, *((seen - center).div_(focal)))
    found = depths[index] * slope.nan_to_num_(1.0).clamp_(1 / MAX_SLOPE, MAX_SLOPE)
    back, back_depth = _transfer([(other, camera) for other in cameras], seen, found)
    near = inside & (found > 0) & (back_depth > 0) & ((found - seen_depth).abs_() < max_relative * seen_depth)
    return near & ((back - pixel).square_().sum(0) < max_pixels**2)


def _transfer(
    pairs: list[tuple[Camera, Camera]], pixel: torch.Tensor, depth: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Project pixels (2, N or 1, H, W) with depths (..., H, W) from the first to the second of each of N cameras.

    Returns pixels there, (2, N, H, W), meaningless where the depth is not positive, and depths (N, H, W).
    """
    parts = np.stack([_transfer_matrix(*pair) for pair in pairs], axis=-1)
    matrices = torch.tensor(parts, dtype=torch.float32, device=depth.device)  # (3, 4, N)
    a, b, c, t = matrices[..., None, None].unbind(1)
    position = (a * pixel[0] + b * pixel[1]).add_(c).mul_(depth).add_(t)
    return position[:2].div_(position[2]), position[2]


def _transfer_matrix(camera: Camera, other: Camera) -> np.ndarray:
    """(3, 4) of depth * (x, y, 1) and 1 of a pixel of the camera, to the same of the other."""
    rotation = other.rotation @ camera.rotation.T
    translation = other.cam_from_world[:, 3] - rotation @ camera.cam_from_world[:, 3]
    return np.column_stack([other.K @ rotation @ np.linalg.inv(camera.K), other.K @ translation])
