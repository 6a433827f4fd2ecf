"""Our appearance encoder: from a photo and its deep buffer to the code z of its light, weather and season."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nrw.models.inputs import BufferSpec, color_terms
from nrw.models.layers import LEAK, initialize

WIDTHS = (32, 64, 96, 128)
RIDGE = 3e-4  # weight of the usual colours in the regression, as a share of the photo's pixels
LIGHTING_RIDGE = 3e-3  # more: a part of a photo says less about the light elsewhere than about the exposure


class AppearanceEncoder(nn.Module):
    """Encode a photo as the colours measured in it and what a small network finds beside them.

    z is (B, 3 K + z_dim). Its first part is a linear map from the K terms of `color_terms` to RGB, the ridge regression
    of the photo on its own deep buffer: exposure and white balance of what the cloud shows, the colours of sky, ground
    and classes, and the light that falls on the cloud (`framebuffers.lighting`). The rest comes from four strided
    convolutions, a mean over the kept pixels, and a linear map followed by tanh. Both parts lie in convex sets, so any
    point between two codes is a valid code.

    spec: of the buffer. Appearance shows in large areas: a few hundred pixels per side are enough. Features are not
    normalised, since the brightness of a photo belongs in its z.
    """

    ridge: Tensor

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
        ridge = torch.full((spec.color_terms,), RIDGE)
        ridge[spec.color_terms - spec.lighting :] = LIGHTING_RIDGE
        self.register_buffer("ridge", ridge, persistent=False)
        # Of terms that a photo does not show. The name is a key of the model files, hence its spelling.
        self.usual_colours = nn.Parameter(torch.eye(spec.color_terms, 3))

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode B photos as z (B, 3 K + z_dim).

        x: (B, 3 + C, H, W), the photo in [-1, 1] first. keep: (B, 1, H, W) in [0, 1], 0 for pixels that must have no
        influence (transients, the half of the photo that is scored); None keeps all.
        """
        keep = torch.ones_like(x[:, :1]) if keep is None else keep.to(x.dtype)
        colors = self.measure_colors(x, keep)
        # The mask is an input: a dropped pixel must differ from a grey one.
        x = torch.cat([x * keep, keep], dim=1)
        for layer in self.convolutions:
            x = F.leaky_relu(layer(x), LEAK)
        weight = F.adaptive_avg_pool2d(keep, (x.shape[-2], x.shape[-1]))  # (B, 1, h, w): share of kept pixels
        mean = (x * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(1e-6)
        return torch.cat([colors.flatten(1), torch.tanh(self.to_z(mean))], dim=1)

    def measure_colors(self, x: Tensor, keep: Tensor) -> Tensor:
        """Regress the photo on its colour terms over the kept pixels (ridge regression towards the usual colours).

        x, keep: of `forward`. Returns (B, K, 3), the RGB of each term.
        """
        with torch.autocast(x.device.type, enabled=False):
            terms = color_terms(self.spec, x[:, 3:].float()).flatten(2)  # (B, K, N)
            weighted = terms * (keep / keep.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)).flatten(2)
            pixels = x[:, :3].float().flatten(2).mT  # (B, N, 3)
            return torch.linalg.solve(
                weighted @ terms.mT + self.ridge.diag(), weighted @ pixels + self.ridge[:, None] * self.usual_colours
            )

    def learned(self, z: Tensor) -> Tensor:
        """Return the part of z (B, 3 K + z_dim) that the convolutions found, (B, z_dim)."""
        return z[:, -self.z_dim :]


def paint_measured(spec: BufferSpec, raster: Tensor, z: Tensor) -> Tensor:
    """Apply the linear maps in codes z (B, 3 K + z_dim) to a buffer (B, C, h, w).

    Returns the picture in the measured colours, (B, 3, h, w), not clamped.
    """
    terms = color_terms(spec, raster)
    return torch.einsum("bkhw,bkc->bchw", terms, z[:, : 3 * terms.shape[1]].unflatten(1, (-1, 3)))
