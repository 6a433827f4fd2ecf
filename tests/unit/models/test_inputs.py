"""The channels of the networks' input, computed by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_scene import BUFFER_OF_2019, PERSON, make_config

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.dataset.packed import PackedDataset
from nrw.models import inputs
from nrw.models.detail_channels import decode_detail, pooled_detail
from nrw.models.inputs import BufferSpec, raster_tensors
from nrw.models.terms import color_terms

CONFIG = {
    "buffer": {
        "representation": "corrected",
        "levels": 2,
        "view_direction": True,
        "lighting": 2,
        "point_channels": 4,
        "detail": False,
    },
}
META = {"levels": 3, "near": 2.0, "far": 10.0, "classes": [2, 3], "n_points": 7, "has_index": True, "lighting": 2}


def spec(**changes) -> BufferSpec:
    values = {
        "representation": "corrected",
        "levels": 1,
        "view_direction": False,
        "lighting": 0,
        "point_channels": 0,
        "n_points": 0,
        "classes": (),
        "near": 2.0,
        "far": 10.0,
    }
    return BufferSpec(**{**values, **changes})


def level(depth: list[float], **changes) -> dict:
    """One row of pixels."""
    width = len(depth)
    values = {
        "color": np.full((1, width, 3), 255, np.uint8),
        "depth": np.array([depth], np.float32),
        "coverage": 255 * (np.array([depth]) > 0).astype(np.uint8),
        "index": None,
        "lighting": None,
        "labels": np.zeros((1, width), np.uint8),
        "rays": None,
    }
    return {**values, **changes}


def configured(**buffer) -> dict:
    return {**CONFIG, "buffer": {**CONFIG["buffer"], **buffer}}


def test_spec_from_config():
    made = BufferSpec.from_config(CONFIG, META)
    assert made == spec(levels=2, view_direction=True, lighting=2, point_channels=4, n_points=7, classes=(2, 3))
    assert made.raster_channels == 3 + 1 + 1 + 3 + 3 + 2
    assert made.channels == made.raster_channels + 4


def test_spec_without_segmentation_has_no_label_channels():
    made = BufferSpec.from_config(CONFIG, {**META, "classes": []})
    assert made.classes == ()
    assert made.raster_channels == 8 + 2


def test_spec_of_2019():
    buffer = {"representation": "paper2019", "levels": 1, "view_direction": False, "lighting": 0, "point_channels": 0}
    buffer["detail"] = False
    made = BufferSpec.from_config(configured(**buffer), META)
    assert (made.raster_channels, made.channels) == (7, 7)


@pytest.mark.parametrize(
    ("buffer", "meta", "message"),
    [
        ({"levels": 4}, {}, r"buffer\.levels is 4.*holds 3"),
        ({}, {"lighting": 0}, r"buffer\.lighting is 2.*holds 0.*lower buffer\.lighting"),
        ({}, {"has_index": False}, r"buffer\.point_channels is 4.*set buffer\.point_channels to 0"),
        ({"representation": "paper2019"}, {}, r"buffer\.levels: 2, buffer\.view_direction: True"),
        ({**BUFFER_OF_2019, "detail": True}, {}, r"buffer\.detail: True.*buffer\.detail to false"),
        ({"point_channels": 0, "detail": True}, {"has_index": False}, r"buffer\.detail is true.*set buffer\.detail to"),
        ({"representation": "depth"}, {}, r"'depth': choose corrected or paper2019"),
    ],
)
def test_what_the_data_set_lacks_is_the_users_error(buffer, meta, message):
    with pytest.raises(UserError, match=message):
        BufferSpec.from_config(configured(**buffer), {**META, **meta})


def test_inverse_depth_is_exact_and_clamped():
    (tensor,), _ = raster_tensors(spec(), [level([2.0, 10.0, 2 / 0.6, 1.0, 50.0, 0.0])])
    assert tensor.shape == (5, 1, 6)
    assert tensor.dtype == torch.float32
    # (1/d - 1/10) / (1/2 - 1/10): near 1, far 0; 1/d = 0.3 lies halfway
    assert torch.allclose(tensor[3, 0], torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0, 0.0]), atol=1e-6)
    assert tensor[4, 0].tolist() == [1, 1, 1, 1, 1, 0]


def test_colors_are_signed_and_zero_without_a_hit():
    color = np.array([[[0, 255, 51], [0, 255, 51]]], np.uint8)
    (tensor,), _ = raster_tensors(spec(), [level([3.0, 0.0], color=color)])
    assert torch.allclose(tensor[:3, 0, 0], torch.tensor([-1.0, 1.0, -0.6]), atol=1e-6)
    assert tensor[:3, 0, 1].tolist() == [0, 0, 0]


def test_a_partly_covered_pixel_counts_by_its_share():
    """Of colour and lighting, which are means of what is seen, a fifth; the sky's term has the rest."""
    values = {"color": np.full((1, 1, 3), 255, np.uint8), "lighting": np.full((1, 1, 2), 255, np.uint8)}
    given = level([3.0], coverage=np.full((1, 1), 51, np.uint8), **values)
    (tensor,), _ = raster_tensors(spec(lighting=2), [given])
    assert torch.allclose(tensor[[0, 1, 2, 4, 5, 6], 0, 0], torch.full((6,), 0.2), atol=1e-6)
    assert color_terms(spec(lighting=2), tensor)[4, 0, 0] == pytest.approx(0.8)


