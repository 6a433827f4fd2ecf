"""Our renderer: a U-Net that sees the deep buffer at several scales and the appearance, as FiLM, at every scale."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nrw.core.device import autocast
from nrw.core.errors import UserError
from nrw.models.layers import LEAK, initialize, leaky_pixel_norm, pad_levels, pixel_norm

# Of pixel norm. Empty parts of the buffer give features of exactly 0, whose gradients PGGAN's 1e-8 would multiply by
# 10 000 at every stage.
EPSILON = 1e-2
HIDDEN = 64  # width of the MLP that turns z into scales and shifts


def conv(channels_in: int, channels_out: int, size: int = 3) -> nn.Conv2d:
    """Make a same-size convolution with He's initialisation for the leaky ReLU that follows."""
    layer = nn.Conv2d(channels_in, channels_out, size, padding=size // 2)
    initialize(layer)
    return layer


class Film(nn.Module):
    """Feature-wise scale and shift by a style vector (Perez et al., "FiLM", AAAI 2018, equation 2)."""

    def __init__(self, style: int, channels: int):
        super().__init__()
        self.to_scale_and_shift = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Modulate x (B, C, H, W) by style (B, S); returns (B, C, H, W)."""
        scale, shift = self.to_scale_and_shift(style)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


class EncoderStage(nn.Module):
    """Two convolutions over the features of the level above, halved, and this level's buffer channels."""

    def __init__(self, channels_above: int, channels_buffer: int, channels_out: int):
        super().__init__()
        self.first = conv(channels_above + channels_buffer, channels_out)
        self.second = conv(channels_out, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = leaky_pixel_norm(self.first(x), EPSILON)
        return F.leaky_relu(self.second(x), LEAK)


class DecoderStage(nn.Module):
    """Upsample the features of the level below, join the encoder's, convolve twice, each time modulated by z."""

    def __init__(self, channels_below: int, channels: int, style: int):
        super().__init__()
        self.reduce = conv(channels_below, channels, size=1)
        self.first = conv(2 * channels, channels)
        self.first_film = Film(style, channels)
        self.second = conv(channels, channels)
        self.second_film = Film(style, channels)

    def forward(self, x: Tensor, skip: Tensor, style: Tensor) -> Tensor:
        # The 1×1 convolution commutes with the interpolation and is four times cheaper before it.
        x = F.interpolate(self.reduce(x), scale_factor=2, mode="bilinear", align_corners=False)
        x = pixel_norm(self.first(torch.cat([x, skip], dim=1)), EPSILON)
        x = F.leaky_relu(self.first_film(x, style), LEAK)
        x = pixel_norm(self.second(x), EPSILON)
        return F.leaky_relu(self.second_film(x, style), LEAK)


class FilmUNet(nn.Module):
    """U-Net from the deep buffer's levels to a picture, with the appearance z as FiLM at every scale.

    Level l of the buffer enters encoder stage l. Widths are min(base_width · 2^l, max_width) for l = 0 … stages.
    Features are normalised per pixel, never over an area or a batch: what is learned on crops holds for whole photos,
    averaged weights (EMA) need no statistics of their own, and the frames of a video have the same scale. Without any
    normalisation the network ignored z in a short comparison. Bilinear upsampling leaves no checkerboard artefacts.

    network: `base_width`, `max_width`, `stages` (halvings). in_channels: channels of each level, finest first. z_size:
    length of z. out_channels: of the picture, more than 3 where there is more to learn than its colours.
    Raises UserError when the buffer has more levels than the U-Net.
    """

    def __init__(self, network: Mapping, in_channels: Sequence[int], z_size: int, out_channels: int = 3):
        super().__init__()
        stages = network["stages"]
        if len(in_channels) > stages + 1:
            raise UserError(
                f"buffer.levels is {len(in_channels)}, but a network with network.stages = {stages} takes at most "
                f"{stages + 1}: lower buffer.levels or raise network.stages"
            )
        self.stages = stages
        widths = [min(network["base_width"] << level, network["max_width"]) for level in range(stages + 1)]
        buffers = [*in_channels, *[0] * (stages + 1 - len(in_channels))]
        self.style = nn.Sequential(
            nn.Linear(z_size, HIDDEN), nn.LeakyReLU(LEAK), nn.Linear(HIDDEN, HIDDEN), nn.LeakyReLU(LEAK)
        )
        self.encoder = nn.ModuleList(
            EncoderStage(above, buffer, width)
            for above, buffer, width in zip([0, *widths[:-1]], buffers, widths, strict=True)
        )
        self.bottleneck = Film(HIDDEN, widths[-1])
        self.decoder = nn.ModuleList(
            DecoderStage(widths[level + 1], widths[level], HIDDEN) for level in reversed(range(stages))
        )
        # Scaling the last features by z, with no non-linearity after it, is a colour transform of the whole picture.
        # The name is a key of the model files, hence its spelling.
        self.colour = Film(HIDDEN, widths[0])
        self.to_rgb = nn.Conv2d(widths[0], out_channels, 1)

    def forward(self, levels: Sequence[Tensor], z: Tensor) -> Tensor:
        """Render a picture (B, out_channels, H, W), roughly in [-1, 1], not clamped; any H and W.

        levels: level l (B, C_l, h_l, w_l) float, h_l = ceil(H / 2^l) and w_l = ceil(W / 2^l). z: appearance, (B, Z).
        """
        height, width = levels[0].shape[-2:]
        levels = [
            # as the convolutions and their outputs are: faster, also where the two meet
            level.contiguous(memory_format=torch.channels_last)
            for level in pad_levels(list(levels), 1 << self.stages)
        ]
        with autocast(z.device):
            style, x = self._features(levels, z)
        return self.to_rgb(self.colour(x.float(), style.float()))[..., :height, :width]

    def _features(self, levels: list[Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
        """The style (B, HIDDEN) and the features (B, base_width, H, W) that the picture is made of."""
        style = self.style(z)
        x, skips = None, []
        for level, stage in enumerate(self.encoder):
            inputs = [] if x is None else [F.avg_pool2d(x, 2)]
            inputs += levels[level : level + 1]
            x = stage(inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1))
            skips.append(x)
        x = self.bottleneck(skips.pop(), style)
        for stage in self.decoder:
            x = stage(x, skips.pop(), style)
        return style, x
