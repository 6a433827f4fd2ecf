"""The losses of training, all but the perceptual one (`perceptual`).

Every loss on pixels takes a `keep` mask (B, 1, H, W), 1 where the pixel counts and 0 on transients (people, vehicles),
which are left out of the mean and get no gradient. None keeps all pixels. Pictures are (B, 3, H, W) in [-1, 1]; every
loss returns a scalar.
"""

from functools import lru_cache, reduce

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2  # for pictures in [0, 1]
GRADIENT_SCALES = 4


def masked_mean(values: Tensor, keep: Tensor | None) -> Tensor:
    """Mean of (B, C, H, W) values over the kept pixels; 0 if none is kept."""
    if keep is None:
        return values.mean()
    keep = keep.to(values.dtype)
    return (values * keep).sum() / (keep.sum() * values.shape[1]).clamp_min(1)


def l1(output: Tensor, target: Tensor, keep: Tensor | None = None) -> Tensor:
    """Mean absolute difference."""
    return masked_mean((output - target).abs(), keep)


def gradient(output: Tensor, target: Tensor, keep: Tensor | None = None) -> Tensor:
    """Mean absolute difference of the finite differences along x and y, averaged over 4 scales, each half the last.

    A difference counts if both of its pixels are kept; a coarse pixel is kept if all pixels that it covers are.
    """
    error = output - target
    total = error.new_zeros(())
    for scale in range(GRADIENT_SCALES):
        if scale:
            error = F.avg_pool2d(error, 2)
            keep = None if keep is None else -F.max_pool2d(-keep.float(), 2)
        along_x, along_y = error.diff(dim=3).abs(), error.diff(dim=2).abs()
        if keep is None:
            total = total + (along_x.mean() + along_y.mean()) / 2
        else:
            both_x, both_y = keep[..., 1:] * keep[..., :-1], keep[..., 1:, :] * keep[..., :-1, :]
            total = total + (masked_mean(along_x, both_x) + masked_mean(along_y, both_y)) / 2
    return total / GRADIENT_SCALES


def dssim(output: Tensor, target: Tensor, keep: Tensor | None = None) -> Tensor:
    """1 - SSIM (Wang et al., 2004: Gaussian window of 11 pixels, sigma 1.5) over the windows inside the picture.

    Pixels that are not kept take the target's value, and windows centred on them do not count. Sides are at least 11
    pixels.
    """
    if keep is not None:
        output = torch.where(keep > 0, output, target)
        margin = SSIM_WINDOW // 2
        keep = keep[..., margin:-margin, margin:-margin]
    x, y = (output.float() + 1) / 2, (target.float() + 1) / 2
    mean_x, mean_y = _window_means(x), _window_means(y)
    xx, yy, xy = _window_means(x * x), _window_means(y * y), _window_means(x * y)
    numerator = (2 * mean_x * mean_y + SSIM_C1) * (2 * (xy - mean_x * mean_y) + SSIM_C2)
    denominator = (mean_x**2 + mean_y**2 + SSIM_C1) * (xx - mean_x**2 + yy - mean_y**2 + SSIM_C2)
    return masked_mean(1 - numerator / denominator, keep)


def _window_means(x: Tensor) -> Tensor:
    """Gaussian means (B, C, H - 10, W - 10) of x (B, C, H, W).

    Computed as two products with banded matrices: several times faster on a CPU than single-channel convolutions, and
    exact on a GPU, where convolutions round to TF32.
    """
    along_y, along_x = (_windows(side, x.dtype, x.device) for side in x.shape[-2:])
    return along_y.mT @ x @ along_x


@lru_cache(maxsize=64)
def _windows(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(side, side - 10): column i is the window from pixel i on."""
    position = torch.arange(SSIM_WINDOW, device=device, dtype=dtype) - SSIM_WINDOW // 2
    window = torch.softmax(-(position**2) / (2 * SSIM_SIGMA**2), dim=0)
    return torch.eye(side, device=device, dtype=dtype).unfold(1, SSIM_WINDOW, 1) @ window


def lsgan_discriminator(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Least-squares GAN (Mao et al., ICCV 2017): real patches towards 1, rendered ones to 0; summed over scales."""
    return reduce(Tensor.add, ((r - 1).square().mean() + f.square().mean() for r, f in zip(real, fake, strict=True)))


def lsgan_generator(fake: list[Tensor]) -> Tensor:
    """Least-squares GAN: rendered patches towards 1; summed over scales."""
    return reduce(Tensor.add, ((f - 1).square().mean() for f in fake))


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Mean of max(0, |a - p|² - |a - n|² + margin) over a batch of codes, each (B, Z)."""
    near = (anchor - positive).square().sum(dim=1)
    far = (anchor - negative).square().sum(dim=1)
    return F.relu(near - far + margin).mean()