def test_a_spec_outlives_its_record():
    made = spec(classes=(2, 3), detail=True, levels=2)
    assert BufferSpec.from_record(json.loads(json.dumps(vars(made)))) == made
    record = vars(spec())
    assert BufferSpec.from_record({key: record[key] for key in record if key != "detail"}) == spec()


def test_view_direction_is_there_without_a_hit():
    rays = np.array([[[0.0, 1.0]], [[0.6, 0.0]], [[0.8, 0.0]]], np.float32)
    (tensor,), _ = raster_tensors(spec(view_direction=True), [level([3.0, 0.0], rays=rays)])
    assert np.array_equal(tensor[5:8].numpy(), rays)
    with pytest.raises(UserError, match=r"set buffer\.view_direction to false"):
        raster_tensors(spec(view_direction=True), [level([3.0])])


def test_labels_are_one_hot_and_the_rest_share_a_channel():
    names = ["road", "sky", "unknown", "flag", "floor"]
    labels = np.array([[ade20k.find(name) for name in names]], np.uint8)
    groups = tuple(ade20k.GROUP_NAMES.index(name) for name in ("sky", "road"))
    (tensor,), _ = raster_tensors(spec(classes=groups), [level([0.0] * 5, labels=labels)])
    assert tensor[5:, 0].T.tolist() == [
        [0, 1, 0],
        [1, 0, 0],
        [0, 0, 1],
        [0, 0, 1],
        [0, 1, 0],
    ]  # floor is in road's group


def test_lighting_is_decoded_and_zero_without_a_hit():
    lighting = np.array([[[1, 128, 7], [255, 1, 7]]], np.uint8)  # one channel more than the networks see
    (tensor,), _ = raster_tensors(spec(lighting=2), [level([3.0, 0.0], lighting=lighting)])
    assert tensor[5:, 0].T.tolist() == [[-1, 0], [0, 0]]
    assert torch.equal(color_terms(spec(lighting=2), tensor)[-2:], tensor[5:])


def test_the_2019_channels():
    labels = np.array([[ade20k.label_of("sky"), 0, ade20k.label_of("building")]], np.uint8)
    color = np.array([[[0, 255, 51], [0, 0, 0], [255, 255, 255]]], np.uint8)
    given = level([5.0, 0.0, 40.0], labels=labels, color=color)
    (tensor,), _ = raster_tensors(spec(representation="paper2019"), [given])
    assert tensor.shape == (7, 1, 3)
    assert torch.allclose(tensor[:3, 0].T, torch.from_numpy(color[0] / 127.5 - 1).float())
    assert torch.allclose(tensor[3, 0], torch.tensor([0.0, -1.0, 1.0]))  # 5 of 10, none, beyond 10
    assert torch.allclose(tensor[4:, 0].T, torch.from_numpy(ade20k.colorize(labels)[0] / 127.5 - 1).float())


def test_levels_batches_and_read_only_arrays():
    """A batch of tensors gives what its members give alone, from read-only arrays, as memory-mapped files are."""
    rng = np.random.default_rng(0)
    made = spec(levels=2, view_direction=True, lighting=2, classes=(1, 5), point_channels=1, n_points=9)
    views = []
    for _ in range(2):
        view = []
        for side in (8, 4):
            arrays = {
                "color": rng.integers(0, 256, (side, side, 3), np.uint8),
                "depth": (rng.random((side, side)) * (rng.random((side, side)) < 0.5) * 9).astype(np.float32),
                "coverage": rng.integers(0, 256, (side, side), np.uint8),
                "index": rng.integers(-1, 9, (side, side), np.int32),
                "lighting": rng.integers(1, 256, (side, side, 2), np.uint8),
                "labels": rng.integers(0, 7, (side, side), np.uint8),
                "rays": rng.normal(size=(3, side, side)).astype(np.float32),
            }
            for array in arrays.values():
                array.setflags(write=False)
            view.append(arrays)
        views.append(view)
    stacked = [
        {name: torch.from_numpy(np.stack([view[i][name] for view in views])) for name in views[0][i]} for i in range(2)
    ]
    tensors, indices = raster_tensors(made, stacked)
    assert [tuple(t.shape) for t in tensors] == [(2, 13, 8, 8), (2, 13, 4, 4)]
    assert [i.dtype for i in indices] == [torch.int64] * 2
    for position, view in enumerate(views):
        alone, index = raster_tensors(made, view)
        assert all(torch.equal(batch[position], one) for batch, one in zip(tensors, alone, strict=True))
        assert all(torch.equal(batch[position], one) for batch, one in zip(indices, index, strict=True))


