"""The whole of nrw on a pretended GPU: no mixture of devices, and little traffic between device and CPU.

The limits are what was counted when they were set, and a little more. They are there to be lowered.
"""

import shutil
from pathlib import Path

import detail_scene
import numpy as np
import pytest
import tiny_scene
import torch
import training_scene
from corner_scene import corner_photo, viewpoints
from mvs_scene import (
    CENTERS,
    Scene,
    camera_at,
    estimate,
    geometric_passes,
    noise_texture,
    render,
    surface_points,
    write_workspace,
)
from random_segmenters import segformer_config
from transformers import SegformerForSemanticSegmentation, SegformerImageProcessorPil

from nrw.core.io import write_image
from nrw.mvs.workspace import Workspace, read_map
from nrw.sfm.learned import LearnedMatcher

# of a training step, a picture or a photo: kernels, kilobytes to and from the device, waits of the CPU for it
LIMITS: dict[str, dict[str, tuple[int, float, float, int]]] = {
    "train_standard": {
        "appearance": (390, 0.1, 0.1, 0),
        "rerender": (2500, 1.6, 0.1, 0),
        "finetune": (2600, 0.84, 0.1, 0),
        "completion": (450, 0.1, 0.1, 0),
    },
    "train_paper": {
        "appearance": (410, 0.1, 0.1, 0),
        "rerender": (2000, 0.1, 0.1, 0),
        "finetune": (2200, 0.1, 0.1, 0),
        "completion": (300, 0.1, 0.1, 0),
    },
    "train_detail": {
        "measure_residuals": (250, 880, 370, 16),
        "pack_detail": (610, 450, 27, 8),
        "rerender": (990, 0.1, 0.1, 0),
    },
    "draw wall": {
        "encode": (96, 130, 0.11, 1),
        "render_view": (430, 260, 17, 2),
        "refine": (1600, 130, 0.32, 10),
        "view": (1700, 0.63, 39, 17),
        "moving frame": (1800, 0.73, 39, 18),
        "still frame": (630, 0.21, 39, 3),
    },
    "draw tower": {
        "encode": (180, 69, 0.4, 1),
        "render_view": (610, 140, 9.6, 2),
        "refine": (1900, 70, 1.1, 10),
        "view": (1200, 0.5, 39, 9),
        "moving frame": (1300, 0.63, 39, 10),
        "still frame": (710, 0.52, 39, 3),
    },
    "view wall": {
        "picture": (1800, 410, 39, 20),
        "colour": (1200, 0.52, 39, 16),
        "depth": (1200, 0.52, 52, 16),
        "labels": (1200, 0.52, 3.4, 16),
        "other light": (630, 0.21, 39, 3),
    },
    "view tower": {
        "picture": (1300, 0.63, 39, 10),
        "colour": (570, 0.11, 39, 8),
        "depth": (560, 0.11, 52, 8),
        "labels": (560, 0.11, 3.3, 8),
        "other light": (720, 0.52, 39, 3),
    },
    "depths": {
        "photometric": (3600, 240, 400, 24),
        "consensus": (1200, 1200, 320, 48),
        "geometric": (2600, 1200, 320, 48),
    },
    "rescue": {
        "photo": (680, 240, 8.2, 9),
        "pair": (1500, 0.1, 14, 10),
    },
    "segment": {
        "photo": (470, 32, 22, 2),
    },
}


@pytest.fixture(scope="session")
def packed(tmp_path_factory, one_thread) -> Path:
    """A scene with lighting and labels, to train on."""
    folder = tmp_path_factory.mktemp("packed")
    training_scene.make_scene(folder, size=(96, 72))
    return folder


@pytest.fixture(scope="session")
def wall(tmp_path_factory, one_thread) -> Path:
    """A surface with the photos' own detail, trained for no time."""
    files = detail_scene.make_scene(tmp_path_factory.mktemp("results") / "wall")
    torch.manual_seed(0)
    tiny_scene.save_networks(files.root, detail_scene.config())
    return files.root


@pytest.fixture(scope="session")
def tower(tmp_path_factory, one_thread) -> Path:
    """Loose points with lighting, trained for no time."""
    folder = tmp_path_factory.mktemp("results") / "tower"
    tiny_scene.make_scene(folder)
    return folder


