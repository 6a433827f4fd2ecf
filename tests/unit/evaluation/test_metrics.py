from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from nrw.evaluation import metrics
from nrw.evaluation.metrics import compare, flip_map, psnr


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
    for name in ("l1", "psnr", "ssim", "flip", "sharpness"):
        assert figures[f"everything_{name}"] == pytest.approx(figures[name])
        assert figures[f"none_{name}"] is None


def test_equal_pictures_are_at_the_cap(pair):
    _, photo = pair
    figures = compare(photo, photo, {})
    assert (figures["l1"], figures["psnr"], figures["flip"], figures["sharpness"]) == (0, 100, 0, 1)
    assert figures["perceptual"] in (0, None)
    assert figures["ssim"] == pytest.approx(1)
    assert psnr(None) is None


def test_flip_of_black_and_white_has_a_closed_form():
    farthest = 203.3**0.7  # green to blue, the largest HyAB distance of sRGB
    apart = (100**0.7 - 0.4 * farthest) / (0.6 * farthest)
    black = np.zeros((40, 56, 3), np.uint8)
    error = flip_map(black, black + np.uint8(255))
    assert error.shape == (40, 56)
    assert error == pytest.approx(0.95 + 0.05 * apart, abs=1e-4)


def test_flip_of_a_mask_is_the_mean_of_its_errors(pair):
    output, photo = pair
    mask = np.zeros(photo.shape[:2], bool)
    mask[10:30, 5:25] = True
    assert compare(output, photo, {"hit": mask})["hit_flip"] == pytest.approx(flip_map(output, photo)[mask].mean())


def test_a_blurred_copy_is_less_sharp_the_more_it_is_blurred(pair):
    _, photo = pair
    copies = [gaussian_filter(photo, (sigma, sigma, 0)) for sigma in (0.5, 1, 2)]
    sharpness = [compare(copy, photo, {})["sharpness"] for copy in copies]
    assert sharpness[0] < 1 and sharpness[-1] > 0
    assert all(sharper > softer for sharper, softer in pairwise(sharpness))


def test_sharpness_is_a_ratio_of_energies_and_ignores_an_offset(pair):
    photo = pair[1] // 4 * 2  # even, at most 126
    half = photo // 2
    assert compare(half, photo, {})["sharpness"] == pytest.approx(0.25)
    assert compare(photo + np.uint8(100), photo, {})["sharpness"] == pytest.approx(1)


def test_sharpness_of_a_mask_counts_its_own_pixels_only(pair):
    _, photo = pair
    mask = np.zeros(photo.shape[:2], bool)
    mask[:, :20] = True
    soft = photo.copy()
    soft[:, 30:] = 128  # beyond the mask and its blurs
    figures = compare(soft, photo, {"hit": mask, "rest": ~mask})
    assert figures["hit_sharpness"] == pytest.approx(1)
    assert figures["rest_sharpness"] < 0.6


def test_a_flat_photo_has_no_detail_to_compare_with(pair):
    output, photo = pair
    flat = np.full_like(photo, 77)
    assert compare(output, flat, {})["sharpness"] is None
    assert compare(flat, photo, {})["sharpness"] == pytest.approx(0, abs=1e-9)


def test_the_perceptual_distance_is_none_where_its_weights_are_missing(pair, monkeypatch):
    monkeypatch.setattr(metrics, "perceptual_unavailable", lambda: "no package")
    assert compare(*pair, {})["perceptual"] is None
    monkeypatch.setattr(metrics, "perceptual_unavailable", lambda: None)
    monkeypatch.setattr(metrics, "feature_distance", lambda picture, pixels: 0.25)
    assert compare(*pair, {})["perceptual"] == 0.25


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
