"""The parts of LightGlue, with answers that are known without its weights."""

import math

import torch

from nrw.sfm.lightglue import LightGlue, mutual, normalized, rotated


def test_positions_are_relative_to_the_centre_and_the_longer_side():
    points = torch.tensor([[0.0, 0.0], [200.0, 50.0], [400.0, 100.0]])
    assert normalized(points, 400, 100).tolist() == [[-1, -0.25], [0, 0], [1, 0.25]]


def test_every_two_numbers_are_turned_by_their_angle():
    angles = torch.tensor([[math.pi / 2, math.pi / 2, math.pi, math.pi]])
    turned = rotated(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.stack([angles.cos(), angles.sin()]))
    torch.testing.assert_close(turned, torch.tensor([[-2.0, 1.0, -3.0, -4.0]]))


def test_matches_are_mutual_and_likely():
    probabilities = torch.tensor([[0.9, 0.05, 0.0], [0.8, 0.1, 0.0], [0.0, 0.0, 0.09], [0.0, 0.3, 0.0]])
    assert mutual(probabilities.log()).tolist() == [[0, 0], [3, 1]]


@torch.inference_mode()
def test_photos_without_keypoints_match_nothing():
    torch.manual_seed(0)
    network = LightGlue(8).eval()
    none, some = (torch.zeros(0, 2), torch.zeros(0, 8)), (torch.rand(5, 2), torch.rand(5, 8))
    for pair in ((none, some), (some, none), (none, none)):
        assert network(*pair).shape == (0, 2)


@torch.inference_mode()
def test_the_order_of_the_photos_does_not_matter():
    torch.manual_seed(0)
    network = LightGlue(8).eval()
    a, b = ((torch.rand(n, 2) * 2 - 1, torch.randn(n, 8)) for n in (30, 40))
    assert {(i, j) for j, i in network(b, a).tolist()} == set(map(tuple, network(a, b).tolist()))
