"""Layers that several networks share: pixel norm, run-time weight scaling, padding."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

LEAK = 0.2  # slope of every leaky ReLU, as in PGGAN


def pixel_norm(x: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Scale each pixel's feature vector to unit mean square (PGGAN, section 4.2); x: (B, C, H, W).

    It depends on the pixel alone, so a crop, the whole photo and a batch of one give the same features. Where all
    features of a pixel are 0, their gradients are multiplied by 1 / sqrt(epsilon).
    """
    return PixelNorm.apply(x, epsilon)


class PixelNorm(torch.autograd.Function):
    """`pixel_norm` with its gradient in closed form, which reads and writes half as much as autograd's."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, epsilon: float) -> Tensor:
        scale = torch.rsqrt((x * x).mean(dim=1, keepdim=True) + epsilon)
        y = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        y, scale = ctx.saved_tensors
        along = (gradient * y).mean(dim=1, keepdim=True)
        return torch.addcmul(gradient, y, along, value=-1).mul_(scale), None


def leaky_pixel_norm(x: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Apply leaky ReLU and `pixel_norm` to the output of a convolution (B, C, H, W), in place: one tensor, not four."""
    return LeakyPixelNorm.apply(x, epsilon)


class LeakyPixelNorm(torch.autograd.Function):
    """`leaky_pixel_norm`. Its result has the signs of its input, which is all that the gradient needs of the latter."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, epsilon: float) -> Tensor:
        ctx.mark_dirty(x)
        F.leaky_relu(x, LEAK, inplace=True)
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        scale = torch.rsqrt(norm.square_().div_(x.shape[1]).add_(epsilon))
        x.mul_(scale)
        ctx.save_for_backward(x, scale)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        y, scale = ctx.saved_tensors
        along = (gradient * y).mean(dim=1, keepdim=True)
        before = torch.addcmul(gradient, y, along, value=-1).mul_(scale)
        torch.ops.aten.leaky_relu_backward.grad_input(before, y, LEAK, True, grad_input=before)
        return before, None


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


class DoublingConv2d(ScaledConv2d):
    """Double a picture by nearest neighbours, then convolve it 3x3 as ScaledConv2d, at 4/9 of the cost.

    Of the nine pixels under a kernel at most four differ: a transposed convolution with sums of its weights.
    """

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__(channels_in, channels_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        turned = (self.weight * self.scale).flip(2, 3).transpose(0, 1)
        shifts = [(left, 1 - left, top, 1 - top) for left in (0, 1) for top in (0, 1)]
        weight = torch.stack([F.pad(turned, shift) for shift in shifts]).sum(dim=0)  # (C, O, 4, 4)
        return F.conv_transpose2d(x, weight, self.bias, stride=2, padding=1)


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
