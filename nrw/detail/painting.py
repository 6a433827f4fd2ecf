"""Painting a view at full size: the surface in a photo's light, the sky, the networks' correction.

What is measured is drawn at full size: the points are painted first, three channels of each, and then interpolated.
What is smooth or learned comes from the networks' finest level and is enlarged, on the surface and beside it on its
own, so that nothing of the sky bleeds over an outline or the other way round.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from nrw.geometry.pointcloud import decode_lighting
from nrw.geometry.rasterize import Samples
from nrw.models.appearance import cloud_map
from nrw.models.inputs import BufferSpec

SHARED = 0.1  # of the energy of the detail finer than two pixels: what all photos of a place agree on
FILLED = 3  # pixels beyond an outline into which either side is continued before it is enlarged


def lit_points(spec: BufferSpec, channels: Tensor, z: Tensor) -> Tensor:
    """The colors of points in a light: (3, N) float32, [-1, 1] roughly.

    channels: (3 + K, N) uint8, colors and lighting. z: (Z,), code of the light.
    """
    # their decoding is affine, and is applied to the map: there are more points than terms
    color, base, lighting = cloud_map(spec, z).split([3, 1, spec.lighting])
    zero = decode_lighting(0.0)
    linear = torch.cat([color / 127.5, lighting * (decode_lighting(1.0) - zero)])
    constant = base[0] - color.sum(dim=0) + zero * lighting.sum(dim=0)
    return torch.addmm(constant[:, None], linear.T, channels[: len(linear)].float())


def alpha_of(hit: Tensor) -> Tensor:
    """The share of each pixel that the surface covers: (H, W) float32, soft over the outline's pixels.

    A photo's outline is as wide: its pixels, too, collect light from beyond their borders (a binomial filter).
    """
    return _binomial(hit.float()[None, None])[0, 0]


def spread_out(color: Tensor, hit: Tensor) -> Tensor:
    """Continue colors (3, H, W) from the surface to the pixels around it, which `alpha_of` covers partly."""
    known = hit.float()[None, None]
    around = _binomial(color[None] * known) / _binomial(known).clamp_min(1e-6)
    return torch.where(hit, color, around[0])


def sharpened(logs: Tensor, photos: Tensor, trust: Tensor, hit: Tensor) -> Tensor:
    """Give log ratios (3, H, W), which will be multiplied by trust (1, H, W), the fine detail that photos have.

    They lose what is finer than two pixels twice: photos that lie a fraction of a pixel off each other lose it in their
    mean, and networks, whose losses on pixels reward blur, trust too little, though they know where. The mean of n
    photos keeps SHARED + (1 - SHARED) / n of the energy. A gain for the brightness alone brings back neither coarser
    errors nor coloured noise. photos: (H, W), n, 0 = none. hit: (H, W) bool, where the detail is.
    """
    kept = SHARED + (1 - SHARED) / photos.clamp_min(1)
    known, brightness = hit.float()[None, None], logs.mean(dim=0)[None, None]
    smooth = _binomial(_binomial(brightness * known)) / _binomial(_binomial(known)).clamp_min(1e-6)
    fine = ((brightness - smooth) * known)[0]
    energy, left = (fine**2).sum(), ((trust * fine) ** 2).sum()
    return torch.addcmul(logs, (energy / left.clamp_min(1e-12) / kept).sqrt_() - 1, fine)


def surface_picture(samples: Samples, lit: Tensor) -> Tensor:
    """Interpolate lit points (3, N) at a buffer's samples: (3, H, W)."""
    return samples.shade(lit)


def enlarged(small: Tensor, known: Tensor, scale: int, size: tuple[int, int]) -> Tensor:
    """Enlarge a picture (B, C, h, w) that is only `known` (B, 1, h, w), 0 or 1, in places, continued around these.

    scale: how many times. size: (H, W), of which h and w are a `scale`-th, rounded up. Returns (B, C, H, W), smooth; 0
    far from anything known.
    """
    total, weight = small * known, known
    for _ in range(FILLED):
        near, mass = (_window(F.pad(some, (1, 1, 1, 1)), 1) for some in (total, weight))
        filled = ((weight == 0) & (mass > 0)).float()
        total = torch.addcmul(total, near, filled / mass.clamp_min(1))
        weight = weight + filled
    if scale > 1:
        total = F.interpolate(total, scale_factor=scale, mode="bilinear", align_corners=False)
    return total[..., : size[0], : size[1]]


def continued(picture: Tensor, known: Tensor) -> Tensor:
    """Continue a picture (1, C, H, W), 0 where it is not known (1, 1, H, W), smoothly over all its pixels.

    Pyramid of means ("pull-push": Gortler et al., "The Lumigraph", SIGGRAPH 1996).
    """
    height, width = picture.shape[2:]
    if bool((known > 0).all()) or max(height, width) == 1:
        return picture
    right, below = width % 2, height % 2
    total, weight = (F.avg_pool2d(F.pad(x, (0, right, 0, below)), 2) for x in (picture, known))
    coarse = continued(torch.where(weight > 0, total / weight.clamp_min(1e-6), 0), (weight > 0).float())
    around = F.interpolate(coarse, size=(height + below, width + right), mode="bilinear", align_corners=False)
    return torch.where(known > 0, picture, around[..., :height, :width])


def joined(surface: Tensor, beside: Tensor, alpha: Tensor) -> Tensor:
    """Put the surface (3, H, W) before what is beside it, by its share alpha (H, W)."""
    return torch.lerp(beside, surface, alpha)


def _binomial(x: Tensor) -> Tensor:
    """Filter (B, C, H, W) with (1 2 1) / 4 in both directions, edges repeated."""
    return _window(F.pad(x, (1, 1, 1, 1), mode="replicate"), 2) / 16


def _window(x: Tensor, middle: float) -> Tensor:
    """Sum windows of 3 x 3 pixels, weighted (1, middle, 1) in both directions: (B, C, H - 2, W - 2).

    By additions of shifted pictures: on the CPU, torch's pooling takes ten times as long, its convolution thirty.
    """
    x = torch.add(x[..., :-2] + x[..., 2:], x[..., 1:-1], alpha=middle)
    return torch.add(x[..., :-2, :] + x[..., 2:, :], x[..., 1:-1, :], alpha=middle)
