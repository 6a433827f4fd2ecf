"""Five photos of a wall, as sources of each other."""

import numpy as np
import pytest
import torch

from nrw.core.errors import UserError
from nrw.detail.residuals import save_residual
from nrw.detail.sources import CHOSEN, Sources, training_sources
from nrw.detail.training import detail_level
from nrw.detail.warp import lift
from nrw.framebuffers.rasters import save_buffer
from nrw.geometry.cameras import Camera
from nrw.geometry.rasterize import DeepBuffer
from nrw.models.detail_channels import decode_detail

DEPTH = 4.0


def camera(x: float) -> Camera:
    return Camera(64, 48, 60, 60, 32, 24, np.column_stack([np.eye(3), [-x, 0.0, 0.0]]))


@pytest.fixture
def cameras(tmp_path):
    """Ten photos in a row; photo i has the constant residual i / 10."""
    found = {f"{i:04d}": camera(0.25 * i) for i in range(10)}
    for i, photo_id in enumerate(found):
        save_residual(tmp_path, photo_id, torch.full((3, 48, 64), i / 10), torch.ones(48, 64))
        depth = torch.full((48, 64), DEPTH)
        save_buffer(tmp_path / "buffers", photo_id, DeepBuffer(torch.zeros(48, 64, dtype=torch.int32), depth))
    return found


def detail(sources: Sources, view: Camera, without=()) -> torch.Tensor:
    """(3, 48, 64) log ratios."""
    return sources.detail(view, torch.full((48, 64), DEPTH), without)[0][:3]


def test_the_nearest_photos_are_chosen_and_a_photo_is_never_its_own_source(cameras, tmp_path):
    sources = Sources(tmp_path, tmp_path / "buffers", cameras)
    view = cameras["0004"]
    points = lift(view, torch.arange(48 * 64), torch.full((48 * 64,), DEPTH))
    chosen = sources.choose(view, points)
    assert chosen[0] == ("0004", 1.0) and len(chosen) <= CHOSEN
    assert {"0003", "0005"} <= {photo_id for photo_id, _ in chosen}
    others = sources.choose(view, points, without=["0004"])
    assert "0004" not in dict(others)
    save_residual(tmp_path, "0004", torch.full((3, 48, 64), -1.5), torch.ones(48, 64))
    fresh = Sources(tmp_path, tmp_path / "buffers", cameras)
    assert detail(fresh, view, without=["0004"]).min() > 0.2
    assert detail(fresh, view).mean() < detail(fresh, view, without=["0004"]).mean()


def test_no_photo_appears_or_vanishes_at_once_along_a_path(cameras, tmp_path):
    sources = Sources(tmp_path, tmp_path / "buffers", cameras)
    before: dict[str, float] = {}
    for x in np.linspace(0.6, 1.6, 101):
        view = camera(x)
        chosen = dict(sources.choose(view, lift(view, torch.arange(48 * 64), torch.full((48 * 64,), DEPTH))))
        if before:
            assert all(abs(chosen.get(key, 0) - before.get(key, 0)) < 0.25 for key in chosen | before)
        before = chosen
    assert len(before) > 2


def test_a_photos_packed_detail_is_that_of_the_others(cameras, tmp_path):
    sources = training_sources(tmp_path, tmp_path / "buffers", cameras, ["0003", "0004", "0005"])
    assert sources.ids == ["0003", "0004", "0005"]
    save_residual(tmp_path, "0004", torch.full((3, 48, 64), -1.5), torch.ones(48, 64))
    level = detail_level(sources, "0004", cameras["0004"].resized(32, 24), torch.full((48, 64), DEPTH), 2)
    assert level.shape == (24, 32, 5) and level.dtype == np.uint8
    decoded = decode_detail(torch.from_numpy(level))
    assert float(decoded[0].median()) == pytest.approx(0.4, abs=0.04)


def test_a_missing_residual_is_named(cameras, tmp_path):
    (tmp_path / "0007.npy").unlink()
    with pytest.raises(UserError, match=r"lacks the detail of photos 0007; run `measure_residuals`"):
        Sources(tmp_path, tmp_path / "buffers", cameras)
