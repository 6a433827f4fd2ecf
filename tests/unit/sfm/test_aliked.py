"""The parts of ALIKED, with answers that are known without its weights."""

import pytest
import torch
from torch import nn

from nrw.sfm.aliked import DIM, Aliked, DeformableConv2d, keypoints, sample


@pytest.fixture
def deformable():
    torch.manual_seed(0)
    convolution = DeformableConv2d(2, 3, 3, padding=1, bias=False)
    nn.init.zeros_(convolution.offset_conv.weight)
    return convolution


@torch.no_grad()
def test_without_offsets_a_deformable_convolution_is_a_convolution(deformable):
    nn.init.zeros_(deformable.offset_conv.bias)
    x = torch.randn(1, 2, 7, 9)
    torch.testing.assert_close(deformable(x), deformable.regular_conv(x))


@torch.no_grad()
def test_taps_move_down_and_right_by_their_offsets_and_see_zeros_outside(deformable):
    down, right = 2.0, -1.0
    deformable.offset_conv.bias.copy_(torch.tensor([down, right]).repeat(9))
    x = torch.randn(1, 2, 12, 12)
    moved = torch.zeros_like(x)
    moved[..., :-2, 1:] = x[..., 2:, :-1]
    # at the border the plain convolution pads the moved picture; inside both see the same
    torch.testing.assert_close(deformable(x)[..., 1:-3, 2:-1], deformable.regular_conv(moved)[..., 1:-3, 2:-1])
    assert not deformable(torch.zeros(1, 2, 12, 12)).any()


def test_samples_lie_between_pixels():
    features = torch.arange(12.0).view(1, 3, 4)
    places = torch.tensor([[[0.0, 0.0], [1.5, 1.0], [3.0, 1.5]]])
    assert sample(features, places).flatten().tolist() == pytest.approx([0, 5.5, 9])


def test_keypoints_are_the_largest_maxima_between_pixels_and_off_the_border():
    scores = torch.zeros(20, 30)
    scores[10, 5], scores[4, 20], scores[0, 0], scores[10, 7] = 0.9, 0.8, 1.0, 0.5  # the last one is near the first
    scores[4, 21] = 0.8 - 1e-6
    first, second = keypoints(scores, 2).tolist()
    assert first == pytest.approx([5, 10], abs=0.2)
    assert second == pytest.approx([20.5, 4], abs=0.1)
    assert len(keypoints(torch.zeros(20, 30), 5)) == 0


@torch.inference_mode()
def test_a_picture_of_any_size_has_descriptors_of_length_one():
    torch.manual_seed(0)
    network = Aliked().eval()
    nn.init.normal_(network.desc_head.agg_weights)
    points, descriptors = network(torch.rand(1, 3, 45, 70), 20)
    assert points.shape == (20, 2) and descriptors.shape == (20, DIM)
    assert points.min() >= 0 and (points.max(0).values <= torch.tensor([69, 44])).all()
    torch.testing.assert_close(descriptors.norm(dim=1), torch.ones(20))
