"""Layers that several networks share: pixel norm, run-time weight scaling, padding."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.2  # slope of every leaky ReLU, as in PGGAN


def pixel_norm(x: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Scale each pixel's feature vector to unit mean square (PGGAN, section 4.2); x: (B, C, H, W).

    It depends on the pixel alone, so a crop, the whole photo and a batch of one give the same features. Where all
    features of a pixel are 0, their gradients are multiplied by 1 / sqrt(epsilon).
    """
    return x * torch.rsqrt((x * x).mean(dim=1, keepdim=True) + epsilon)


def initialize(layer: nn.Conv2d) -> None:
    """Initialise a convolution as He et al. do for the leaky ReLU that follows; its bias becomes 0."""
    nn.init.kaiming_normal_(layer.weight, LEAK)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class ScaledConv2d(nn.Conv2d):
    """A convolution whose weights are stored as N(0, 1) and scaled by He's constant at run time (PGGAN, section 4.1).

    The padding is TensorFlow's `SAME`: the output has ceil(side / stride) pixels, and the extra row and column of an
    odd total padding are at the bottom and right. leak: negative slope of the activation that follows (1: none).
    """

    bias: nn.Parameter

    def __init__(self, channels_in: int, channels_out: int, size: int, stride: int = 1, leak: float = LEAK):
        super().__init__(channels_in, channels_out, size, stride)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)
        self.scale = math.sqrt(2 / ((1 + leak**2) * channels_in * size * size))

    def forward(self, x: Tensor) -> Tensor:
        size, stride = self.kernel_size[0], self.stride[0]
        before, after = [], []
        for extent in x.shape[-2:]:
            total = max((math.ceil(extent / stride) - 1) * stride + size - extent, 0)
            before.append(total // 2)
            after.append(total - total // 2)
        if before == after:
            return F.conv2d(x, self.weight * self.scale, self.bias, stride, tuple(before))
        x = F.pad(x, (before[1], after[1], before[0], after[0]))
        return F.conv2d(x, self.weight * self.scale, self.bias, stride)


def pad_levels(levels: list[Tensor], multiple: int) -> list[Tensor]:
    """Repeat each level's last row and column until level 0 is a multiple of `multiple` and level l is 1/2^l of it.

    levels: level l (B, C_l, h_l, w_l) with h_l = ceil(h_0 / 2^l), w_l likewise.
    Raises ValueError if the sizes are not those of a pyramid.
    """
    height, width = (math.ceil(side / multiple) * multiple for side in levels[0].shape[-2:])
    padded = []
    for level, x in enumerate(levels):
        below, right = (height >> level) - x.shape[-2], (width >> level) - x.shape[-1]
        if min(below, right) < 0 or (max(below, right) << level) >= multiple + (1 << level):
            raise ValueError(
                f"level {level} of the deep buffer is {tuple(x.shape[-2:])} pixels, "
                f"which does not fit level 0 of {tuple(levels[0].shape[-2:])}"
            )
        padded.append(F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x)
    return padded
