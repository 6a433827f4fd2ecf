"""The geometry rasterized into each photo at the size of the pictures, kept for the steps that follow."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from nrw.core.errors import UserError
from nrw.core.io import atomic_path
from nrw.core.limits import SIDE_MULTIPLE
from nrw.core.pieces import pending
from nrw.core.progress import progress
from nrw.geometry import rasterize_pyrender
from nrw.geometry.cameras import Camera, fit_size
from nrw.geometry.pointcloud import read_cloud
from nrw.geometry.rasterize import DeepBuffer, Geometry, rasterize
from nrw.mvs.workspace import Workspace


@dataclass(frozen=True)
class Coverage:
    """A row of a chunk's report: size of the networks' buffer in pixels, share of pixels with a hit, largest depth.

    max_depth: world units, or 0.
    """

    id: str
    width: int
    height: int
    density: float
    max_depth: float


def rasterize_photos(
    cloud_ply: Path,
    mvs_dir: Path,
    out_dir: Path,
    ids: Sequence[str],
    key_file: Path,
    *,
    max_size: int,
    scale: int,
    splat: int,
    backend: str,
    device: str,
) -> list[dict[str, object]]:
    """Write `<id>_primitive.npy` and `<id>_depth.npy` of a chunk of photos (`geometry.rasterize.DeepBuffer`).

    Their size is `scale` times that of the networks' buffer (`buffer_camera`). Photos that are done are skipped
    (`core.pieces`; `key_file` belongs to this chunk). splat: diameter of a loose point, pixels. backend: "torch", on
    `device`, or "pyrender".
    Returns the chunk's report, a `Coverage` as a dict per photo.
    Raises UserError for an unknown backend or an unusable cloud.
    """
    if backend not in ("torch", "pyrender"):
        raise UserError(f"framebuffers.backend is {backend!r}: choose torch or pyrender")
    workspace = Workspace(mvs_dir)
    fingerprint = {
        "cloud": cloud_ply,
        "cameras": workspace.sparse,
        "size": [max_size, scale],
        "splat": splat,
        "backend": backend,
    }
    todo = pending(ids, key_file, fingerprint, lambda photo_id: buffer_paths(out_dir, photo_id))
    if todo:
        geometry = Geometry.of(read_cloud(cloud_ply), device if backend == "torch" else "cpu")
        draw = rasterize if backend == "torch" else rasterize_pyrender.rasterize
        for photo_id in progress(todo, len(todo), "rasterizing"):
            camera = picture_camera(workspace.cameras[photo_id], max_size, scale)
            save_buffer(out_dir, photo_id, draw(geometry, camera, splat))
    return [asdict(_coverage(photo_id, load_buffer(out_dir, photo_id), scale)) for photo_id in ids]


def buffer_camera(camera: Camera, max_size: int) -> Camera:
    """A photo's camera at the size of the networks' buffer.

    It has the photo's shape, its longer side is at most `max_size`, and both sides are multiples of 8.
    """
    return camera.resized(*fit_size(camera.width, camera.height, max_size, SIDE_MULTIPLE))


def picture_camera(camera: Camera, max_size: int, scale: int) -> Camera:
    """A photo's camera at the size of the pictures, `scale` times that of the networks' buffer."""
    small = buffer_camera(camera, max_size)
    return small.resized(scale * small.width, scale * small.height)


def buffer_paths(framebuffers_dir: Path, photo_id: str) -> list[Path]:
    """Return the paths of a photo's primitives and depths."""
    return [framebuffers_dir / f"{photo_id}_{kind}.npy" for kind in ("primitive", "depth")]


def save_buffer(framebuffers_dir: Path, photo_id: str, buffer: DeepBuffer) -> None:
    """Write what a photo sees of the geometry."""
    arrays = buffer.primitive, buffer.depth
    for path, values in zip(buffer_paths(framebuffers_dir, photo_id), arrays, strict=True):
        with atomic_path(path) as temporary:
            np.save(temporary, values.cpu().numpy())


def load_buffer(framebuffers_dir: Path, photo_id: str) -> DeepBuffer:
    """Read what a photo sees of the geometry."""
    arrays = (np.load(path, allow_pickle=False) for path in buffer_paths(framebuffers_dir, photo_id))
    return DeepBuffer(*(torch.from_numpy(array) for array in arrays))


def _coverage(photo_id: str, buffer: DeepBuffer, scale: int) -> Coverage:
    height, width = buffer.depth.shape
    density = float(buffer.hit.float().mean())
    return Coverage(photo_id, width // scale, height // scale, density, float(buffer.depth.max()))
