"""A small synthetic scene for the training stages: a textured wall under a sky, photographed in different light."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nrw.core import ade20k
from nrw.core.io import write_csv, write_image
from nrw.dataset.pack import pack_dataset
from nrw.framebuffers.aligned import INDEX_FIELDS, POSE_FIELDS, read_channels
from nrw.framebuffers.levels import finest_level, level_path, save_level
from nrw.framebuffers.rasters import save_buffer
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import Cloud, write_cloud
from nrw.geometry.rasterize import Geometry, rasterize
from nrw.training import appearance, completion, rerender

BUILDING, SKY, PERSON = (ade20k.label_of(name) for name in ("building", "sky", "person"))

WALL_DEPTH = 5.0


BUFFER_OF_2019 = {
    "representation": "paper2019",
    "levels": 1,
    "view_direction": False,
    "lighting": 0,
    "point_channels": 0,
    "detail": False,
}

MODULES = {"appearance": appearance, "rerender": rerender, "finetune": rerender, "completion": completion}


def make_scene(
    folder: Path, photos: int = 6, size: tuple[int, int] = (64, 48), n_points: int = 4000, labelled: bool = True
) -> tuple[Path, Cloud, list[Camera]]:
    """Pack a data set of a wall in the plane z = 5 below y = -0.8 (y points down), sky above it, a person in front.

    Photo i is the wall's texture times a gain that grows with i; every other photo is upright.
    """
    rng = np.random.default_rng(0)
    points = np.column_stack(
        [rng.uniform(-4, 4, n_points), rng.uniform(-0.8, 3, n_points), np.full(n_points, WALL_DEPTH)]
    ).astype(np.float32)
    cloud = Cloud(points, texture(points[:, 0], points[:, 1]), np.tile(np.float32([0, 0, -1]), (n_points, 1)))
    aligned, buffers = folder / "aligned", folder / "framebuffers"
    buffers.mkdir(parents=True)
    np.save(buffers / "colors.npy", cloud.colors)
    lighting = np.random.default_rng(1).integers(1, 256, (len(cloud.points), 2), np.uint8)
    np.save(buffers / "lighting.npy", lighting)
    geometry, channels = Geometry.of(cloud), read_channels(buffers / "colors.npy", buffers / "lighting.npy")
    cameras, rows, index = [], [], []
    for number in range(photos):
        photo_id = f"{number:04d}"
        width, height = size if number % 2 == 0 else size[::-1]
        pose = np.column_stack([np.eye(3), [0.3 * rng.normal(), 0.2 * rng.normal(), 0]])
        camera = Camera(width, height, 1.1 * size[0], 1.1 * size[0], width / 2, height / 2, pose)
        buffer = rasterize(geometry, camera, splat=3)
        save_buffer(buffers, photo_id, buffer)
        level, _ = finest_level(geometry, channels, camera, buffer, 1)
        save_level(level_path(buffers, photo_id), level)
        write_image(aligned / f"{photo_id}_color.png", level.color[..., :3].numpy())
        rays = camera.ray_directions()
        x, y = np.moveaxis(camera.center + rays * ((WALL_DEPTH - camera.center[2]) / rays[..., 2:]), -1, 0)[:2]
        gain = 0.3 + 0.7 * number / (photos - 1)
        picture = np.where((y < -0.8)[..., None], [120, 160, 220], texture(x, y)) * gain
        labels = np.where(y < -0.8, SKY, BUILDING).astype(np.uint8)
        person = slice(height // 2, height // 2 + 12), slice(8 + 4 * (number % 3), 20 + 4 * (number % 3))
        picture[person], labels[person] = rng.uniform(0, 255, (12, 12, 3)), PERSON
        write_image(aligned / f"{photo_id}_reference.png", picture.astype(np.uint8))
        if labelled:
            write_image(aligned / f"{photo_id}_seg.png", labels)
        cameras.append(camera)
        rows.append({"id": photo_id, "split": "val" if number in (2, 3) else "train"})
        lens = {name: getattr(camera, name) for name in ("width", "height", "fx", "fy", "cx", "cy")}
        index.append({"id": photo_id, **lens, **dict(zip(POSE_FIELDS, pose.ravel(), strict=True))})
    write_csv(folder / "split.csv", rows, ["id", "split"])
    write_csv(aligned / "index.csv", index, INDEX_FIELDS)
    options = {"levels": 2, "scale": 1, "splat": 3, "transient": ["person"], "sky": ["sky"]}
    write_cloud(folder / "cloud.ply", cloud)
    options |= {f"{name}_npy": buffers / f"{name}.npy" for name in ("colors", "lighting")}
    pack_dataset(aligned, buffers, folder / "split.csv", folder / "dataset", **options)
    return folder / "dataset", cloud, cameras


def texture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Colour the wall at x, y: (…, 3) uint8."""
    waves = [np.sin(3 * x) * np.cos(2 * y), np.cos(2 * x + y), np.sin(2 * x - 3 * y)]
    return np.stack([150 + 80 * wave for wave in waves], axis=-1).astype(np.uint8)


