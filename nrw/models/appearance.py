"""Our appearance encoder: a photo and its deep buffer to the code z of its light, weather and season."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nrw.models.inputs import BufferSpec, colour_terms
from nrw.models.layers import LEAK

WIDTHS = (32, 64, 96, 128)
RIDGE = 3e-4  # weight of the colours that a photo has where it does not show, in shares of its pixels
LIGHTING_RIDGE = 3e-3  # a part of a photo says less about the light on the rest than about its exposure


class AppearanceEncoder(nn.Module):
    """What the photo's colours are measured to be, and what a small network finds in it beside that.

    z is (B, 3 K + z_dim). Its first part is a linear map from the K terms of `colour_terms` to RGB, the ridge
    regression of the photo on its own deep buffer: exposure and white balance of what the cloud shows, the colours of
    sky, ground and classes, and the light that falls on the cloud (`framebuffers.lighting`). The rest comes from four
    strided convolutions, a mean over the pixels that count, and a linear map squashed by tanh. Both parts lie in convex
    sets: a straight line between two photos' codes stays among such.

    spec: of the buffer. Appearance is in the large areas: a photo of a few hundred pixels is enough. There is no
    normalisation, for how bright a photo is belongs to its z.
    """

    def __init__(self, spec: BufferSpec, z_dim: int):
        super().__init__()
        self.spec, self.z_dim, self.z_size = spec, z_dim, 3 * spec.colour_terms + z_dim
        widths = (3 + spec.raster_channels + 1, *WIDTHS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(above, width, 3, stride=2, padding=1) for above, width in zip(widths, WIDTHS, strict=False)
        )
        for layer in self.convolutions:
            nn.init.kaiming_normal_(layer.weight, LEAK)
            nn.init.zeros_(layer.bias)
        self.to_z = nn.Linear(WIDTHS[-1], z_dim)
        ridge = torch.full((spec.colour_terms,), RIDGE)
        ridge[spec.colour_terms - spec.lighting :] = LIGHTING_RIDGE
        self.register_buffer("ridge", ridge, persistent=False)
        self.usual_colours = nn.Parameter(torch.eye(spec.colour_terms, 3))  # of terms that a photo does not show

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode.

        x: (B, 3 + C, H, W), photo in [-1, 1] first. keep: (B, 1, H, W) in [0, 1], 0 for pixels that must have no
        influence (transients, the half of the photo that is scored); None keeps all. Returns z (B, 3 K + z_dim).
        """
        keep = torch.ones_like(x[:, :1]) if keep is None else keep.to(x.dtype)
        colours = self.fit_colours(x, keep)
        # The network sees which pixels are missing: a dropped pixel is not a grey one.
        x = torch.cat([x * keep, keep], dim=1)
        for layer in self.convolutions:
            x = F.leaky_relu(layer(x), LEAK)
        weight = F.adaptive_avg_pool2d(keep, x.shape[-2:])  # (B, 1, h, w): share of kept pixels
        mean = (x * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(1e-6)
        return torch.cat([colours.flatten(1), torch.tanh(self.to_z(mean))], dim=1)

    def fit_colours(self, x: Tensor, keep: Tensor) -> Tensor:
        """(B, K, 3): the ridge regression of the photo on its colour terms over the kept pixels."""
        with torch.autocast(x.device.type, enabled=False):
            terms = colour_terms(self.spec, x[:, 3:].float()).flatten(2)  # (B, K, N)
            weighted = terms * (keep / keep.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)).flatten(2)
            photo = x[:, :3].float().flatten(2).mT  # (B, N, 3)
            return torch.linalg.solve(
                weighted @ terms.mT + self.ridge.diag(), weighted @ photo + self.ridge[:, None] * self.usual_colours
            )

    def learned(self, z: Tensor) -> Tensor:
        """The part of z (B, 3 K + z_dim) that the network found, (B, z_dim)."""
        return z[:, -self.z_dim :]


def apply_colours(spec: BufferSpec, raster: Tensor, z: Tensor) -> Tensor:
    """The picture (B, 3, h, w), not clamped, that the linear maps in codes z (B, 3 K + z_dim) make of (B, C, h, w)."""
    terms = colour_terms(spec, raster)
    return torch.einsum("bkhw,bkc->bchw", terms, z[:, : 3 * terms.shape[1]].unflatten(1, (-1, 3)))
