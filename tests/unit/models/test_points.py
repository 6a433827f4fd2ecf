import torch

from nrw.models.points import PointFeatures


def test_point_features_gather_rows_and_are_zero_without_a_hit():
    points = PointFeatures(3, 2)
    assert torch.equal(points.table, torch.zeros(3, 2))
    with torch.no_grad():
        points.table.copy_(torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))
    out = points(torch.tensor([[[2, -1], [0, 2]]]))
    assert out.shape == (1, 2, 2, 2)
    assert out[0, 0].tolist() == [[3, 0], [1, 3]]
    assert out[0, 1].tolist() == [[30, 0], [10, 30]]
    out.sum().backward()
    assert points.table.grad.tolist() == [[1, 1], [0, 0], [2, 2]]
