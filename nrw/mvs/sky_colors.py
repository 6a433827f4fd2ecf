"""Which pixels of a photo look like its sky: colour models of two sets of pixels, and a mask that follows the edges."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.ndimage import uniform_filter

# brightness, red against green, blue against yellow: percent
OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [-0.5, -0.5, 1]], np.float32) / 2.55
BINS = 16  # of the histogram, per channel, with as many pixels each: fine where the photo has its colours
ROUGHNESS = (0.35, 0.7, 1.4, 2.8, 5.6)  # between the histogram's bins of roughness, percent per pixel
CALM = 5  # pixels, width of the window whose calmest part gives a pixel's roughness: sky beside a roof is calm
SPREAD = (1, 1, 1, 0.7)  # bins by which the histogram is blurred
FEW = 0.05  # pixels of a blurred bin that say nothing
AROUND = 30  # pixels around, to each side, whose colours a pixel is compared with
NARROWEST, BROADEST = 3.0, 25.0  # percent, standard deviation of colours around
LOCAL_WEIGHT = 0.5  # of the colours around, beside the histogram of the whole photo
LIMIT = 4.0  # log odds, to which each evidence is limited
RADIUS, SMOOTHNESS = 4, 1e-4  # of the guided filter: pixels, and variance of colours in 0..1 that is no edge


@dataclass(frozen=True)
class Colors:
    """The colours of a small photo, (H, W, 3) float32 OPPONENT, its roughness (H, W), and its histogram's bins."""

    opponent: np.ndarray
    roughness: np.ndarray
    bins: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray) -> "Colors":
        """The colours of (H, W, 3) uint8."""
        opponent = pixels.astype(np.float32) @ OPPONENT.T
        slopes = [ndimage.gaussian_gradient_magnitude(opponent[..., channel], 1) for channel in range(3)]
        roughness = np.sqrt(np.sum(np.square(slopes), axis=0))
        calm = ndimage.minimum_filter(uniform_filter(roughness, 3), CALM)
        quantiles = np.linspace(0, 1, BINS + 1)[1:-1]
        channels = [
            np.searchsorted(np.quantile(opponent[..., channel], quantiles), opponent[..., channel])
            for channel in range(3)
        ]
        return cls(opponent, roughness, np.ravel_multi_index((*channels, np.searchsorted(ROUGHNESS, calm)), _SHAPE))

    def log_odds(self, sky: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(H, W) in -LIMIT..LIMIT: how much more a pixel's colour is that of `sky` than of `other`, both (H, W) bool.

        From histograms of the whole photo, and from the pixels around, because the colour of the sky changes slowly
        over the picture and may be that of snow elsewhere.
        """
        in_sky, in_other = (self._histogram(pixels) for pixels in (sky, other))
        whole = np.log((in_sky + FEW) / (in_other + FEW)).ravel()[self.bins]
        near = np.clip(self._likelihood(sky) - self._likelihood(other), -LIMIT, LIMIT)
        return np.clip(whole + LOCAL_WEIGHT * near, -LIMIT, LIMIT)

    def _histogram(self, pixels: np.ndarray) -> np.ndarray:
        """_SHAPE: pixels per bin, blurred."""
        counts = np.bincount(self.bins[pixels], minlength=np.prod(_SHAPE)).reshape(_SHAPE)
        return ndimage.gaussian_filter(counts.astype(np.float32), SPREAD, mode="nearest")

    def _likelihood(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W) log likelihood, up to a constant, of each colour in the normal distribution of `pixels` around it.

        Where there are none, that of a distribution as broad as BROADEST at its standard deviation.
        """
        weight = _box(pixels.astype(np.float32), AROUND, mode="constant") + 1e-6
        total = np.zeros(weight.shape, np.float32)
        for channel in range(3):
            values = self.opponent[..., channel]
            mean, square = (_box(v * pixels, AROUND, mode="constant") / weight for v in (values, values**2))
            variance = np.maximum(square - mean**2, 0) + NARROWEST**2
            total -= 0.5 * ((values - mean) ** 2 / variance + np.log(variance))
        broad = -1.5 * (1 + np.log(BROADEST**2))
        return np.where(weight > 0.01, np.maximum(total, broad - LIMIT), broad)


_SHAPE = (BINS, BINS, BINS, len(ROUGHNESS) + 1)


def _box(values: np.ndarray, radius: int, mode: str = "nearest") -> np.ndarray:
    return uniform_filter(values, 2 * radius + 1, mode=mode)


def guided(guide: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(H, W, 4) float32: factors of the guide's colours, and a constant, that give `values` smoothed along its edges.

    The guided filter of He et al. 2013, "Guided Image Filtering", equations 14 to 16. guide: (H, W, 3) in 0..1. values:
    (H, W). The factors may be enlarged and applied to a larger guide (He and Sun 2015, "Fast Guided Filter").
    """
    guide, values = guide.astype(np.float32), values.astype(np.float32)
    mean = np.stack([_box(guide[..., channel], RADIUS) for channel in range(3)], axis=-1)
    mean_value = _box(values, RADIUS)
    covariance = np.stack([_box(guide[..., channel] * values, RADIUS) for channel in range(3)], axis=-1)
    covariance -= mean * mean_value[..., None]
    spread = np.empty((*values.shape, 3, 3), np.float32)
    for first in range(3):
        for second in range(first, 3):
            product = _box(guide[..., first] * guide[..., second], RADIUS)
            spread[..., first, second] = spread[..., second, first] = product - mean[..., first] * mean[..., second]
    spread += SMOOTHNESS * np.eye(3, dtype=np.float32)
    factors = np.linalg.solve(spread, covariance[..., None])[..., 0]
    constant = mean_value - np.sum(factors * mean, axis=-1)
    return np.stack([_box(part, RADIUS) for part in (*np.moveaxis(factors, -1, 0), constant)], axis=-1)


def apply(factors: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """(H, W): the values that factors (H, W, 4) of `guided` give with a guide (H, W, 3) of their size."""
    return np.sum(factors[..., :3] * guide, axis=-1) + factors[..., 3]