def within_limits(found: dict, name: str) -> None:
    """Assert that nothing costs more than its limits; says where the costs come from."""
    assert set(found) == set(LIMITS[name])
    for unit, limits in LIMITS[name].items():
        cost = found[unit]
        counted = (cost["kernels"], cost["up"] / 1000, cost["down"] / 1000, cost["waits"])
        assert all(np.array(counted) <= limits), f"{unit}: {counted} exceeds {limits}: {cost['places']}"


def test_the_pretended_device_refuses_and_counts_what_a_real_one_does(on_gpu, tmp_path):
    found = on_gpu("refuse", tmp_path)
    assert set(found["said"]) == {"sum", "product", "index", "values", "numpy", "array"}
    assert all("to numpy" in found["said"][name] for name in ("numpy", "array"))
    assert all("cpu (2, 3)" in found["said"][name] for name in ("sum", "index"))
    costs = {name: (cost["up"], cost["down"], cost["waits"]) for name, cost in found["costs"].items()}
    assert costs == {
        "upload": (24, 0, 1),
        "upload without waiting": (24, 0, 0),
        "download": (0, 24, 1),
        "number": (0, 0, 1),
        "boolean index": (0, 0, 1),
        "list as index": (16, 0, 1),
        "sum with itself": (0, 0, 0),
    }


@pytest.mark.parametrize("part", ["train_standard", "train_paper"])
def test_all_stages_train(on_gpu, packed, tmp_path, part):
    (tmp_path / "dataset").symlink_to(packed / "dataset")
    within_limits(on_gpu(part, tmp_path), part)
    for stage in ("appearance", "rerender", "finetune", "completion"):
        assert (tmp_path / "2" / stage / "model.safetensors").is_file()


def test_detail_is_measured_packed_and_trained_with(on_gpu, wall, tmp_path):
    scene = shutil.copytree(wall, tmp_path / "wall")
    before = (scene / "detail" / "training.u8").read_bytes()
    within_limits(on_gpu("train_detail", scene), "train_detail")
    after = np.frombuffer((scene / "detail" / "training.u8").read_bytes(), np.uint8).astype(int)
    assert np.abs(after - np.frombuffer(before, np.uint8)).mean() < 0.1


@pytest.mark.parametrize("part", ["draw", "view"])
@pytest.mark.parametrize("scene", ["wall", "tower"])
def test_pictures_are_drawn(on_gpu, request, part, scene):
    within_limits(on_gpu(part, request.getfixturevalue(scene)), f"{part} {scene}")


def test_depth_maps_are_those_of_the_cpu(on_gpu, tmp_path, one_thread):
    texture, cameras = (
        noise_texture(),
        {f"{number:04d}": camera_at(center) for number, center in enumerate(CENTERS[:3])},
    )
    pictures = {photo_id: render(camera, texture) for photo_id, camera in cameras.items()}
    scene = Scene(tmp_path / "cpu" / "mvs", cameras, list(cameras))
    write_workspace(scene.mvs, cameras, pictures, surface_points(camera_at((0, 0, -0.2))))
    for photo_id, picture in pictures.items():
        write_image(tmp_path / "cpu" / "segmentation" / f"{photo_id}.png", np.ones(picture.shape, np.uint8))
    shutil.copytree(tmp_path / "cpu", tmp_path / "gpu")
    estimate(scene)
    geometric_passes(scene)
    within_limits(on_gpu("depths", tmp_path / "gpu"), "depths")
    for kind in ("photometric", "consensus", "geometric"):
        for photo_id in scene.ids:
            here, there = (
                read_map(Workspace(tmp_path / device / "mvs").depth_map(photo_id, kind)) for device in ("cpu", "gpu")
            )
            assert (here > 0).any()
            np.testing.assert_array_equal(here, there)


def test_learned_matches_are_those_of_the_cpu(on_gpu, tmp_path, one_thread):
    for number, viewpoint in enumerate(viewpoints(6)):
        corner_photo(*viewpoint, seed=1).save(tmp_path / f"{number}.jpg")
    within_limits(on_gpu("rescue", tmp_path), "rescue")
    (matches,) = LearnedMatcher(tmp_path, "cpu").match([("0.jpg", "1.jpg")], "matching")
    np.testing.assert_array_equal(np.load(tmp_path / "matches.npy"), matches)


def test_photos_are_labelled(on_gpu, tmp_path):
    torch.manual_seed(0)
    SegformerForSemanticSegmentation(segformer_config()).save_pretrained(tmp_path / "segformer")
    SegformerImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "segformer")
    within_limits(on_gpu("segment", tmp_path), "segment")
