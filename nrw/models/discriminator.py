"""The discriminator of 2019, conditioned on the deep buffer; ours has the same structure and fewer filters."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nrw.core.device import autocast
from nrw.models.layers import LEAK, ScaledConv2d

MAX_FILTERS = 512


class MinibatchDeviation(nn.Module):
    """Append a channel: the standard deviation over the batch, averaged over all features (PGGAN, section 3)."""

    def forward(self, x: Tensor) -> Tensor:
        deviation = torch.sqrt(x.var(dim=0, correction=0) + 1e-8).mean()
        return torch.cat([x, deviation.expand_as(x[:, :1])], dim=1)


class PatchDiscriminator(nn.Sequential):
    """PatchGAN (Isola et al., CVPR 2017): 4×4 convolutions; each output pixel judges the patch that it sees."""

    def __init__(self, in_channels: int, filters: int, layers: int = 3):
        blocks: list[nn.Module] = [ScaledConv2d(in_channels, filters, 4, stride=2), nn.LeakyReLU(LEAK, inplace=True)]
        for _ in range(1, layers):
            above, filters = filters, min(2 * filters, MAX_FILTERS)
            blocks += [ScaledConv2d(above, filters, 4, stride=2)]
            blocks += [nn.InstanceNorm2d(filters, affine=True), nn.LeakyReLU(LEAK, inplace=True)]
        above, filters = filters, min(2 * filters, MAX_FILTERS)
        blocks += [MinibatchDeviation(), ScaledConv2d(above + 1, filters, 4)]
        blocks += [nn.InstanceNorm2d(filters, affine=True), nn.LeakyReLU(LEAK, inplace=True)]
        super().__init__(*blocks, ScaledConv2d(filters, 1, 4))


class MultiScaleDiscriminator(nn.Module):
    """PatchGANs on the image and on the image halved repeatedly (Wang et al., "pix2pixHD", CVPR 2018).

    in_channels: of the buffer's level 0, and the image's 3.
    """

    def __init__(self, in_channels: int, filters: int = 32, scales: int = 3, layers: int = 3):
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(in_channels, filters, layers) for _ in range(scales))

    def forward(self, level: Tensor, image: Tensor) -> list[Tensor]:
        """Score an image given its buffer: one map (B, 1, h, w) of unbounded scores per scale, finest first.

        level: (B, C, H, W). image: (B, 3, H, W) in [-1, 1]. With 3 scales and 3 layers sides are at least 64 pixels.
        """
        x = torch.cat([image, level], dim=1)
        maps = []
        for scale, discriminator in enumerate(self.scales):
            x = F.avg_pool2d(x, 2) if scale else x
            maps.append(self._judged(discriminator, x))
        return maps

    def _judged(self, discriminator: nn.Module, x: Tensor) -> Tensor:
        with autocast(x.device):
            return discriminator(x).float()
