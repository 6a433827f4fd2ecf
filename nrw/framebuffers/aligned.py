"""The aligned images of each photo, in the format of the 2019 release: photo, render, depth, labels."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nrw.core import ade20k
from nrw.core.io import read_csv, write_csv, write_image
from nrw.core.pieces import pending, remove_others
from nrw.core.progress import progress
from nrw.framebuffers.levels import finest_level, level_path, save_level
from nrw.framebuffers.rasters import buffer_paths, load_buffer
from nrw.framebuffers.undistorted import label_path, read_labels, read_photo
from nrw.geometry.pointcloud import read_cloud
from nrw.geometry.rasterize import Geometry
from nrw.mvs.workspace import Workspace

ALIGNED_KINDS = ("reference", "color", "depth", "seg", "seg_rgb")
POSE_FIELDS = tuple(f"cam_from_world_{row}{column}" for row in range(3) for column in range(4))
INDEX_FIELDS = ("id", "file", "width", "height", "density", "max_depth", "fx", "fy", "cx", "cy", *POSE_FIELDS)


def aligned_paths(aligned_dir: Path, photo_id: str) -> dict[str, Path]:
    """Return the paths of a photo's aligned images, by kind."""
    return {kind: aligned_dir / f"{photo_id}_{kind}.png" for kind in ALIGNED_KINDS}


def composed_paths(aligned_dir: Path, framebuffers_dir: Path, photo_id: str) -> list[Path]:
    """Return the paths of all that `compose_aligned` writes of a photo."""
    return [*aligned_paths(aligned_dir, photo_id).values(), level_path(framebuffers_dir, photo_id)]


def compose_aligned(
    cloud_ply: Path,
    framebuffers_dir: Path,
    mvs_dir: Path,
    segmentation_dir: Path | None,
    colors_npy: Path,
    lighting_npy: Path | None,
    aligned_dir: Path,
    ids: Sequence[str],
    key_file: Path,
    *,
    scale: int,
    max_depth: float,
) -> None:
    """Write the aligned images of a chunk of photos, all of the size of the networks' buffer, and its finest level.

    reference: the photo. color: RGBA of the geometry in the colors of `colors_npy`, alpha the share of the pixel that
    it covers, 0 in all channels where it covers none. depth: uint16, `png / 65535 * max_depth` is z in the camera in
    world units, 0 = none; `max_depth` is the largest of all photos' reports, one scale for the set. seg: uint8 ADE20K
    labels, 0 = unknown. seg_rgb: the same in the palette's colors.
    `<id>_level.npz`, among the framebuffers: `levels.Level`. lighting_npy: the points' lighting (N, K) uint8, if any.
    scale: how many times larger than this level the framebuffers are.
    Photos that are done are skipped (`core.pieces`; `key_file` belongs to this chunk).
    """
    workspace = Workspace(mvs_dir)
    fingerprint = {
        "cloud": cloud_ply,
        "cameras": workspace.sparse,
        "buffers": [path for photo_id in ids for path in buffer_paths(framebuffers_dir, photo_id)],
        "photos": [workspace.image(photo_id) for photo_id in ids],
        "labels": segmentation_dir and [label_path(segmentation_dir, photo_id) for photo_id in ids],
        "colors": colors_npy,
        "lighting": lighting_npy,
        "scale": scale,
        "max_depth": max_depth,
    }

    todo = pending(ids, key_file, fingerprint, partial(composed_paths, aligned_dir, framebuffers_dir))
    if not todo:
        return
    geometry = Geometry.of(read_cloud(cloud_ply))
    channels = read_channels(colors_npy, lighting_npy)
    for photo_id in progress(todo, len(todo), "aligned images"):
        buffer = load_buffer(framebuffers_dir, photo_id)
        height, width = buffer.depth.shape
        camera = workspace.cameras[photo_id].resized(width, height)
        level, _ = finest_level(geometry, channels, camera, buffer, scale)
        save_level(level_path(framebuffers_dir, photo_id), level)
        height, width = level.depth.shape
        labels = read_labels(segmentation_dir, photo_id, width, height)
        images = {
            "reference": read_photo(workspace.image(photo_id), width, height),
            "color": np.dstack([level.color[..., :3].numpy(), level.coverage.numpy()]),
            "depth": encode_depth(level.depth.numpy(), max_depth),
            "seg": labels,
            "seg_rgb": ade20k.colorize(labels),
        }
        for kind, path in aligned_paths(aligned_dir, photo_id).items():
            write_image(path, images[kind])


def read_channels(colors_npy: Path, lighting_npy: Path | None) -> torch.Tensor:
    """(3 + K, N) uint8: the points' colors and lighting."""
    arrays = [np.load(path, allow_pickle=False).T for path in (colors_npy, lighting_npy) if path]
    return torch.from_numpy(np.concatenate(arrays))


def encode_depth(depth: np.ndarray, max_depth: float) -> np.ndarray:
    """uint16 of a depth map (H, W), linear up to `max_depth`, within half a step of 1/65535; only 0 becomes 0."""
    steps = np.rint(depth * (65535 / max_depth)) if max_depth > 0 else depth
    return np.where(depth > 0, np.clip(steps, 1, 65535), 0).astype(np.uint16)


def decode_depth(png: np.ndarray, max_depth: float) -> np.ndarray:
    """(H, W) float32 depth in world units of a uint16 depth image; 0 = none."""
    return png * np.float32(max_depth / 65535)


def index_aligned(
    aligned_dir: Path,
    framebuffers_dir: Path,
    mvs_dir: Path,
    photos_csv: Path,
    reports: Iterable[Mapping[str, Any]],
    *,
    max_depth: float,
) -> None:
    """Gather `aligned/index.csv`, a row per photo in order of id; delete pictures and framebuffers of others.

    file: the user's photo, relative to the photo folder. width, height: of the aligned images; fx, fy, cx, cy: their
    calibration, pixels. density: share of pixels with a point. max_depth: depth of value 65535 in the depth images,
    the same in every row. cam_from_world_RC: row R, column C of the 3x4 pose.
    """
    files = {row["id"]: row["file"] for row in read_csv(photos_csv) if row["id"]}
    cameras = Workspace(mvs_dir).cameras
    rows = []
    for report in sorted(reports, key=lambda report: report["id"]):
        camera = cameras[report["id"]].resized(report["width"], report["height"])
        rows.append(
            {
                **{name: report[name] for name in ("id", "width", "height", "density")},
                "file": files[report["id"]],
                "max_depth": max_depth,
                **{name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy")},
                **dict(zip(POSE_FIELDS, camera.cam_from_world.ravel().tolist(), strict=True)),
            }
        )
    ids = [row["id"] for row in rows]
    remove_others(ids, partial(composed_paths, aligned_dir, framebuffers_dir))
    remove_others(ids, partial(buffer_paths, framebuffers_dir))
    write_csv(aligned_dir / "index.csv", rows, INDEX_FIELDS)
