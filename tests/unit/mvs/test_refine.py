"""Refinement of inverse-depth maps that are near the truth."""

import numpy as np
import torch
from mvs_scene import CENTERS, HEIGHT, WIDTH, camera_at, noise_texture, render, true_depth

from nrw.mvs.gray_views import GrayView
from nrw.mvs.matcher import Matcher
from nrw.mvs.refine import best_of, refine, unless_worse, upsample


def ridge():
    """A matcher of three photos of the ridge, and the true inverse depth of the first."""
    cameras = [camera_at(center) for center in CENTERS[:3]]
    pictures = [torch.from_numpy(render(camera, noise_texture())).float() / 255 for camera in cameras]
    views = [GrayView(*view) for view in zip(pictures, [torch.ones(HEIGHT, WIDTH)] * 3, cameras, strict=True)]
    return Matcher(views[0], views[1:], best=2, radius=2), torch.from_numpy(1 / true_depth(cameras[0])).float()


def test_refinement_removes_noise_and_stays_within_the_limits():
    matcher, truth = ridge()
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.01, truth.shape)).float()
    start, limits = truth * (1 + noise), (0.5 * float(truth.min()), 1.05 * float(truth.max()))
    refined = refine(matcher, start.clamp(*limits), limits, ((1, 0.5), (2, 0.25)))
    inner = (slice(10, -10), slice(30, -30))
    error = (refined / truth - 1).abs()[inner].median()
    assert error < 0.25 * (start / truth - 1).abs()[inner].median()
    assert refined.min() >= limits[0] and refined.max() <= limits[1]


def test_a_proposal_is_taken_where_it_scores_better():
    matcher, truth = ridge()
    wrong = 1.3 * truth
    current, proposal = truth.clone(), truth.clone()
    current[:, : WIDTH // 2], proposal[:, WIDTH // 2 :] = wrong[:, : WIDTH // 2], wrong[:, WIDTH // 2 :]
    score = matcher.score(current[None])[0]
    taken, best = best_of(matcher, torch.stack([current, proposal]))
    inner = (slice(10, -10), slice(30, -30))
    assert (taken == truth)[inner].float().mean() > 0.95
    assert (best >= score).all()
    chosen = unless_worse(matcher, truth, wrong, 4, 0.05)
    assert (chosen == truth)[inner].float().mean() > 0.95
    chosen = unless_worse(matcher, wrong, truth, 4, 0.05)
    assert (chosen == truth)[inner].all()
    assert (unless_worse(matcher, truth, wrong, 4, 1.1) == wrong).all()  # no score differs by that much


def test_upsampling_makes_no_new_values():
    small = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    large = upsample(small, 4, 6)
    assert large.shape == (4, 6) and set(large.unique().tolist()) == {0, 1, 2, 3}
    assert (large[:2, :3] == 0).all() and (large[2:, 3:] == 3).all()
