"""The three networks of "Neural Rerendering in the Wild" (Meshry et al., CVPR 2019), with the release's constants.

Convolutions apply He's scaling at run time. Where the paper gives no detail this follows the release: both 3×3
convolutions of the appearance encoder's blocks follow an activation, its two heads are plain linear layers drawn from
N(0, 0.02), and only its first convolution has the gain for leaky ReLU.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nrw.models.discriminator import MultiScaleDiscriminator
from nrw.models.layers import LEAK, DoublingConv2d, ScaledConv2d, leaky_pixel_norm, pad_levels, pixel_norm

STAGES = 6
MAX_FILTERS = 512


def width(stage: int) -> int:
    """Filters of a stage, from 0 at the bottleneck to 6 at full size: 512, 512, 512, 256, 128, 64, 32 (g_nf = 64)."""
    return min(2 ** (11 - stage), MAX_FILTERS)


class TwoConvolutions(nn.Module):
    """Two 3×3 convolutions, each with leaky ReLU and pixel norm."""

    def __init__(self, first: ScaledConv2d):
        super().__init__()
        self.first = first
        self.second = ScaledConv2d(first.out_channels, first.out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in (self.first, self.second):
            x = leaky_pixel_norm(convolution(x))
        return x


class Renderer(nn.Module):
    """U-Net in the style of PGGAN without progressive growing; z is tiled and concatenated at the bottleneck."""

    def __init__(self, in_channels: int = 7, z_dim: int = 8):
        super().__init__()
        self.from_rgb = ScaledConv2d(in_channels, width(STAGES), 1, leak=1)
        self.encoder = nn.ModuleList(
            TwoConvolutions(ScaledConv2d(width(i + 1), width(i), 3)) for i in reversed(range(STAGES))
        )
        self.decoder = nn.ModuleList(
            TwoConvolutions(DoublingConv2d(2 * width(i) if i else width(0) + z_dim, width(i + 1)))
            for i in range(STAGES)
        )
        self.to_rgb = ScaledConv2d(width(STAGES), 3, 1, leak=1)

    def forward(self, levels: Sequence[Tensor], z: Tensor) -> Tensor:
        """Render a picture (B, 3, H, W), not clamped.

        levels: only level 0 is used, (B, C, H, W), any H and W. z: (B, Z).
        """
        height, width = levels[0].shape[-2:]
        (x,) = pad_levels([levels[0]], 1 << STAGES)
        x = F.leaky_relu(self.from_rgb(x), LEAK)
        skips = []
        for stage in self.encoder:
            x = stage(F.avg_pool2d(x, 2))
            skips.append(x)
        x = skips.pop()
        x = torch.cat([x, z[:, :, None, None].expand(-1, -1, *x.shape[-2:])], dim=1)
        for i, stage in enumerate(self.decoder):
            x = torch.cat([x, skips.pop()], dim=1) if i else x
            x = stage(x)
        return self.to_rgb(x)[..., :height, :width]


class ResidualBlock(nn.Module):
    """DRIT's block: twice activation and 3×3 convolution, halved, plus a 1×1 convolution of the halved input."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.first = ScaledConv2d(channels_in, channels_out, 3, leak=1)
        self.second = ScaledConv2d(channels_out, channels_out, 3, leak=1)
        self.shortcut = ScaledConv2d(channels_in, channels_out, 1, leak=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(F.leaky_relu(x, LEAK))
        y = self.second(F.leaky_relu(y, LEAK))
        return F.avg_pool2d(y, 2) + self.shortcut(F.avg_pool2d(x, 2))


class AppearanceEncoder(nn.Module):
    """The encoder of DRIT (Lee et al., ECCV 2018), deterministic: z = mean + exp(logvar / 2)."""

    def __init__(self, in_channels: int = 10, z_dim: int = 8):
        super().__init__()
        self.first = ScaledConv2d(in_channels, 64, 4, stride=2)
        self.blocks = nn.ModuleList(ResidualBlock(*pair) for pair in ((64, 128), (128, 192), (192, 256)))
        self.mean = nn.Linear(256, z_dim)
        self.logvar = nn.Linear(256, z_dim)
        for head in (self.mean, self.logvar):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)

    def encode(self, photos: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Encode B photos as z (B, Z), those of one size together. photos: of `models.inputs.encoder_input`."""
        codes: dict[int, Tensor] = {}  # by place in `photos`
        shapes = [x.shape for x, _ in photos]
        for shape in dict.fromkeys(shapes):
            members = [number for number, other in enumerate(shapes) if other == shape]
            x, keep = (torch.stack([photos[number][part] for number in members]) for part in (0, 1))
            codes |= zip(members, self(x, keep), strict=True)
        return torch.stack([codes[number] for number in range(len(photos))])

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode B photos as z (B, Z), unbounded.

        x: (B, 3 + C, H, W), the photo in [-1, 1] first, sides of at least 16 pixels. keep: (B, 1, H, W); None, as in
        2019, masks nothing. With a mask, dropped pixels are set to 0 and left out of the mean, which the half-image
        protocol needs.
        """
        x = self.first(x if keep is None else x * keep)
        for block in self.blocks:
            x = pixel_norm(block(x))
        x = F.leaky_relu(x, LEAK)
        if keep is None:
            x = x.mean(dim=(2, 3))
        else:
            weight = F.adaptive_avg_pool2d(keep.to(x.dtype), (x.shape[-2], x.shape[-1]))
            x = (x * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(1e-6)
        return self.mean(x) + torch.exp(0.5 * self.logvar(x))


class Discriminator(MultiScaleDiscriminator):
    """Three scales of PatchGAN with 64 filters and 3 strided layers on the buffer (7) and the image (3)."""

    def __init__(self, in_channels: int = 10):
        super().__init__(in_channels, filters=64, scales=3, layers=3)

    def _judged(self, discriminator: nn.Module, x: Tensor) -> Tensor:
        return discriminator(x)  # in float32, as in 2019
