import numpy as np

from nrw.evaluation.baselines import Render, apply_affine, columns, fill, fit_affine, fitted

# [r g b 1] -> half of (g, r, b), plus (20, 40, 60): exact in 8 bits for even colours
TRUE = np.array([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0.5], [20 / 255, 40 / 255, 60 / 255]])


def test_fit_recovers_an_affine_change_of_color():
    rng = np.random.default_rng(0)
    source = 2 * rng.integers(0, 128, (40, 50, 3), dtype=np.uint8)
    target = apply_affine(source, TRUE)
    assert np.abs(fit_affine(source, target) - TRUE).max() < 1e-9
    assert np.array_equal(apply_affine(source, fit_affine(source, target)), target)


def test_holes_take_the_nearest_color():
    color = np.zeros((3, 7, 3), np.uint8)
    hit = np.zeros((3, 7), bool)
    hit[1, 0], hit[1, 6] = True, True
    color[1, 0], color[1, 6] = (10, 20, 30), (200, 0, 0)
    filled = fill(color, hit)
    assert (filled[:, :3] == (10, 20, 30)).all()
    assert (filled[:, 4:] == (200, 0, 0)).all()
    assert np.array_equal(fill(color, np.zeros((3, 7), bool)), color)  # nothing to fill from


def test_a_fitted_render_equals_an_affinely_recolored_photo_from_a_half_of_it():
    rng = np.random.default_rng(1)
    render = 2 * rng.integers(0, 128, (32, 64, 3), dtype=np.uint8)
    photo = apply_affine(render, TRUE)
    full = Render(render, np.ones((32, 64), bool))
    assert np.array_equal(fitted(full, photo, (0, 0.5)), photo)
    # the other half is not looked at
    other = photo.copy()
    other[:, 32:] = 0
    assert np.array_equal(fitted(full, other, (0, 0.5)), photo)
    assert not np.array_equal(fitted(full, other, (0, 1)), photo)


def test_filled_holes_have_colors_of_their_own():
    """A wall before the sky: the holes take the wall's colours, and the sky's by a fit of their own."""
    rng = np.random.default_rng(2)
    render = 2 * rng.integers(0, 128, (32, 64, 3), dtype=np.uint8)
    hit = np.ones((32, 64), bool)
    hit[:12] = False
    photo = apply_affine(render, TRUE)
    photo[:12] = (120, 160, 240)
    assert np.array_equal(fitted(Render(render, hit), photo, (0, 0.5)), photo)


def test_a_few_filled_holes_have_the_colors_of_the_rest():
    render = 2 * np.random.default_rng(3).integers(0, 128, (32, 64, 3), dtype=np.uint8)
    hit = np.ones((32, 64), bool)
    hit[0, 0] = hit[0, 40:] = False  # the left half has one hole, to which any color could be fitted
    expected = apply_affine(fill(render, hit), TRUE)
    assert np.array_equal(fitted(Render(render, hit), apply_affine(render, TRUE), (0, 0.5)), expected)


def test_columns_split_a_picture_without_overlap():
    left, right = columns(101, (0, 0.5)), columns(101, (0.5, 1))
    assert (left.start, left.stop, right.stop) == (0, right.start, 101)


def test_a_render_without_points_becomes_the_mean_color_of_the_photo():
    photo = np.full((8, 8, 3), (10, 100, 200), np.uint8)
    empty = Render(np.zeros_like(photo), np.zeros((8, 8), bool))
    assert np.array_equal(fitted(empty, photo, (0, 1)), photo)
