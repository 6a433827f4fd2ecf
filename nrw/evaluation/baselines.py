"""What can be had without learning, so that a reader sees what the network adds.

R, the recoloured cloud: the render in colours gathered from the training photos, holes filled with the nearest pixel,
and one affine change of colour fitted to each photo.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt


def recoloured(color: np.ndarray, hit: np.ndarray, photo: np.ndarray, region: tuple[float, float]) -> np.ndarray:
    """Baseline R of one photo: (H, W, 3) uint8.

    color: (H, W, 3) uint8, the render of the recoloured cloud. hit: (H, W) bool, pixels that show a point.
    photo: (H, W, 3) uint8, looked at only in the columns of `region` (left, right), shares of the width.
    """
    filled = fill(color, hit)
    seen = columns(photo.shape[1], region)
    return apply_colors(filled, fit_colors(filled[:, seen], photo[:, seen]))


def fill(color: np.ndarray, hit: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) with every pixel outside `hit` (H, W) taken from the nearest pixel inside."""
    if not hit.any():
        return color
    rows, cols = distance_transform_edt(~hit, return_distances=False, return_indices=True)
    return color[rows, cols]


def fit_colors(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(4, 3) least-squares A with [r g b 1] A = target, for colours (..., 3) uint8 taken as [0, 1]."""
    return np.linalg.lstsq(_homogeneous(source), target.reshape(-1, 3) / 255.0, rcond=None)[0]


def apply_colors(source: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """The colours (..., 3) uint8 changed by a (4, 3) `transform`: uint8, rounded and clipped."""
    changed = (_homogeneous(source) @ transform).reshape(source.shape)
    return np.rint(changed.clip(0, 1) * 255).astype(np.uint8)


def columns(width: int, region: tuple[float, float]) -> slice:
    """The columns of a picture between two shares of its width."""
    return slice(round(region[0] * width), round(region[1] * width))


def _homogeneous(colors: np.ndarray) -> np.ndarray:
    flat = colors.reshape(-1, 3) / 255.0
    return np.column_stack([flat, np.ones(len(flat))])
