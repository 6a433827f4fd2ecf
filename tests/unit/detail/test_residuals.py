import os

import numpy as np
import torch
from detail_scene import PEOPLE, measure, places, texture

from nrw.detail.residuals import confidence, load_residual, log_ratio, residual_path, save_residual
from nrw.models.detail_channels import DETAIL_LIMIT
from nrw.mvs.workspace import Workspace


def test_a_photo_is_trusted_away_from_edges_masks_and_holes():
    depth = np.full((20, 40), 3.0, np.float32)
    depth[:, 20:] = 2.0
    keep = np.ones((20, 40), bool)
    keep[:5] = False
    depth[15:, 35:] = 0
    trusted = confidence(depth, keep)
    assert (trusted[:5] == 0).all() and (trusted[15:, 35:] == 0).all()
    assert (trusted[10, 19:21] == 0).all() and trusted[10, 26] == 1 and 0 < trusted[10, 16] < 1
    flat = confidence(np.full((4, 4), 2.0, np.float32), np.ones((4, 4), bool))
    assert (flat == 1).all()


def test_a_change_of_light_that_the_painted_picture_follows_changes_no_residual():
    rng = torch.Generator().manual_seed(0)
    painted, texture = torch.rand(3, 8, 8, generator=rng) * 0.4 + 0.2, torch.rand(3, 8, 8, generator=rng) * 0.4 + 0.8
    gain = torch.tensor([1.3, 0.9, 1.1])[:, None, None]
    first = log_ratio((painted + 0.04) * texture - 0.04, painted)
    second = log_ratio(gain * (painted + 0.04) * texture - 0.04, gain * (painted + 0.04) - 0.04)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)
    torch.testing.assert_close(first, texture.log())
    assert float(log_ratio(torch.ones(3, 1, 1), torch.zeros(3, 1, 1)).max()) == torch.tensor(DETAIL_LIMIT)


def test_a_residual_survives_its_file(tmp_path):
    rng = torch.Generator().manual_seed(0)
    logs, trusted = 3 * torch.rand(3, 6, 9, generator=rng) - 1.5, torch.rand(6, 9, generator=rng)
    save_residual(tmp_path, "0001", logs, trusted)
    found = load_residual(tmp_path, "0001")
    assert found.shape == (1, 4, 6, 9)
    torch.testing.assert_close(found[0, :3], logs, atol=0.007, rtol=0)
    torch.testing.assert_close(found[0, 3], trusted, atol=0.002, rtol=0)


def test_what_a_photo_shows_beyond_the_surface_is_the_same_in_any_light(scene):
    """Photos 0000 and 0009 are of one place, the second darker by 35, 20 and 5 % in red, green and blue."""
    first, second = (load_residual(scene.detail, photo_id)[0] for photo_id in ("0000", "0009"))
    camera = Workspace(scene.workspace).cameras["0000"].resized(first.shape[2], first.shape[1])
    expected = torch.tensor(np.log(texture(*places(camera))))
    for residual in (first, second):
        error = (residual[:3] - expected).abs()
        assert error.mean() < 0.02 and error.max() < 0.1
    assert (first - second)[:3].abs().mean() < 0.02 < 0.09 < expected.abs().mean()
    assert (first[3] == 1).all()


def test_people_lend_no_detail_and_disturb_none(scene):
    residual = load_residual(scene.detail, "0001")[0]
    camera = Workspace(scene.workspace).cameras["0001"]
    stretch = residual.shape[1] / camera.height
    inside = slice(int(stretch * PEOPLE[0].start) + 1, int(stretch * PEOPLE[0].stop) - 1), PEOPLE[1]
    assert (residual[3][inside] == 0).all() and (residual[3, :30] == 1).all()
    camera = camera.resized(residual.shape[2], residual.shape[1])
    error = (residual[:3] - torch.tensor(np.log(texture(*places(camera))))).abs()
    assert error[:, residual[3] > 0].mean() < 0.02


def test_photos_that_are_done_are_skipped(scene):
    done, missing = (residual_path(scene.detail, photo_id) for photo_id in ("0002", "0003"))
    before, content = os.stat(done).st_mtime_ns, missing.read_bytes()
    missing.unlink()
    measure(scene)
    assert os.stat(done).st_mtime_ns == before and missing.read_bytes() == content
