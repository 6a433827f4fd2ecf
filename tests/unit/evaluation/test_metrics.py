import numpy as np
import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from nrw.evaluation import metrics
from nrw.evaluation.metrics import compare, psnr


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
    noise = rng.integers(-30, 31, photo.shape)
    return (photo + noise).clip(0, 255).astype(np.uint8), photo


def tensor(picture):
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def test_all_pixels_agree_with_torchmetrics(pair):
    output, photo = pair
    figures = compare(output, photo, {})
    a, b = tensor(output), tensor(photo)
    assert figures["psnr"] == pytest.approx(float(peak_signal_noise_ratio(a, b, data_range=1.0)), abs=1e-4)
    assert figures["ssim"] == pytest.approx(float(structural_similarity_index_measure(a, b, data_range=1.0)), abs=1e-5)
    assert figures["l1"] == pytest.approx(float((a - b).abs().mean()), abs=1e-6)


def test_a_uniform_difference_has_a_closed_form():
    photo = np.full((32, 32, 3), 100, np.uint8)
    figures = compare(photo + np.uint8(51), photo, {})
    assert figures["l1"] == pytest.approx(0.2)
    assert figures["psnr"] == pytest.approx(-20 * np.log10(0.2))
    x, y, c1 = 100 / 255, 151 / 255, 0.01**2  # without variance only the luminance term of SSIM remains
    assert figures["ssim"] == pytest.approx((2 * x * y + c1) / (x * x + y * y + c1), abs=1e-4)


def test_a_mask_counts_its_own_pixels_only(pair):
    output, photo = pair
    mask = np.zeros(photo.shape[:2], bool)
    mask[:, :20] = True
    figures = compare(output, photo, {"static": mask, "everything": np.ones_like(mask), "none": np.zeros_like(mask)})
    part = compare(output[:, :20], photo[:, :20], {})
    assert figures["static_l1"] == pytest.approx(part["l1"])
    assert figures["static_psnr"] == pytest.approx(part["psnr"])
    spoiled = output.copy()
    spoiled[:, 30:] = 0  # beyond the mask and its windows
    assert compare(spoiled, photo, {"static": mask})["static_ssim"] == pytest.approx(figures["static_ssim"])
    for name in ("l1", "psnr", "ssim"):
        assert figures[f"everything_{name}"] == pytest.approx(figures[name])
        assert figures[f"none_{name}"] is None


def test_equal_pictures_are_at_the_cap(pair):
    _, photo = pair
    figures = compare(photo, photo, {})
    assert (figures["l1"], figures["psnr"]) == (0, 100)
    assert figures["ssim"] == pytest.approx(1)
    assert psnr(None) is None


def test_lpips_is_none_with_a_reason_where_its_weights_are_missing(pair, monkeypatch):
    def fail(a, b):
        raise ModuleNotFoundError("No module named 'torchvision'")

    metrics.lpips_unavailable.cache_clear()
    monkeypatch.setattr(metrics, "_lpips", fail)
    assert "torchvision" in metrics.lpips_unavailable()
    assert compare(*pair, {})["lpips"] is None
    metrics.lpips_unavailable.cache_clear()
    monkeypatch.setattr(metrics, "_lpips", lambda a, b: 0.25)
    assert metrics.lpips_unavailable() is None
    assert compare(*pair, {})["lpips"] == 0.25
    metrics.lpips_unavailable.cache_clear()
