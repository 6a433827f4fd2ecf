"""Views of a trained scene: with the detail of source photos, and with networks of 2019."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from detail_scene import BUILDING, PHOTOS, SCALE, VALIDATION, config, make_scene
from tiny_scene import save_networks
from training_scene import BUFFER_OF_2019

from nrw.core.errors import UserError
from nrw.framebuffers.undistorted import read_photo
from nrw.models import paper2019
from nrw.mvs.workspace import Workspace
from nrw.scene.files import SceneFiles
from nrw.scene.views import Views


@pytest.fixture(scope="module")
def files(tmp_path_factory, one_thread) -> SceneFiles:
    files = make_scene(tmp_path_factory.mktemp("scene") / "wall")
    torch.manual_seed(0)
    save_networks(files.root, config())
    return files


def camera_of(dataset, photo_id: str, factor: int = SCALE):
    camera = dataset.view(photo_id).camera
    return camera.resized(factor * camera.width, factor * camera.height)


def test_a_view_shows_the_texture_that_other_photos_lend_it(files):
    views, dataset = files.open_views("cpu")
    camera, z = camera_of(dataset, VALIDATION), views.model.encode(dataset.view(VALIDATION))
    labels = np.full((camera.height // SCALE, camera.width // SCALE), BUILDING, np.uint8)
    photo = read_photo(Workspace(files.workspace).image(VALIDATION), camera.width, camera.height).astype(float)
    with_detail, without = (
        np.abs(views.draw(views.see(camera, labels, chosen), z) - photo).mean() for chosen in ((), dataset.train_ids)
    )
    assert with_detail < 5 < 10 < without


def test_a_photo_that_lends_nothing_changes_nothing(files):
    views, dataset = files.open_views("cpu")
    camera = camera_of(dataset, "0004")
    seen, alone = views.see(camera), views.see(camera, without=[f"{i:04d}" for i in range(PHOTOS)])
    assert alone.logs.abs().max() == 0 and (alone.view.detail[..., 4] == 0).all()
    assert seen.logs.abs().mean() > 0.05 and seen.logs.shape == (3, camera.height, camera.width)
    assert seen.view.detail.shape == (camera.height // SCALE, camera.width // SCALE, 5)


@pytest.mark.parametrize("size", [(160, 128), (96, 72), (250, 190), (33, 47)])
def test_pictures_have_the_cameras_size(files, size):
    """Also a size that the networks' is no whole fraction of."""
    views, dataset = files.open_views("cpu")
    camera = camera_of(dataset, "0004").resized(*size)
    seen = views.see(camera)
    assert seen.view.shape == (-(-size[1] // SCALE), -(-size[0] // SCALE))
    picture = views.draw(seen, views.model.encode(dataset.view("0004")))
    assert picture.shape == views.raw(seen).shape == (size[1], size[0], 3) and picture.dtype == np.uint8


def test_networks_of_2019_draw_pictures_of_the_cameras_size(files, tmp_path, monkeypatch):
    monkeypatch.setattr(paper2019, "MAX_FILTERS", 16)  # in place of 512
    (tmp_path / "dataset").symlink_to(files.dataset)
    for architecture in ("film", "paper2019"):
        made = config() | {"buffer": BUFFER_OF_2019}
        made["network"] = {**made["network"], "architecture": architecture}
        save_networks(tmp_path, made)
        model, dataset = SceneFiles(tmp_path).open("cpu")
        views = Views(model, files.colored_cloud(), None, scale=SCALE, splat=1)
        camera, view = camera_of(dataset, "0004"), dataset.view("0004")
        z = model.encode(view)
        seen = views.see(camera, view.labels)
        picture = views.draw(seen, z)
        assert picture.shape == views.raw(seen).shape
        small = picture.reshape(camera.height // SCALE, SCALE, camera.width // SCALE, SCALE, 3).mean(axis=(1, 3))
        assert np.abs(small - model.render_view(view, z)).mean() < 4


def test_a_scene_without_its_detail_names_the_target_to_run(files, tmp_path):
    for name in ("dataset", "finetune", "completion"):
        (tmp_path / name).symlink_to(files.root / name)
    with pytest.raises(UserError, match=r"no detail/training\.u8; run `snakemake"):
        SceneFiles(tmp_path).open("cpu")
    without = Views(files.open("cpu")[0], replace(files.colored_cloud()), None, scale=SCALE, splat=1)
    assert without.see(camera_of(files.open("cpu")[1], "0004")).logs is None


def test_a_coarser_scene_lends_no_detail_and_knows_the_points_of_the_networks(files):
    """Where nothing is joined, it is the scene without its sources, though its points have another order."""
    views, dataset = files.open_views("cpu")
    plain = Views(views.model, views.cloud, None, scale=SCALE, splat=views.splat)
    camera, z = camera_of(dataset, "0004"), views.model.encode(dataset.view("0004"))
    same, coarse = plain.see(camera), views.coarser(1e-4).see(camera)
    assert coarse.logs is None and coarse.view.detail is None
    apart = (same.view.index[0] != coarse.view.index[0]).float().mean()
    assert apart < 0.1  # where corners are equally near
    assert np.abs(plain.draw(same, z).astype(int) - views.coarser(1e-4).draw(coarse, z)).mean() < 0.1
    joined = views.coarser(0.6)
    assert len(joined.geometry.points) < len(views.cloud) and joined.channels.shape[1] == len(joined.geometry.points)
    assert joined.draw(joined.see(camera), z).shape == (camera.height, camera.width, 3)
    assert views.sources is not None
