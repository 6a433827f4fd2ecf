"""A trained scene, on the synthetic wall of training_scene."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from training_scene import BUILDING, PERSON, SKY, make_config, make_scene, run

from nrw.core.errors import UserError
from nrw.dataset.packed import PackedDataset
from nrw.models.inputs import crop
from nrw.scene.model import Completion, SceneModel
from nrw.scene.views import Views


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A model trained long enough to depend on z, its data set, cloud and cameras, and the folder it lies in."""
    folder = tmp_path_factory.mktemp("scene")
    dataset, cloud, cameras = make_scene(folder)
    config = make_config(
        appearance={"kimg": 0.1},
        rerender={"kimg": 0.2},
        finetune={"kimg": 0.2},
        completion={"kimg": 0.2},
        tick_kimg=1.0,
    )
    for stage in ("appearance", "rerender", "finetune", "completion"):
        run(stage, dataset, folder, config)
    model = SceneModel.load(folder / "finetune", folder / "completion")
    return model, PackedDataset(dataset), cloud, cameras, folder


def test_a_picture_is_the_networks_output(scene):
    model, dataset, *_ = scene
    view = dataset.view("0002")
    z = model.encode(view)
    assert z.shape == (model.networks.encoder.z_size,) and z.dtype == torch.float32
    rasters, index, _, _ = crop(view, model.spec, [])
    with torch.no_grad():
        output = model.networks.render([level[None] for level in rasters], [level[None] for level in index], z[None])
    expected = ((output[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    picture = model.render_view(view, z)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, expected)
    error = np.abs(picture.astype(float) - view.pixels)[view.labels != PERSON].mean()
    assert error < np.abs(view.color[0].astype(float) - view.pixels)[view.labels != PERSON].mean()


def test_a_novel_view_from_a_photos_place_is_its_view(scene):
    model, dataset, cloud, cameras, _ = scene
    view = dataset.view("0002")
    z = model.encode(view)
    views = Views(model, cloud, None, scale=1, splat=3)
    seen = views.see(cameras[2], view.labels)
    np.testing.assert_array_equal(views.raw(seen), view.color[0])
    for name in ("color", "depth", "index", "coverage", "lighting"):
        for ours, packed in zip(getattr(seen.view, name), getattr(view, name), strict=True):
            np.testing.assert_array_equal(ours.numpy(), packed)
    inside = ndimage.binary_erosion(view.depth[0] > 0, iterations=3)  # the outline is soft in a novel view
    apart = np.abs(views.draw(seen, z).astype(int) - model.render_view(view, z))
    assert apart[inside].max() <= 1
    predicted = views.draw(views.see(cameras[2]), z)
    apart = np.abs(predicted.astype(int) - model.render_view(view, z, predict_labels=True))
    assert apart[inside].max() <= 1


def test_a_picture_has_any_size_and_shows_the_same(scene):
    model, dataset, cloud, cameras, _ = scene
    z = model.encode(dataset.view("0002"))
    views = Views(model, cloud, None, scale=2, splat=3)
    small, large = (
        views.draw(views.see(cameras[2].resized(factor * 64, factor * 48)), z).astype(float) for factor in (2, 4)
    )
    assert large.shape == (192, 256, 3)
    halves = large.reshape(96, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.abs(halves - small).mean() < 12


def test_predicted_labels_are_of_lasting_classes_and_mostly_right(scene):
    model, dataset, *_ = scene
    view = dataset.view("0003")
    labels = model.predict_labels(view).numpy()
    assert labels.dtype == np.uint8 and set(np.unique(labels)) <= {BUILDING, SKY}
    known = view.labels != PERSON
    assert (labels == view.labels)[known].mean() > 0.9


def test_there_is_no_sky_beneath_the_horizon(scene):
    model, dataset, *_ = scene
    view, spec, labels = dataset.view("0003"), model.completion.spec, model.completion.labels
    level = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # looks along the world's y, z up
    tilted = replace(view, camera=replace(view.camera, cam_from_world=np.column_stack([level, np.zeros(3)])))
    sky_everywhere = (labels == SKY).float()[None, :, None, None].expand(1, -1, *view.labels.shape)
    certain = SceneModel(model.networks, model.spec, [], Completion(torch.nn.Module(), spec, labels))
    certain.completion.network.forward = lambda rasters, index: sky_everywhere.clone()
    found, beneath = certain.predict_labels(tilted), tilted.camera.ray_directions()[..., 2] < 0
    np.testing.assert_array_equal(found == SKY, ~beneath)
    assert beneath.any() and not beneath.all()


def test_the_appearance_of_a_region_comes_from_it_alone(scene):
    model, dataset, *_ = scene
    view = dataset.view("0000")
    changed = view.pixels.copy()
    changed[:, 32:] = 255 - changed[:, 32:]
    other = type(view)(**{**vars(view), "pixels": changed})
    assert torch.equal(model.encode(view, (0, 0.5)), model.encode(other, (0, 0.5)))
    assert not torch.equal(model.encode(view), model.encode(other))


def test_refining_lowers_the_error_and_sees_the_region_alone(scene):
    model, dataset, *_ = scene
    view = dataset.view("0002")
    known = (view.labels != PERSON)[:, :32]

    def error(z):
        return np.abs(model.render_view(view, z, predict_labels=True).astype(float) - view.pixels)[:, :32][known].mean()

    start = torch.zeros(model.networks.encoder.z_size)
    refined = model.refine(view, start, (0, 0.5), 16)
    assert error(refined) < 0.9 * error(start)
    assert refined[-4:].abs().max() <= 1
    changed = view.pixels.copy()
    changed[:, 32:] = 0
    changed[view.labels == PERSON] = 0
    other = type(view)(**{**vars(view), "pixels": changed})
    assert torch.equal(model.refine(other, start, (0, 0.5), 16), refined)
    assert torch.equal(model.refine(view, start, (0, 0.5), 0), start)


def test_a_scene_with_labels_needs_completion_for_new_views(scene):
    _, dataset, cloud, cameras, folder = scene
    model = SceneModel.load(folder / "finetune", None)
    with pytest.raises(UserError, match="completion"):
        Views(model, cloud, None, scale=1, splat=3).see(cameras[0])
    with pytest.raises(UserError, match="not segmented"):
        model.predict_labels(dataset.view("0000"))
    with pytest.raises(UserError, match=r"config\.json is missing"):
        SceneModel.load(folder / "nothing", None)
