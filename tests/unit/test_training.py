"""The training stages on a small synthetic scene: a textured wall under a sky, photographed in different light."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nrw import ade20k
from nrw.cameras import Camera
from nrw.dataset import PackedDataset, pack
from nrw.errors import UserError
from nrw.framebuffers import INDEX_FIELDS, POSE_FIELDS
from nrw.io import read_image, write_csv, write_image
from nrw.models.inputs import BufferSpec
from nrw.models.perceptual import VGGFeatures, gram_matrices, style_distance
from nrw.pointcloud import Cloud
from nrw.rasterize import rasterize
from nrw.training import completion, pretrain, rerender, sampler
from nrw.training.stage import steps_of, update_average

BUILDING, SKY, PERSON = (ade20k.label_of(name) for name in ("building", "sky", "person"))
WALL_DEPTH = 5.0


def make_scene(
    folder: Path, photos: int = 6, size: tuple[int, int] = (64, 48), n_points: int = 4000, labelled: bool = True
) -> tuple[Path, Cloud, list[Camera]]:
    """A packed data set of a wall in the plane z = 5 below y = -0.8 (y points down), sky above it, a person in front.

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
    cameras, rows, index = [], [], []
    for number in range(photos):
        photo = f"{number:04d}"
        width, height = size if number % 2 == 0 else size[::-1]
        pose = np.column_stack([np.eye(3), [0.3 * rng.normal(), 0.2 * rng.normal(), 0]])
        camera = Camera(width, height, 1.1 * size[0], 1.1 * size[0], width / 2, height / 2, pose)
        raster = rasterize([points], camera)
        np.save(buffers / f"{photo}_index.npy", raster.index)
        np.save(buffers / f"{photo}_depth.npy", raster.depth)
        rays = camera.ray_directions()
        x, y = np.moveaxis(camera.center + rays * ((WALL_DEPTH - camera.center[2]) / rays[..., 2:]), -1, 0)[:2]
        gain = 0.3 + 0.7 * number / (photos - 1)
        picture = np.where((y < -0.8)[..., None], [120, 160, 220], texture(x, y)) * gain
        labels = np.where(y < -0.8, SKY, BUILDING).astype(np.uint8)
        person = slice(height // 2, height // 2 + 12), slice(8 + 4 * (number % 3), 20 + 4 * (number % 3))
        picture[person], labels[person] = rng.uniform(0, 255, (12, 12, 3)), PERSON
        write_image(aligned / f"{photo}_reference.png", picture.astype(np.uint8))
        if labelled:
            write_image(aligned / f"{photo}_seg.png", labels)
        cameras.append(camera)
        rows.append({"id": photo, "split": "val" if number in (2, 3) else "train"})
        lens = {name: getattr(camera, name) for name in ("width", "height", "fx", "fy", "cx", "cy")}
        index.append({"id": photo, **lens, **dict(zip(POSE_FIELDS, pose.ravel(), strict=True))})
    write_csv(folder / "split.csv", rows, ["id", "split"])
    write_csv(aligned / "index.csv", index, INDEX_FIELDS)
    options = {"levels": 2, "splat": 3, "transient": ["person"], "sky": ["sky"]}
    pack(
        aligned, buffers, folder / "split.csv", folder / "dataset", colors_npy=buffers / "colors.npy", **options
    )
    return folder / "dataset", cloud, cameras


def texture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 colours of the wall."""
    waves = [np.sin(3 * x) * np.cos(2 * y), np.cos(2 * x + y), np.sin(2 * x - 3 * y)]
    return np.stack([150 + 80 * wave for wave in waves], axis=-1).astype(np.uint8)


def make_config(**training: object) -> dict:
    """A small configuration; `training` goes over its section, stages key by key."""
    stage = {"kimg": 0.012, "learning_rate": 0.002, "half_resolution_share": 0.5}
    config = {
        "device": "cpu",
        "seed": 1,
        "segmentation": {"model": "a model"},
        "buffer": {"representation": "corrected", "levels": 2, "view_direction": True, "point_channels": 2},
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
            "tick_kimg": 0.004,
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
