"""Our appearance encoder: from a photo and its deep buffer to the code z of its light, weather and season."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nrw.core.device import autocast
from nrw.models.inputs import BufferSpec
from nrw.models.layers import LEAK, initialize
from nrw.models.terms import color_terms, label_channels

WIDTHS = (32, 64, 96, 128)
REDUCTION = 2 ** len(WIDTHS)  # by the strides of the convolutions
RIDGE = 3e-4  # weight of the usual colours in the regression, as a share of the photo's pixels, before `fit_prior`
INDEPENDENT = 500.0  # a photo's residuals tell as much as this many independent ones: those of neighbours are alike
ROUNDS = 100  # of expectation and maximization
LEAST_NOISE = 1e-3  # variance of colours in [-1, 1] about what is measured
VARIANCE = 0.03  # of a term's colour over the photos, before they are seen
DEGREES = 30  # of freedom of the prior of the covariance: it counts as this many colours, three per photo
MEAN_VARIANCE = 0.3  # of a term's usual colour about the one it begins with


class AppearanceEncoder(nn.Module):
    """Encode a photo as the colours measured in it and what a small network finds beside them.

    z is (B, 3 K + z_dim). Its first part is a linear map from the K terms of `color_terms` to RGB, the regression of
    the photo on its own deep buffer: exposure and white balance of what the cloud shows, the colours of sky, ground and
    classes, and the light that falls on the cloud (`framebuffers.lighting`). What a photo, or the part of it that is
    used, does not tell comes from what is usual among the training photos (`set_prior`). The rest comes from strided
    convolutions, a mean over the kept pixels, and a linear map followed by tanh. Both parts lie in convex sets, so any
    point between two codes is a valid code.

    spec: of the buffer. Appearance shows in large areas: a few hundred pixels per side are enough. Features are not
    normalised, since the brightness of a photo belongs in its z.
    """

    precision: Tensor

    def __init__(self, spec: BufferSpec, z_dim: int):
        super().__init__()
        self.spec, self.z_dim, self.z_size = spec, z_dim, 3 * spec.color_terms + z_dim
        widths = (3 + spec.raster_channels + 1, *WIDTHS)
        convolutions = [
            nn.Conv2d(above, width, 3, stride=2, padding=1) for above, width in zip(widths, WIDTHS, strict=False)
        ]
        for layer in convolutions:
            initialize(layer)
        self.convolutions = nn.ModuleList(convolutions)
        self.to_z = nn.Linear(WIDTHS[-1], z_dim)
        self.register_buffer("precision", RIDGE * torch.eye(spec.color_terms))
        # Of terms that a photo does not show. The name is a key of the model files, hence its spelling.
        self.usual_colours = nn.Parameter(torch.eye(spec.color_terms, 3))

    def encode(self, photos: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Encode B photos of any sizes as z (B, 3 K + z_dim), together. photos: of `models.inputs.encoder_input`."""
        sizes = [keep.shape[1:] for _, keep in photos]
        height, width = (max(sides) for sides in zip(*sizes, strict=True))
        x, keep = (
            torch.stack([F.pad(photo[part], (0, width - w, 0, height - h)) for photo, (h, w) in pairs])
            for part, pairs in ((part, list(zip(photos, sizes, strict=True))) for part in (0, 1))
        )
        return self(x, keep, sizes)

    def forward(self, x: Tensor, keep: Tensor | None = None, sizes: Sequence[tuple[int, int]] | None = None) -> Tensor:
        """Encode B photos as z (B, 3 K + z_dim).

        x: (B, 3 + C, H, W), the photo in [-1, 1] first. keep: (B, 1, H, W) in [0, 1], 0 for pixels that must have no
        influence (transients, the half of the photo that is scored); None keeps all. sizes: (height, width) of photos
        that are padded with zeros, below and to the right; their codes are those of the photos alone.
        """
        keep = torch.ones_like(x[:, :1]) if keep is None else keep.to(x.dtype)
        colors = self.measure_colors(x, keep)
        # The mask is an input: a dropped pixel must differ from a grey one.
        x = torch.cat([x * keep, keep], dim=1)
        inside = None if sizes is None else _inside(sizes, keep)
        with autocast(x.device):
            for layer in self.convolutions:
                x = F.leaky_relu(layer(x), LEAK)
                if inside is not None:  # beyond a photo its convolutions see zeros, as if it were alone
                    inside = inside[..., ::2, ::2]
                    x = x * inside
        x = x.float()
        # (B, 1, h, w): of each feature, the share of the pixels around which it was computed that are kept
        weight = F.avg_pool2d(keep, REDUCTION, ceil_mode=True, divisor_override=REDUCTION**2)
        mean = (x * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(1e-6)
        return torch.cat([colors.flatten(1), torch.tanh(self.to_z(mean))], dim=1)

    def measure_colors(self, x: Tensor, keep: Tensor) -> Tensor:
        """Regress the photo on its colour terms over the kept pixels, with the prior of `set_prior`.

        x, keep: of `forward`. Returns (B, K, 3), the RGB of each term.
        """
        moments = self.moments(x, keep)
        terms, mixed = moments.terms + self.precision, moments.mixed + self.precision @ self.usual_colours
        return torch.linalg.solve_ex(terms, mixed).result  # no check, for which a GPU would be waited for

    def moments(self, x: Tensor, keep: Tensor) -> "Moments":
        """The second moments of colour terms and photo over the kept pixels. x, keep: of `forward`."""
        terms = color_terms(self.spec, x[:, 3:].float()).flatten(2)  # (B, K, N)
        weighted = terms * (keep / keep.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)).flatten(2)
        pixels = x[:, :3].float().flatten(2).mT  # (B, N, 3)
        share = (keep / keep.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)).flatten(1)
        return Moments(weighted @ terms.mT, weighted @ pixels, torch.einsum("bn,bnc->bc", share, pixels**2))

    @torch.no_grad()
    def set_prior(self, mean: Tensor, precision: Tensor) -> None:
        """Take the usual colours (K, 3) and their precision (K, K) from `fit_prior`."""
        self.usual_colours.copy_(mean)
        self.precision.copy_(precision)

    def learned(self, z: Tensor) -> Tensor:
        """Return the part of z (B, 3 K + z_dim) that the convolutions found, (B, z_dim)."""
        return z[:, -self.z_dim :]


