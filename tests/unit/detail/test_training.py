"""Detail packed for training, of photos of a textured wall."""

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from detail_scene import PHOTOS, SCALE, VALIDATION, places, texture

from nrw.core.errors import UserError
from nrw.dataset.packed import PackedDataset
from nrw.detail.residuals import load_residual, residual_path, save_residual
from nrw.detail.training import pack_detail
from nrw.models.detail_channels import decode_detail


def detail_of(dataset: PackedDataset, photo_id: str) -> torch.Tensor:
    return decode_detail(torch.tensor(np.array(dataset.view(photo_id).detail)))


def test_other_photos_show_a_photos_texture(scene):
    """The mean of its pixels' log ratios, where other photos see the place; of a validation photo too."""
    dataset = PackedDataset(scene.dataset, scene.training_detail)
    for photo_id in ("0004", VALIDATION):
        found, camera = detail_of(dataset, photo_id), dataset.view(photo_id).camera
        x, y = places(camera.resized(SCALE * camera.width, SCALE * camera.height))
        expected = F.avg_pool2d(torch.tensor(np.log(texture(x, y)))[None], SCALE)[0]
        sure = found[4] > 0.5
        assert sure.float().mean() > 0.9
        error = (found[:3] - expected).abs()[:, sure]
        assert error.mean() < 0.02 and error.max() < 0.12 and expected.abs().mean() > 0.09
        assert found[3][sure].mean() < 0.03  # the photos agree


def test_a_photos_own_residual_is_in_all_details_but_its_own(scene, tmp_path):
    spoiled = tmp_path / "detail"
    shutil.copytree(scene.detail, spoiled)
    own = load_residual(spoiled, "0004")[0]
    save_residual(spoiled, "0004", torch.full_like(own[:3], 1.5), own[3])
    pack_detail(scene.dataset, spoiled, scene.framebuffers, tmp_path / "packed.u8", device="cpu", threads=1)
    before = PackedDataset(scene.dataset, scene.training_detail)
    after = PackedDataset(scene.dataset, tmp_path / "packed.u8")
    changed = [
        photo_id
        for photo_id in before.ids
        if not np.array_equal(before.view(photo_id).detail, after.view(photo_id).detail)
    ]
    assert "0004" not in changed and {"0003", "0005", VALIDATION} <= set(changed)


def test_only_training_photos_are_sources(scene):
    assert not residual_path(scene.detail, VALIDATION).exists()
    assert len(list(scene.detail.glob("*.npy"))) == PHOTOS - 1


def test_a_file_of_another_set_is_refused(scene, tmp_path):
    (tmp_path / "packed.u8").write_bytes(b"0" * 100)
    with pytest.raises(UserError, match="has 100 bytes instead of"):
        PackedDataset(scene.dataset, tmp_path / "packed.u8")
