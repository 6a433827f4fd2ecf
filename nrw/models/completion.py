"""Semantic completion: the network that predicts a view's label map from its deep buffer."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nrw.core.device import autocast
from nrw.models.generator import conv
from nrw.models.inputs import BufferSpec
from nrw.models.layers import LEAK, pad_levels
from nrw.models.points import PointFeatures

WIDTHS = (16, 24, 32, 48, 64)  # channels at full size and after each halving
POINT_CHANNELS = 4  # learned per point of the cloud: what the point is does not depend on the view


def completion_spec(spec: BufferSpec) -> BufferSpec:
    """Derive the deep buffer of completion: the corrected representation, without labels and lighting.

    It has learned channels of its own if the views have point indices (`spec.n_points` > 0).
    """
    channels = POINT_CHANNELS if spec.n_points else 0
    return replace(spec, representation="corrected", classes=(), lighting=0, point_channels=channels, detail=False)


class CompletionNet(nn.Module):
    """U-Net from the deep buffer's levels to class scores; spec: of `completion_spec`."""

    def __init__(self, spec: BufferSpec, n_classes: int):
        super().__init__()
        buffers = [spec.channels] * spec.levels + [0] * (len(WIDTHS) - spec.levels)
        self.points = PointFeatures(spec.n_points, spec.point_channels) if spec.point_channels else None
        self.encoder = nn.ModuleList(
            _convolutions(above + buffer, width)
            for above, buffer, width in zip((0, *WIDTHS[:-1]), buffers, WIDTHS, strict=False)
        )
        self.decoder = nn.ModuleList(
            _convolutions(below + width, width) for below, width in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True)
        )
        self.to_scores = nn.Conv2d(WIDTHS[0], n_classes, 1)

    def forward(self, rasters: Sequence[Tensor], index: Sequence[Tensor] | None) -> Tensor:
        """Predict logits (B, n_classes, H, W); any H and W.

        rasters: level l (B, C, h_l, w_l). index: level l (B, h_l, w_l) int64, or None. Both as of `raster_tensors`.
        """
        height, width = rasters[0].shape[-2:]
        with autocast(rasters[0].device):
            x = self._features(rasters, index)
        return self.to_scores(x.float())[..., :height, :width]

    def _features(self, rasters: Sequence[Tensor], index: Sequence[Tensor] | None) -> Tensor:
        if self.points is not None:
            assert index is not None  # a spec with point channels gives them
            rasters = [
                torch.cat([raster, self.points(seen)], dim=1) for raster, seen in zip(rasters, index, strict=True)
            ]
        levels = pad_levels(list(rasters), 1 << (len(WIDTHS) - 1))
        skips: list[Tensor] = []
        for level, stage in enumerate(self.encoder):
            inputs = [F.avg_pool2d(skips[-1], 2)] if level else []
            skips.append(stage(torch.cat([*inputs, *levels[level : level + 1]], dim=1)))
        x = skips.pop()
        for stage in self.decoder:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = stage(torch.cat([x, skips.pop()], dim=1))
        return x


def _convolutions(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        conv(channels_in, channels_out), nn.LeakyReLU(LEAK), conv(channels_out, channels_out), nn.LeakyReLU(LEAK)
    )
