"""From linear radiance to a tourist's JPEG: lens, exposure, white balance, sensor noise, EXIF."""

import io
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from .labels import SKY


@dataclass(frozen=True)
class Lens:
    """An upright photo of width x height pixels: focal length in pixels, principal point in the middle.

    k1: radial distortion as COLMAP's SIMPLE_RADIAL: a ray at x = X / Z lands on focal * x * (1 + k1 |x|^2).
    """

    width: int
    height: int
    focal: float
    k1: float

    def wide_size(self) -> tuple[int, int]:
        """The size of an undistorted rendering, same focal length and centre, that covers the distorted photo."""
        corner = self._undistort(np.array([[self.width / 2, self.height / 2]]) / self.focal) * self.focal
        edge = np.maximum(corner[0], [self.width / 2, self.height / 2])
        return tuple(2 * int(np.ceil(side + 3)) for side in edge)

    def _undistort(self, distorted: np.ndarray) -> np.ndarray:
        ideal = distorted
        for _ in range(20):
            ideal = distorted / (1 + self.k1 * (ideal**2).sum(-1, keepdims=True))
        return ideal

    def distort(self, wide: np.ndarray) -> np.ndarray:
        """(H, W, 3) photo sampled from a rendering of `wide_size`."""
        u, v = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        pixels = np.stack([u - self.width / 2, v - self.height / 2], -1)
        ideal = self._undistort(pixels / self.focal) * self.focal
        return _cubic(wide, ideal[..., 0] + wide.shape[1] / 2 - 0.5, ideal[..., 1] + wide.shape[0] / 2 - 0.5)

    def crop(self, wide: np.ndarray) -> np.ndarray:
        """The ideal pinhole picture: the middle of a rendering of `wide_size`."""
        top, left = (wide.shape[0] - self.height) // 2, (wide.shape[1] - self.width) // 2
        return wide[top : top + self.height, left : left + self.width]


def _cubic(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Catmull-Rom interpolation of (H, W, C) at column x and row y."""
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)

    def weights(t):
        return [
            ((-t + 2) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((-3 * t + 4) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ]

    wx, wy = weights(x - x0), weights(y - y0)
    total = 0
    for j in range(4):
        row = np.clip(y0 + j - 1, 0, image.shape[0] - 1)
        for i in range(4):
            total = total + (wx[i] * wy[j])[..., None] * image[row, np.clip(x0 + i - 1, 0, image.shape[1] - 1)]
    return np.maximum(total, 0)


def meter(radiance: np.ndarray, labels: np.ndarray, target: float) -> float:
    """The exposure factor that brings the mean (of logarithms) luminance of all but the sky to `target`.

    Less where more than a twentieth of it would be burnt out.
    """
    luminance = (radiance @ [0.2126, 0.7152, 0.0722])[labels != SKY]
    return float(min(target / np.exp(np.log(luminance + 1e-6).mean()), 0.75 / np.percentile(luminance, 95)))


@dataclass(frozen=True)
class Development:
    """exposure: factor on radiance. balance: gains of R, G, B. vignetting: loss at corners. noise: in 8-bit levels."""

    exposure: float
    balance: tuple
    vignetting: float
    noise: float


def develop(radiance: np.ndarray, how: Development, rng: np.random.Generator | None = None) -> np.ndarray:
    """(H, W, 3) uint8 sRGB; without `rng` there is no noise. Tone curve: Narkowicz's fit of ACES."""
    height, width = radiance.shape[:2]
    v, u = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    falloff = 1 - how.vignetting * ((u * width) ** 2 + (v * height) ** 2) / (width**2 + height**2)
    x = radiance * how.exposure * np.array(how.balance) * falloff[..., None]
    x = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    x = np.where(x < 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055) * 255
    if rng is not None:
        grain = rng.standard_normal(x.shape) * 0.5 + rng.standard_normal((*x.shape[:2], 1))
        x = x + how.noise * grain * (1.3 - 0.6 * x / 255)
    return np.clip(np.round(x), 0, 255).astype(np.uint8)


def jpeg(
    pixels: np.ndarray, focal_35mm: int | None, orientation: int, when: datetime, camera: str, quality: int = 88
) -> bytes:
    """A JPEG file of an upright photo, stored turned if `orientation` (the EXIF tag: 1, 3, 6 or 8) says so.

    focal_35mm: written with date and model; None leaves all of these out, as sites that strip metadata do.
    """
    turns = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]  # quarter turns counter-clockwise from upright to stored
    image = Image.fromarray(np.rot90(pixels, turns))
    exif = Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    if focal_35mm is not None:
        maker, crop = camera.split()[0], 7.0 if "phone" in camera.lower() else 1.5
        exif[0x010F], exif[0x0110] = maker, camera
        details = exif.get_ifd(0x8769)
        details[0x9003] = when.strftime("%Y:%m:%d %H:%M:%S")
        details[0x920A] = IFDRational(round(focal_35mm / crop * 100), 100)
        details[0xA405] = int(focal_35mm)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True, exif=exif)
    return stream.getvalue()
