"""The cloud rasterized into each photo: one point per pixel, kept for the steps that follow."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nrw.core.errors import UserError
from nrw.core.io import atomic_path
from nrw.core.limits import SIDE_MULTIPLE
from nrw.core.pieces import pending
from nrw.core.progress import progress
from nrw.geometry import rasterize_pyrender
from nrw.geometry.cameras import fit_size
from nrw.geometry.pointcloud import read_cloud, stream_points
from nrw.geometry.rasterize import DeepBuffer, pyramid, rasterize, reaching
from nrw.mvs.workspace import Workspace


@dataclass(frozen=True)
class Coverage:
    """A row of a chunk's report: size in pixels, share of pixels with a splat, largest depth (world units, or 0)."""

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
    splat: int,
    backend: str,
    device: str,
) -> list[dict[str, object]]:
    """Write `<id>_index.npy`, `_depth.npy` and `_reach.npy` of a chunk of photos: one-pixel points, training size.

    That size has the photo's shape, its longer side at most `max_size`, both sides multiples of 8. Photos that are done
    are skipped (`core.pieces`; `key_file` belongs to this chunk). backend: "torch", on `device`, or "pyrender".
    Returns the chunk's report, a `Coverage` as a dict per photo, whose density counts splats of `splat` pixels.
    Raises UserError for an unknown backend or an unusable cloud.
    """
    if backend not in ("torch", "pyrender"):
        raise UserError(f"framebuffers.backend is {backend!r}: choose torch or pyrender")
    workspace = Workspace(mvs_dir)
    fingerprint = {"cloud": cloud_ply, "cameras": workspace.sparse, "max_size": max_size, "backend": backend}
    todo = pending(ids, key_file, fingerprint, lambda photo_id: buffer_paths(out_dir, photo_id))
    spacing = read_cloud(cloud_ply).spacing if todo else np.empty(0, np.float32)
    for photo_id in progress(todo, len(todo), "rasterizing"):
        camera = workspace.cameras[photo_id]
        camera = camera.resized(*fit_size(camera.width, camera.height, max_size, SIDE_MULTIPLE))
        if backend == "torch":
            buffer = rasterize(stream_points(cloud_ply), camera, device=device)
        else:
            buffer = rasterize_pyrender.rasterize(stream_points(cloud_ply), camera)
        save_buffer(out_dir, photo_id, reaching(buffer, spacing, camera))
    return [asdict(_coverage(photo_id, load_buffer(out_dir, photo_id), splat)) for photo_id in ids]


def buffer_paths(framebuffers_dir: Path, photo_id: str) -> list[Path]:
    """Return the paths of a photo's index, depth and reach."""
    return [framebuffers_dir / f"{photo_id}_{kind}.npy" for kind in ("index", "depth", "reach")]


def save_buffer(framebuffers_dir: Path, photo_id: str, buffer: DeepBuffer) -> None:
    """Write the one-pixel points of a photo, with their reach."""
    assert buffer.reach is not None
    arrays = buffer.index, buffer.depth, buffer.reach
    for path, values in zip(buffer_paths(framebuffers_dir, photo_id), arrays, strict=True):
        with atomic_path(path) as temporary:
            np.save(temporary, values)


def load_buffer(framebuffers_dir: Path, photo_id: str) -> DeepBuffer:
    """Read the one-pixel points of a photo, for `geometry.rasterize.pyramid`."""
    return DeepBuffer(*(np.load(path, allow_pickle=False) for path in buffer_paths(framebuffers_dir, photo_id)))


def _coverage(photo_id: str, buffer: DeepBuffer, splat: int) -> Coverage:
    height, width = buffer.index.shape
    density = pyramid(buffer, levels=1, splat=splat)[0].density
    return Coverage(photo_id, width, height, density, float(buffer.depth.max()))
