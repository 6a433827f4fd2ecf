"""The detail of the photos themselves, each from others only, packed for training."""

from pathlib import Path

import numpy as np
import torch

from nrw.core.device import torch_device
from nrw.core.io import atomic_path
from nrw.core.progress import in_threads, progress
from nrw.dataset.packed import PackedDataset, known_camera
from nrw.detail.sources import Sources, training_sources
from nrw.framebuffers.rasters import load_buffer
from nrw.geometry.cameras import Camera
from nrw.models.detail_channels import encode_detail, pooled_detail


def pack_detail(
    dataset_dir: Path, detail_dir: Path, framebuffers_dir: Path, out: Path, *, device: str, threads: int
) -> None:
    """Write the detail of every photo of a data set to one file, for `PackedDataset`: (H, W, 5) uint8 each, in order.

    Only training photos are sources, and none is its own. threads: photos at a time.
    """
    target, dataset = torch_device(device), PackedDataset(dataset_dir)
    cameras = {photo_id: known_camera(dataset.view(photo_id)) for photo_id in dataset.ids}
    sources = training_sources(detail_dir, framebuffers_dir, cameras, dataset.train_ids, target)

    def detail_of(photo_id: str) -> np.ndarray:
        depth = load_buffer(framebuffers_dir, photo_id).depth.to(target)
        return detail_level(sources, photo_id, cameras[photo_id], depth, dataset.meta["scale"])

    with atomic_path(out) as temporary, open(temporary, "wb") as stream:
        packed = in_threads(detail_of, dataset.ids, threads)
        for _, detail in progress(packed, len(dataset), "detail from other photos"):
            stream.write(detail.data)


def detail_level(sources: Sources, photo_id: str, camera: Camera, depth: torch.Tensor, scale: int) -> np.ndarray:
    """The detail of a photo from others: (H / scale, W / scale, 5) uint8. depth: (H, W)."""
    height, width = depth.shape
    found, _ = sources.detail(camera.resized(width, height), depth, without=[photo_id])
    return encode_detail(pooled_detail(found, scale).movedim(0, 2)).contiguous().cpu().numpy()
