import torch

from nrw.models.detail_channels import DETAIL_LIMIT, decode_detail, encode_detail, pooled_detail


def test_detail_outlives_its_bytes_and_pools_by_weight():
    detail = torch.tensor([[0.5, -1.0, 9.0, 0.3, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])[None]  # (1, 2, 5)
    back = decode_detail(encode_detail(detail))
    assert back.shape == (5, 1, 2) and (back[:, 0, 1] == 0).all()
    expected = torch.tensor([0.5, -1.0, DETAIL_LIMIT, 0.3, 1.0])
    assert torch.allclose(back[:, 0, 0], expected, atol=DETAIL_LIMIT / 127)
    square = torch.zeros(5, 2, 2)
    square[:, 0, 0], square[:, 1, 1] = torch.tensor([0.8, 0, 0, 0.4, 0.75]), torch.tensor([0.0, 0.4, 0, 0, 0.25])
    square[:4, 0, 1] = 99  # without weight
    assert torch.allclose(pooled_detail(square, 2)[:, 0, 0], torch.tensor([0.6, 0.1, 0, 0.3, 0.25]))
