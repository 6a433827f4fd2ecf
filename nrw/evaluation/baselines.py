"""Baselines, which need no learning: the difference to them is what the network adds.

A baseline is a render in colours gathered from the training photos, its holes filled with the nearest pixel. Two affine
colour transforms are fitted per photo, one of what the render shows and one of the filled pixels, which are mostly sky.
R renders the recoloured cloud: where the scene has a surface, a mesh of one colour per point.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import distance_transform_edt

from nrw.dataset.packed import View

MIN_SHARE = 0.01  # of the pixels: fewer have no fit of their own


@dataclass(frozen=True)
class Render:
    """A picture without learning: color (H, W, 3) uint8; hit (H, W) bool, True where it shows something."""

    color: np.ndarray
    hit: np.ndarray

    @cached_property
    def filled(self) -> np.ndarray:
        """The picture without holes (`fill`)."""
        return fill(self.color, self.hit)


def renders(view: View) -> dict[str, Render]:
    """Draw what the baselines of a photo's view are made of: method -> render, before holes and colours."""
    return {"R": Render(np.asarray(view.color[0]), np.asarray(view.depth[0]) > 0)}


@dataclass(frozen=True)
class ColorFit:
    """Affine changes of color (4, 3), of what a render shows and of its filled holes."""

    shown: np.ndarray
    filled: np.ndarray


def fitted(render: Render, pixels: np.ndarray, region: tuple[float, float]) -> np.ndarray:
    """Fill the holes of a render and fit its colours to a photo: (H, W, 3) uint8. Arguments as for `fit_colors`."""
    return apply_colors(render, fit_colors(render, pixels, region))


def fit_colors(render: Render, pixels: np.ndarray, region: tuple[float, float] = (0, 1)) -> ColorFit:
    """Fit the colours of a render to a photo (H, W, 3) uint8.

    Only the columns of `region` (first and last, as shares of the width) are used. If less than MIN_SHARE of them is
    filled, or shown, both have the same fit.
    """
    seen = columns(pixels.shape[1], region)
    color, hit, target = render.filled[:, seen], render.hit[:, seen], pixels[:, seen]
    parts = [part if part.mean() >= MIN_SHARE else np.ones_like(hit) for part in (hit, ~hit)]
    return ColorFit(*(fit_affine(color[part], target[part]) for part in parts))


def apply_colors(render: Render, fit: ColorFit) -> np.ndarray:
    """Fill the holes of a render and change its colours: (H, W, 3) uint8."""
    shown, filled = (apply_affine(render.filled, transform) for transform in (fit.shown, fit.filled))
    return np.where(render.hit[..., None], shown, filled)


def fill(color: np.ndarray, hit: np.ndarray) -> np.ndarray:
    """Fill every pixel of (H, W, 3) outside `hit` (H, W) from the nearest pixel inside; no change if `hit` is empty."""
    if not hit.any():
        return color
    rows, cols = distance_transform_edt(~hit, return_distances=False, return_indices=True)
    return color[rows, cols]


def fit_affine(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Fit A (4, 3) with [r g b 1] A = target by least squares, for colours (..., 3) uint8 scaled to [0, 1]."""
    return np.linalg.lstsq(_homogeneous(source), target.reshape(-1, 3) / 255.0, rcond=None)[0]


def apply_affine(source: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """Apply a (4, 3) `transform` to colours (..., 3) uint8: uint8, rounded and clipped."""
    changed = (_homogeneous(source) @ transform).reshape(source.shape)
    return np.rint(changed.clip(0, 1) * 255).astype(np.uint8)


def columns(width: int, region: tuple[float, float]) -> slice:
    """The columns of a picture between two shares of its width."""
    return slice(round(region[0] * width), round(region[1] * width))


def _homogeneous(colors: np.ndarray) -> np.ndarray:
    flat = colors.reshape(-1, 3) / 255.0
    return np.column_stack([flat, np.ones(len(flat))])
