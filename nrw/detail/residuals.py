"""Residuals: what a photo shows beyond its own view of the surface in its own light.

The ratio to the picture that regression paints of the photo (`painting`) is free of the photo's light, as far as that
is measured, so that it fits any other light. Differences to a model's own picture are worth more to novel views than
colours (IBGS, NeurIPS 2025).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from nrw.core.device import torch_device
from nrw.core.io import atomic_path, read_json
from nrw.core.pieces import pending
from nrw.core.progress import progress
from nrw.dataset.packed import PackedDataset, known_camera
from nrw.detail.painting import enlarged, lit_points, surface_picture
from nrw.framebuffers.aligned import read_channels
from nrw.framebuffers.levels import finest_level
from nrw.framebuffers.rasters import load_buffer
from nrw.framebuffers.undistorted import nearest, read_photo
from nrw.geometry.pointcloud import read_cloud
from nrw.geometry.rasterize import DeepBuffer, Geometry
from nrw.models.appearance import AppearanceEncoder, paint_labels
from nrw.models.detail_channels import DARKEST, DETAIL_LIMIT
from nrw.models.inputs import BufferSpec, crop_buffer, encoder_input
from nrw.models.weights import load_weights
from nrw.mvs.workspace import Workspace, read_keep

EDGE = 0.02  # relative change of depth from pixel to pixel that is an edge of the surface
# pixels from an edge at which the residual counts nothing, and fully: the surface is not exact
NEAREST, FULL = 1.0, 5.0
STEPS = 127 / DETAIL_LIMIT


def measure_residuals(
    dataset_dir: Path,
    appearance_dir: Path,
    cloud_ply: Path,
    colors_npy: Path,
    lighting_npy: Path | None,
    framebuffers_dir: Path,
    mvs_dir: Path,
    photos_dir: Path,
    segmentation_dir: Path | None,
    out_dir: Path,
    ids: Sequence[str],
    key_file: Path,
    *,
    z_dim: int,
    device: str,
) -> None:
    """Write `<id>.npy` of each photo in `ids`, its residual (H, W, 4) uint8.

    photos_dir: the undistorted photos, whose size the residuals have, but never less than that of the framebuffer, at
    which the surface is painted: it is smooth. appearance_dir: of the encoder of stage 1. Photos that are done are
    skipped (`core.pieces`; `key_file` belongs to this chunk). One photo is in memory at a time.
    """
    model = appearance_dir / "model.safetensors"
    fingerprint = {
        "model": model,
        "cloud": cloud_ply,
        "colors": colors_npy,
        "lighting": lighting_npy,
        "photos": photos_dir,
    }
    todo = pending(ids, key_file, fingerprint, lambda photo_id: [residual_path(out_dir, photo_id)])
    if not todo:
        return
    target, dataset, workspace = torch_device(device), PackedDataset(dataset_dir), Workspace(mvs_dir)
    spec = BufferSpec.from_record(read_json(appearance_dir / "config.json")["spec"])
    encoder = AppearanceEncoder(spec, z_dim).requires_grad_(False).to(target)
    load_weights(model, {"encoder": encoder})
    geometry, channels = Geometry.of(read_cloud(cloud_ply), target), read_channels(colors_npy, lighting_npy).to(target)
    masked = frozenset([*dataset.meta["transient"], *dataset.meta["sky"]])
    for photo_id in progress(todo, len(todo), "detail of the photos"):
        view = dataset.view(photo_id)
        buffer = load_buffer(framebuffers_dir, photo_id)
        buffer = DeepBuffer(buffer.primitive.to(target), buffer.depth.to(target))
        height, width = buffer.depth.shape
        camera = known_camera(view).resized(width, height)
        x, keep = (values[None].to(target) for values in encoder_input(view, spec, dataset.meta["transient"]))
        z = encoder(x, keep)
        _, samples = finest_level(geometry, channels, camera, buffer, dataset.meta["scale"])
        raster = crop_buffer(view, spec)[0][0][None].to(target)
        known = (raster[:, 4:5] > 0).float()
        painted = surface_picture(samples, lit_points(spec, channels, z[0]))
        added = enlarged(paint_labels(spec, raster, z), known, dataset.meta["scale"], (height, width))
        painted = (painted + added[0] + 1) / 2
        keep_pixels = read_keep(workspace, segmentation_dir, photo_id, masked)
        on_face = buffer.primitive.cpu().numpy() < len(geometry.faces)
        trusted = confidence(buffer.depth.cpu().numpy(), nearest(keep_pixels, width, height) & on_face)
        pixels = _photo(photos_dir / f"{photo_id}.jpg", width, height).to(target)
        logs = log_ratio(pixels, _stretched(painted, pixels))
        save_residual(out_dir, photo_id, logs.cpu(), _stretched(torch.from_numpy(trusted)[None], logs)[0].cpu())


def _photo(path: Path, width: int, height: int) -> Tensor:
    """An undistorted photo, (3, H, W) in [0, 1], at its own size or at the given one where that is larger."""
    with Image.open(path) as image:
        larger = (width, height) if image.width < width else image.size
    return torch.from_numpy(read_photo(path, *larger)).movedim(2, 0) / 255


def _stretched(picture: Tensor, other: Tensor) -> Tensor:
    """A smooth picture (C, h, w) at the size of the other (…, H, W)."""
    size = (other.shape[-2], other.shape[-1])
    return F.interpolate(picture[None], size=size, mode="bilinear", align_corners=False)[0]


def log_ratio(pixels: Tensor, painted: Tensor) -> Tensor:
    """The log ratio of two pictures (3, H, W) in [0, 1], within DETAIL_LIMIT."""
    ratio = (pixels + DARKEST) / (painted.clamp(0, 1) + DARKEST)
    return ratio.log().clamp(-DETAIL_LIMIT, DETAIL_LIMIT)


def confidence(depth: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """(H, W) float32, 0 to 1: where a photo's pixels belong to the surface that the depth (H, W), 0 = none, shows.

    keep: (H, W) bool, False where the photo shows something else. Near edges of the depth the photo may show either
    side of them.
    """
    jump = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        jump |= np.abs(np.diff(depth, axis=axis, append=np.take(depth, [-1], axis))) > EDGE * depth
    away = distance_transform_edt(~jump) if jump.any() else np.full(depth.shape, np.inf)
    trusted = ((away - NEAREST) / (FULL - NEAREST)).clip(0, 1)
    return (trusted * (keep & (depth > 0))).astype(np.float32)


def residual_path(folder: Path, photo_id: str) -> Path:
    """Return the path of a photo's residual."""
    return folder / f"{photo_id}.npy"


def save_residual(folder: Path, photo_id: str, logs: Tensor, trusted: Tensor) -> None:
    """Write log ratios (3, H, W) and confidence (H, W) as (H, W, 4) uint8."""
    packed = torch.cat([128 + STEPS * logs, 255 * trusted[None]]).round().byte().movedim(0, 2)
    with atomic_path(residual_path(folder, photo_id)) as temporary:
        np.save(temporary, packed.contiguous().numpy())


def load_residual(folder: Path, photo_id: str) -> Tensor:
    """Read a residual as (1, 4, H, W) float32: log ratios, and confidence from 0 to 1."""
    packed = torch.from_numpy(np.load(residual_path(folder, photo_id), allow_pickle=False)).movedim(2, 0).float()
    return torch.cat([(packed[:3] - 128) / STEPS, packed[3:] / 255])[None].contiguous()
