"""Our appearance encoder: a photo and its deep buffer to the code z of its light, weather and season."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nrw.models.layers import LEAK

WIDTHS = (32, 64, 96, 128)


class AppearanceEncoder(nn.Module):
    """Four strided convolutions, a mean over the pixels that count, and a linear map squashed by tanh.

    z lies in the cube (-1, 1)^Z. A cube is convex, so a straight line between two photos' codes never leaves the range
    that the renderer was trained on; whoever optimises z clamps it to [-1, 1].

    in_channels: photo (3) and the fixed channels of the buffer at the photo's size. Appearance is in the large areas: a
    photo of a few hundred pixels is enough. There is no normalisation, for how bright a photo is belongs to its z.
    """

    def __init__(self, in_channels: int, z_dim: int):
        super().__init__()
        widths = (in_channels + 1, *WIDTHS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(above, width, 3, stride=2, padding=1) for above, width in zip(widths, WIDTHS, strict=False)
        )
        for layer in self.convolutions:
            nn.init.kaiming_normal_(layer.weight, LEAK)
            nn.init.zeros_(layer.bias)
        self.to_z = nn.Linear(WIDTHS[-1], z_dim)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode.

        x: (B, 3 + C, H, W), photo in [-1, 1] first. keep: (B, 1, H, W) in [0, 1], 0 for pixels that must have no
        influence (transients, the half of the photo that is scored); None keeps all. Returns z (B, Z) in (-1, 1).
        """
        keep = torch.ones_like(x[:, :1]) if keep is None else keep.to(x.dtype)
        # The network sees which pixels are missing: a dropped pixel is not a grey one.
        x = torch.cat([x * keep, keep], dim=1)
        for layer in self.convolutions:
            x = F.leaky_relu(layer(x), LEAK)
        weight = F.adaptive_avg_pool2d(keep, x.shape[-2:])  # (B, 1, h, w): share of kept pixels
        mean = (x * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(1e-6)
        return torch.tanh(self.to_z(mean))
