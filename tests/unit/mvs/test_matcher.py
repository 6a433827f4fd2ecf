"""Scores of inverse-depth maps on rendered planes and on plain pictures."""

import numpy as np
import torch
from mvs_scene import CENTERS, FOCAL, HEIGHT, WIDTH, camera_at, noise_texture, render, true_depth

from nrw.geometry.cameras import Camera
from nrw.mvs.gray_views import GrayView
from nrw.mvs.matcher import GEOMETRIC_WEIGHT, GeometricMatcher, Matcher


def test_masked_sources_do_not_match():
    """A reference whose only source is masked on its left half scores 0 there and 1 on the right."""
    picture = torch.from_numpy(np.random.default_rng(0).random((40, 60), np.float32))
    keep = torch.ones(40, 60)
    camera = Camera(60, 40, 50.0, 50.0, 30.0, 20.0, np.eye(3, 4))
    masked = keep.clone()
    masked[:, :30] = 0
    matcher = Matcher(GrayView(picture, keep, camera), [GrayView(picture, masked, camera)], best=1, radius=2)
    score = matcher.score(torch.ones(1, 40, 60))[0]
    assert not score[:, :30].any()
    assert (score[:, 30:] > 0.99).all()


def test_score_is_highest_at_the_true_depth():
    texture, photos = noise_texture(2), [camera_at(center) for center in CENTERS[:3]]
    views = [GrayView(torch.from_numpy(render(c, texture)).float() / 255, torch.ones(HEIGHT, WIDTH), c) for c in photos]
    matcher = Matcher(views[0], views[1:], best=2, radius=2)
    truth = torch.from_numpy(1 / true_depth(photos[0])).float()
    # disparity of a sideways step b is f b / z: one pixel is 1 / (f b)
    pixel = 1 / (FOCAL * 0.45)
    rate = matcher.disparity_rate(truth)[0]
    assert torch.allclose(rate, torch.tensor(FOCAL * np.hypot(0.45, 0.02), dtype=torch.float32), rtol=1e-4)
    best, off = matcher.score(torch.stack([truth, truth + 2 * pixel])).mean((1, 2))
    assert best > 0.85 and off < best - 0.3
    inner = (slice(10, -10), slice(10, -10))
    assert matcher.bilateral_score(truth, 3, 0.1)[inner].mean() > 0.8


def test_a_flat_patch_has_no_confidence():
    """Sky without texture beside a textured wall: the wall's edge must not lend its texture to the sky."""
    picture = torch.from_numpy(np.random.default_rng(0).random((40, 60), np.float32)) * 0.4
    picture[:, :30] = 0.9
    camera = Camera(60, 40, 50.0, 50.0, 30.0, 20.0, np.eye(3, 4))
    view = GrayView(picture, torch.ones(40, 60), camera)
    matcher = Matcher(view, [view], best=1, radius=2)
    plain, bilateral = matcher.score(torch.ones(1, 40, 60))[0], matcher.bilateral_score(torch.ones(40, 60), 3, 0.1)
    assert plain[20, 29] > 0.9
    assert (bilateral[:, :30] < 0.1).all()
    assert (bilateral[:, 34:] > 0.9).all()


def test_a_sources_depth_map_makes_its_depth_score_better():
    """Grey pictures, in which every depth looks alike: the source's map alone decides."""
    here, there = camera_at((0, 0, 0)), camera_at((0.5, 0, 0))
    gray = torch.full((HEIGHT, WIDTH), 0.5)
    reference, source = (GrayView(gray, torch.ones_like(gray), camera) for camera in (here, there))
    inverse_depth = torch.from_numpy(1 / true_depth(there)).float()
    inverse_depth[:20] = 0
    matcher = GeometricMatcher(reference, [source], best=1, radius=2, depths=[inverse_depth])
    truth = torch.from_numpy(1 / true_depth(here)).float()
    scores = matcher.score(torch.stack([truth, 1.02 * truth, 1.5 * truth]))
    middle = scores[:, 30:-10, 60:-10]
    assert (middle[0] > 0.9 * GEOMETRIC_WEIGHT).float().mean() > 0.98
    assert (middle[0] > middle[1]).float().mean() > 0.98
    assert (middle[1] > middle[2]).float().mean() > 0.98
    assert not middle[2].any()
    assert not scores[:, :10].any()
