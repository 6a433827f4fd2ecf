"""Compare a picture with a photo: L1, PSNR, SSIM, FLIP and sharpness; a distance of features and LPIPS if available."""

from collections.abc import Mapping
from functools import cache

import flip_evaluator
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torchmetrics.functional.image import structural_similarity_index_measure

from nrw.evaluation.feature_distance import feature_distance, perceptual_unavailable

MAX_PSNR = 100.0  # dB, for equal pictures: JSON has no infinity
FINEST = (0.7, 1.4)  # pixels, sigmas of the two blurs whose difference is the finest band
FLAT = 1e-10  # mean square of a photo's finest band below which it has no detail to compare with


def compare(picture: np.ndarray, pixels: np.ndarray, masks: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """Compute L1, PSNR (dB), SSIM, FLIP and sharpness over all pixels and each mask; perceptual and LPIPS over all.

    picture: (H, W, 3) uint8. pixels: (H, W, 3) uint8, of the photo; both are scaled to [0, 1]. masks: name ->
    (H, W) bool. Keys: l1, psnr, ssim, flip, sharpness, each also as <name>_<key>; perceptual, lpips. SSIM and FLIP are
    means of their maps (`ssim_map`, `flip_map`). Sharpness is the energy of the finest band of the gray picture divided
    by the photo's: 1 is as sharp as the photo, less is softer; noise and false detail count like true detail. A metric
    over no pixels is None; so are sharpness where the photo is flat, and perceptual and LPIPS where unavailable.
    """
    a, b = _tensor(picture), _tensor(pixels)  # (1, 3, H, W)
    difference = np.abs(picture.astype(np.float64) - pixels.astype(np.float64)) / 255
    ssim, flip = ssim_map(a, b), flip_map(picture, pixels)
    energy, energy_of_photo = finest_band(picture) ** 2, finest_band(pixels) ** 2
    figures: dict[str, float | None] = {}
    for name, mask in {"": np.ones(ssim.shape, dtype=bool), **masks}.items():
        prefix = name and f"{name}_"
        figures[f"{prefix}l1"] = _mean(difference[mask])
        figures[f"{prefix}psnr"] = psnr(_mean(difference[mask] ** 2))
        figures[f"{prefix}ssim"] = _mean(ssim[mask])
        figures[f"{prefix}flip"] = _mean(flip[mask])
        figures[f"{prefix}sharpness"] = _ratio(_mean(energy[mask]), _mean(energy_of_photo[mask]))
    figures["perceptual"] = None if perceptual_unavailable() else feature_distance(picture, pixels)
    figures["lpips"] = None if lpips_unavailable() else _lpips(a, b)
    return figures


def psnr(mean_squared_error: float | None) -> float | None:
    """Compute 10 log10(1 / MSE) in dB for values in [0, 1], at most 100; None for None."""
    if mean_squared_error is None:
        return None
    return float(min(MAX_PSNR, -10 * np.log10(max(mean_squared_error, 1e-12))))


def ssim_map(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """Compute the SSIM map (H, W) of two (1, 3, H, W) in [0, 1] (Wang et al. 2004: Gaussian window, sigma 1.5).

    The pictures are reflected at their border, as torchmetrics does.
    """
    _, full = structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)
    return full[0].mean(dim=0).double().numpy()


def flip_map(picture: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Compute the error map (H, W) in [0, 1] of LDR-FLIP (Andersson et al. 2020): errors as people see them.

    picture, pixels: (H, W, 3) uint8, sRGB, seen at 67 pixels per degree, FLIP's default.
    """
    reference, test = (shown.astype(np.float32) / 255 for shown in (pixels, picture))
    return flip_evaluator.evaluate(reference, test, "LDR", applyMagma=False)[0][..., 0].astype(np.float64)


def finest_band(picture: np.ndarray) -> np.ndarray:
    """Compute the finest band (H, W) of a picture (H, W, 3) uint8: its gray, in [0, 1], blurred less - blurred more."""
    gray = picture.mean(axis=2) / 255
    fine, coarse = (gaussian_filter(gray, sigma) for sigma in FINEST)
    return fine - coarse


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


def _ratio(energy: float | None, of_photo: float | None) -> float | None:
    return None if energy is None or of_photo is None or of_photo < FLAT else energy / of_photo