def _inside(sizes: Sequence[tuple[int, int]], keep: Tensor) -> Tensor:
    """The pixels of padded photos that are theirs: (B, 1, H, W) bool. keep: of this shape."""
    inside = torch.zeros_like(keep, dtype=torch.bool)
    for place, (height, width) in zip(inside, sizes, strict=True):
        place[:, :height, :width] = True
    return inside


@dataclass(frozen=True)
class Moments:
    """Second moments of N photos: terms (N, K, K), of the terms; mixed (N, K, 3), with RGB; pixels (N, 3), of RGB."""

    terms: Tensor
    mixed: Tensor
    pixels: Tensor


def fit_prior(photos: Moments) -> tuple[Tensor, Tensor]:
    """Find what is usual among photos: mean (K, 3) and precision (K, K) of their maps, for `measure_colors`.

    A hierarchical linear model: each photo's map is drawn from one normal distribution, with a covariance of the terms
    that the three channels share, and its pixels from the map with equal noise. Expectation and maximization alternate
    (Dempster, Laird & Rubin 1977; empirical Bayes), so that photos count by what they show of each term. The covariance
    has an inverse Wishart prior and the mean a normal one (Gelman et al., "Bayesian Data Analysis", section 3.6): ten
    photos do not tell how thirty terms vary together, and a sky fitted to half a photo would run away in the rest.
    The precision is scaled as the second moments are: means over a photo's pixels.
    """
    terms, mixed, pixels = (values.double() for values in (photos.terms, photos.mixed, photos.pixels))
    count, size = mixed.shape[:2]
    first, eye = torch.eye(size, 3, dtype=torch.float64), torch.eye(size, dtype=torch.float64)
    mean, covariance = first, VARIANCE * eye
    noise = torch.tensor(0.02, dtype=torch.float64)
    for _ in range(ROUNDS):
        precision = torch.linalg.inv(covariance)
        uncertainty = torch.linalg.inv(terms * (INDEPENDENT / noise) + precision)  # (N, K, K)
        maps = uncertainty @ (mixed * (INDEPENDENT / noise) + precision @ mean)  # (N, K, 3)
        mean = torch.linalg.solve(
            count * precision + eye / MEAN_VARIANCE, precision @ maps.sum(dim=0) + first / MEAN_VARIANCE
        )
        away = maps - mean
        total = torch.einsum("nkc,nlc->kl", away, away) + 3 * uncertainty.sum(dim=0)
        covariance = (total + DEGREES * VARIANCE * eye) / (3 * count + DEGREES)
        error = pixels - 2 * (maps * mixed).sum(dim=1) + (maps * (terms @ maps)).sum(dim=1)  # (N, 3)
        noise = error.mean().clamp_min(LEAST_NOISE)
    return mean.float(), (torch.linalg.inv(covariance) * noise / INDEPENDENT).float()


def cloud_map(spec: BufferSpec, z: Tensor) -> Tensor:
    """The part of a code z (Z,) that paints points: (4 + spec.lighting, 3), from RGB, 1 and lighting to RGB."""
    colors = z[: 3 * spec.color_terms].view(-1, 3)
    return torch.cat([colors[:4], colors[spec.color_terms - spec.lighting :]])


def paint_labels(spec: BufferSpec, raster: Tensor, z: Tensor) -> Tensor:
    """The share of the labels in `paint_measured`: (B, 3, h, w)."""
    labels = label_channels(spec, raster)
    last = spec.color_terms - spec.lighting
    maps = z[:, : 3 * spec.color_terms].unflatten(1, (-1, 3))[:, last - labels.shape[1] : last]
    return torch.einsum("bkhw,bkc->bchw", labels, maps)


def paint_measured(spec: BufferSpec, raster: Tensor, z: Tensor) -> Tensor:
    """Apply the linear maps in codes z (B, 3 K + z_dim) to a buffer (B, C, h, w).

    Returns the picture in the measured colours, (B, 3, h, w), not clamped.
    """
    terms = color_terms(spec, raster)
    return torch.einsum("bkhw,bkc->bchw", terms, z[:, : 3 * terms.shape[1]].unflatten(1, (-1, 3)))
