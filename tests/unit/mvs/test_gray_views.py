"""Photos as the matching reads them."""

import numpy as np
import pytest
import torch
from mvs_scene import HEIGHT, SKY, WIDTH, camera_at, write_workspace

from nrw.core.errors import UserError
from nrw.core.io import write_image
from nrw.mvs.gray_views import GrayView, read_gray_view
from nrw.mvs.workspace import Workspace


def view_at(center):
    gray = torch.linspace(0, 1, WIDTH).expand(HEIGHT, WIDTH)
    keep = torch.ones(HEIGHT, WIDTH)
    keep[: HEIGHT // 2] = 0
    return GrayView(gray, keep, camera_at(center))


def test_a_photo_is_read_in_gray_without_its_masked_pixels(tmp_path):
    picture = np.full((HEIGHT, WIDTH), 102, np.uint8)
    write_workspace(tmp_path, {"0000": camera_at((0, 0, 0))}, {"0000": picture}, np.zeros((0, 3)))
    labels = np.ones((HEIGHT, WIDTH), np.uint8)
    labels[:20] = SKY
    write_image(tmp_path / "labels/0000.png", labels)
    workspace, cpu = Workspace(tmp_path), torch.device("cpu")
    view = read_gray_view(workspace, tmp_path / "labels", frozenset({SKY}), "0000", cpu)
    assert view.pixels.shape == (HEIGHT, WIDTH) and torch.allclose(view.pixels, torch.tensor(0.4), atol=0.01)
    assert not view.keep[:20].any() and (view.keep[20:] == 1).all()
    assert (read_gray_view(workspace, None, frozenset({SKY}), "0000", cpu).keep == 1).all()
    with pytest.raises(UserError, match="no label map"):
        read_gray_view(workspace, tmp_path, frozenset({SKY}), "0000", cpu)


def test_a_smaller_view_keeps_gray_values_mask_and_field_of_view():
    view = view_at((0, 0, 0))
    half = view.scaled(0.5)
    assert half.pixels.shape == half.keep.shape == (HEIGHT // 2, WIDTH // 2)
    assert torch.allclose(half.pixels[:, 10:-10], view.resized(WIDTH // 2, HEIGHT // 2).pixels[:, 10:-10])
    assert torch.allclose(half.pixels[0, 10:-10], view.pixels[0].view(-1, 2).mean(1)[10:-10], atol=1e-4)
    assert not half.keep[: HEIGHT // 4].any() and (half.keep[HEIGHT // 4 :] == 1).all()
    assert half.camera.fx / half.camera.width == view.camera.fx / view.camera.width
    assert view.scaled(1.0) is view
    assert view.scaled(0.01).pixels.shape == (8, 8)


def test_a_view_from_nearer_is_shrunk_to_the_others_resolution():
    far, near = view_at((0, 0, 0)), view_at((0, 0, 2))
    assert near.no_finer_than(far, 4.0).pixels.shape == (HEIGHT // 2, WIDTH // 2)
    assert far.no_finer_than(near, 2.0) is far
    behind = view_at((0, 0, 9))
    assert behind.no_finer_than(far, 4.0) is behind