def make_config(**training: object) -> dict:
    """Make a small configuration; `training` overrides keys of its section, of the stages key by key."""
    stage = {"kimg": 0.012, "learning_rate": 0.002, "quarter_resolution_share": 0.0, "half_resolution_share": 0.5}
    stage["adversarial_share"] = 1.0
    config = {
        "device": "cpu",
        "seed": 1,
        "segmentation": {"model": "a model"},
        "buffer": {
            "representation": "corrected",
            "levels": 2,
            "view_direction": True,
            "lighting": 2,
            "point_channels": 2,
            "detail": False,
        },
        "network": {"architecture": "film", "base_width": 4, "max_width": 8, "stages": 2, "z_dim": 4},
        "perceptual": {"weights": "random"},
        "training": {
            "threads": 1,
            "batch_size": 2,
            "accumulate": 1,
            "crop_size": 32,
            "ema_decay": 0.999,
            "betas": [0.9, 0.99],
            "schedule": "cosine",
            "mask_transient": True,
            "color_jitter": 0.0,
            "partial_appearance": 0.0,
            "tick_kimg": 0.004,
            "patience": 0,
            "appearance": {
                "kimg": 0.012, "batch_size": 2, "learning_rate": 0.001, "margin": 0.1, "positives": 5, "negatives": 13,
                "style_size": 32,
            },
            "rerender": {**stage, "encoder_learning_rate": 0.0},
            "finetune": {**stage, "encoder_learning_rate": 0.0005},
            "losses": {"l1": 1.0, "gradient": 0.5, "dssim": 0.2, "perceptual": 0.0, "adversarial": 0.0},
            "completion": {"kimg": 0.012, "learning_rate": 0.002},
        },
    }  # fmt: skip
    for key, value in training.items():
        known = config["training"][key]
        config["training"][key] = {**known, **value} if isinstance(value, dict) else value
    return config


def run(stage: str, dataset: Path, out: Path, config: dict | None = None, init: Path | None = None) -> None:
    """Train one stage into out/<stage>, from the stage before it in `init` or `out`."""
    config, folders = config or make_config(), (out / stage, out / "checkpoints" / stage)
    if stage == "appearance":
        appearance.train(dataset, *folders, config)
    elif stage == "completion":
        completion.train(dataset, *folders, config)
    else:
        before = {"rerender": "appearance", "finetune": "rerender"}[stage]
        rerender.train(dataset, None, (init or out) / before, *folders, config, stage=stage)


def weights(out: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_file(out / stage / "model.safetensors")


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


def untimed(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in ("seconds", "images_per_s")} for row in rows]


class Killed(BaseException):
    """Stands for a kill: the package does not catch it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, module: object, step: int) -> None:
    """Make the stage in `module` raise Killed at the start of `step`."""
    original = module.photos_of

    def photos_of(ids, seed, stage, at, batch_size):
        if at == step:
            raise Killed
        return original(ids, seed, stage, at, batch_size)

    monkeypatch.setattr(module, "photos_of", photos_of)
