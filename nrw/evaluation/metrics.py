"""Compare a picture with a photo: L1, PSNR, SSIM and, where its weights are available, LPIPS."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

MAX_PSNR = 100.0  # dB, for equal pictures: JSON has no infinity


def compare(picture: np.ndarray, pixels: np.ndarray, masks: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """Compute L1, PSNR (dB) and SSIM over all pixels and over each mask, and LPIPS over all pixels.

    picture: (H, W, 3) uint8. pixels: (H, W, 3) uint8, of the photo; both are scaled to [0, 1]. masks: name ->
    (H, W) bool. Keys: l1, psnr, ssim, lpips and <name>_l1, <name>_psnr, <name>_ssim. SSIM is the mean of the SSIM map,
    which reflects the picture at its border, as torchmetrics does. A metric over no pixels is None, and so is LPIPS
    where it is unavailable.
    """
    a, b = _tensor(picture), _tensor(pixels)  # (1, 3, H, W)
    difference = np.abs(picture.astype(np.float64) - pixels.astype(np.float64)) / 255
    ssim = ssim_map(a, b)
    figures: dict[str, float | None] = {}
    for name, mask in {"": np.ones(ssim.shape, dtype=bool), **masks}.items():
        prefix = name and f"{name}_"
        figures[f"{prefix}l1"] = _mean(difference[mask])
        figures[f"{prefix}psnr"] = psnr(_mean(difference[mask] ** 2))
        figures[f"{prefix}ssim"] = _mean(ssim[mask])
    figures["lpips"] = None if lpips_unavailable() else _lpips(a, b)
    return figures


def psnr(mean_squared_error: float | None) -> float | None:
    """Compute 10 log10(1 / MSE) in dB for values in [0, 1], at most 100; None for None."""
    if mean_squared_error is None:
        return None
    return float(min(MAX_PSNR, -10 * np.log10(max(mean_squared_error, 1e-12))))


def ssim_map(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """Compute the SSIM map (H, W) of two (1, 3, H, W) in [0, 1] (Wang et al. 2004: Gaussian window, sigma 1.5)."""
    _, full = structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)
    return full[0].mean(dim=0).double().numpy()


@cache
def lpips_unavailable() -> str | None:
    """Say why LPIPS (Zhang et al. 2018, AlexNet) cannot be computed here; None where it can."""
    try:
        _lpips(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))
    except ModuleNotFoundError:
        return "it needs torchvision: install nrw with the extra `lpips`"
    except OSError as error:  # includes URLError
        return f"the weights of AlexNet cannot be downloaded: {error}"
    return None


def _lpips(a: torch.Tensor, b: torch.Tensor) -> float:
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

    with torch.no_grad():
        return float(learned_perceptual_image_patch_similarity(a, b, net_type="alex", normalize=True))


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.tensor(picture).permute(2, 0, 1)[None].float() / 255


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None