def test_crops_hold_the_same_part_of_photo_and_every_level(scene):
    dataset = PackedDataset(scene[0])
    spec = BufferSpec.from_config(make_config(), dataset.meta)
    view = dataset.view("0000")
    rasters, index, pixels, keep = inputs.crop(view, spec, [PERSON], (10, 4, 32, 16))
    whole, _, _, _ = inputs.crop(view, spec, [PERSON])
    torch.testing.assert_close(rasters[0], whole[0][:, 4:20, 10:42])
    torch.testing.assert_close(rasters[1], whole[1][:, 2:10, 5:21])
    assert (index[1].numpy() == view.index[1][2:10, 5:21]).all()
    np.testing.assert_allclose((pixels.permute(1, 2, 0) + 1) * 127.5, view.pixels[4:20, 10:42], atol=1e-3)
    assert (keep[0].numpy() == (view.labels[4:20, 10:42] != PERSON)).all()


def test_half_resolution_shows_twice_the_field_of_view(scene):
    dataset = PackedDataset(scene[0])
    spec = BufferSpec.from_config(make_config(), dataset.meta)
    view = dataset.view("0000")
    rasters, index, pixels, keep = inputs.crop(view, spec, [PERSON], (4, 2, 16, 12), shift=1)
    finer, _, _, _ = inputs.crop(view, spec, [PERSON])
    torch.testing.assert_close(rasters[0], finer[1][:, 2:14, 4:20])
    mean = view.pixels[4:28, 8:40].reshape(12, 2, 16, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose((pixels.permute(1, 2, 0) + 1) * 127.5, mean, atol=1e-3)
    assert 0 < (keep == 0).sum() < keep.numel()
    # the coarsest level is not in the packed set: it shows the nearest of what the level above shows
    depth = np.where(view.depth[1] > 0, view.depth[1], np.inf)[2:14, 4:20].reshape(6, 2, 8, 2).min(axis=(1, 3))
    assert (index[1].numpy() >= 0).tolist() == np.isfinite(depth).tolist()


def test_labels_become_the_channel_of_their_group(scene):
    dataset = PackedDataset(scene[0])
    spec = BufferSpec.from_config(make_config(), dataset.meta)
    view = dataset.view("0000")
    rasters, *_ = inputs.crop(view, spec, [PERSON])
    classes = dataset.meta["classes"]
    one_hot = rasters[0][8 : 8 + len(classes)].numpy()
    for channel, group in enumerate(classes):
        np.testing.assert_array_equal(one_hot[channel] == 1, ade20k.collapse(view.labels) == group)


def test_the_encoder_sees_nothing_outside_its_region(scene):
    dataset = PackedDataset(scene[0])
    spec = BufferSpec.from_config(make_config(), dataset.meta)
    view = dataset.view("0000")
    x, keep = inputs.encoder_input(view, spec, [PERSON], (0, 0.5))
    whole, _ = inputs.encoder_input(view, spec, [PERSON])
    assert x.shape[1:] == keep.shape[1:] == (48, 32)
    torch.testing.assert_close(x, whole[:, :, :32])


def test_the_detail_is_cropped_with_the_finest_level(scene):
    dataset = PackedDataset(scene[0])
    spec = replace(BufferSpec.from_config(make_config(), dataset.meta), detail=True)
    view = dataset.view("0000")
    rasters, _ = inputs.crop_buffer(view, spec)
    assert len(rasters) == spec.levels + 1 and rasters[-1].shape == (5, 48, 64) and (rasters[-1] == 0).all()
    detail = np.random.default_rng(0).integers(1, 256, (48, 64, 5), np.uint8)
    view = replace(view, detail=detail)
    whole = decode_detail(torch.from_numpy(detail))
    rasters, _ = inputs.crop_buffer(view, spec, (10, 4, 32, 16))
    torch.testing.assert_close(rasters[-1], whole[:, 4:20, 10:42])
    rasters, _ = inputs.crop_buffer(view, spec, (4, 2, 16, 12), shift=1)
    torch.testing.assert_close(rasters[-1], pooled_detail(whole, 2)[:, 2:14, 4:20])
