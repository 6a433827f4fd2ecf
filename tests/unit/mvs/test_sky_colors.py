"""The colour models of the sky, and the filter that follows the photo's edges."""

import numpy as np

from nrw.mvs.sky_colors import LIMIT, Colors, apply, guided


def halves(left, right, noise=2.0, size=80):
    """A picture of two colours side by side, and which half is the left one."""
    picture = np.empty((size, size, 3))
    picture[:, : size // 2], picture[:, size // 2 :] = left, right
    picture += np.random.default_rng(0).normal(0, noise, picture.shape)
    return picture.clip(0, 255).astype(np.uint8), np.arange(size)[None].repeat(size, 0) < size // 2


def test_colors_of_either_set_are_told_apart():
    picture, left = halves((110, 150, 220), (140, 130, 110))
    few = np.zeros_like(left)
    few[10:30] = True
    odds = Colors.of(picture).log_odds(left & few, ~left & few)
    assert (odds[left] > 0).mean() > 0.99 and (odds[~left] < 0).mean() > 0.99
    assert np.abs(odds).max() <= LIMIT


def test_the_same_color_is_told_apart_by_what_is_around():
    """Snow as white as the sky: where only sky is around, it is sky."""
    picture = np.random.default_rng(0).normal(250, 1.5, (200, 80, 3)).clip(0, 255)
    picture[80:120] = np.random.default_rng(1).normal(90, 10, (40, 80, 3))
    sky, other = np.zeros((200, 80), bool), np.zeros((200, 80), bool)
    sky[:20] = True
    other[80:] = True
    odds = Colors.of(picture.astype(np.uint8)).log_odds(sky, other)
    assert np.median(odds[5:40]) > np.median(odds[160:]) + 1


def test_roughness_is_the_size_of_steps():
    picture, _ = halves((100, 100, 100), (200, 200, 200), noise=0)
    roughness = Colors.of(picture).roughness
    step = 100 / 2.55  # percent; a Gaussian of 1 pixel has .352 of it half a pixel from the edge
    np.testing.assert_allclose(roughness[:, 39:41], 0.352 * step, rtol=0.05)
    assert roughness[:, :30].max() < 0.1


def test_a_linear_function_of_the_guide_stays_as_it_is():
    guide = np.random.default_rng(0).random((40, 50, 3)).astype(np.float32)
    values = guide @ np.array([0.3, -0.2, 0.5], np.float32) + 0.1
    np.testing.assert_allclose(apply(guided(guide, values), guide), values, atol=5e-3)


def test_values_follow_the_guides_edges_and_are_smooth_elsewhere():
    picture, left = halves((60, 60, 60), (200, 200, 200))
    rough = np.where(np.random.default_rng(1).random(left.shape) < 0.2, ~left, left)  # a fifth is wrong
    smooth = apply(guided(picture / 255, rough), picture / 255)
    assert ((smooth > 0.5) == left).mean() > 0.995
