import pytest
import torch
from torch import nn

from nrw.core.errors import UserError
from nrw.models import weights


def test_weights_go_from_stage_to_stage(tmp_path):
    path = tmp_path / "model.safetensors"
    weights.save_weights(path, {"encoder": (saved := nn.Linear(2, 3))})
    encoder, points = nn.Linear(2, 3), nn.Linear(1, 1)
    before = points.weight.clone()
    weights.load_weights(path, {"encoder": encoder, "points": points}, required=False)
    assert torch.equal(encoder.weight, saved.weight)
    assert torch.equal(points.weight, before)
    with pytest.raises(UserError, match=r"its points was made with another configuration"):
        weights.load_weights(path, {"encoder": encoder, "points": points})
    with pytest.raises(UserError, match=r"its encoder was made with another configuration"):
        weights.load_weights(path, {"encoder": nn.Linear(2, 4)})
