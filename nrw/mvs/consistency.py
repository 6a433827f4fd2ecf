"""The geometric check: a depth is kept where other photos' depth maps have the surface at the same place.

Forward-backward reprojection as in COLMAP (Schönberger et al. 2016, section 4.4) and MVSNet's filter (Yao et al. 2018).
"""

import numpy as np

from nrw.geometry.cameras import Camera
from nrw.mvs.planes import MAX_SLOPE, facing


def agrees(
    depth: np.ndarray,
    camera: Camera,
    other_depth: np.ndarray,
    other_normals: np.ndarray,
    other: Camera,
    max_pixels: float = 2.0,
    max_relative: float = 0.01,
) -> np.ndarray:
    """Find where another photo's depth and normal maps confirm this photo's depths: (H, W) bool.

    A depth is confirmed where its point, projected into the other photo, differs from the depth there by less than
    `max_relative`, and the other photo's point projects back within `max_pixels`. depth: (H, W), 0 = none. other_depth,
    other_normals: (H', W') and (H', W', 3), in the other camera. Between its pixel centres the other depth is
    extrapolated by its local plane: on ground at a grazing angle it changes by more than `max_relative` per pixel.
    """
    x = np.arange(camera.width, dtype=np.float32) + np.float32(0.5)  # (W,)
    y = np.arange(camera.height, dtype=np.float32)[:, None] + np.float32(0.5)  # (H, 1)
    seen_x, seen_y, seen_depth = _transfer(camera, other, x, y, depth)
    inside = (depth > 0) & other.contains(np.stack([seen_x, seen_y], axis=-1), seen_depth)
    row, column = (np.where(inside, place, 0).astype(np.int32) for place in (seen_y, seen_x))
    center_x, center_y = column + np.float32(0.5), row + np.float32(0.5)
    normals = other_normals[row, column]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = facing(normals, center_x, center_y, other) / facing(normals, seen_x, seen_y, other)
    found = other_depth[row, column] * np.clip(np.nan_to_num(slope, nan=1.0), 1 / MAX_SLOPE, MAX_SLOPE)
    back_x, back_y, back_depth = _transfer(other, camera, seen_x, seen_y, found)
    near = inside & (found > 0) & (back_depth > 0) & (np.abs(found - seen_depth) < max_relative * seen_depth)
    return near & ((back_x - x) ** 2 + (back_y - y) ** 2 < max_pixels**2)


def _transfer(
    camera: Camera, other: Camera, x: np.ndarray, y: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project pixels (x, y) with a depth into another camera: x, y and depth there, meaningless where depth <= 0."""
    rotation = other.rotation @ camera.rotation.T
    translation = other.cam_from_world[:, 3] - rotation @ camera.cam_from_world[:, 3]
    a = (other.K @ rotation @ np.linalg.inv(camera.K)).astype(np.float32)
    b = (other.K @ translation).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        u, v, w = (depth * (a[i, 0] * x + a[i, 1] * y + a[i, 2]) + b[i] for i in range(3))
        return u / w, v / w, w
