"""Samples of the training photos: the points of the cloud that each sees, and their colors in it.

Each photo is decoded and the cloud projected into it once, by `sample_photos`. Its samples go to scratch files, from
which `recolor` and `lighting` read them as often as they need.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nrw.core.progress import in_threads, progress
from nrw.framebuffers.rasters import load_buffer
from nrw.framebuffers.undistorted import read_photo
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import stream_points
from nrw.mvs.workspace import Workspace, read_keep

DEPTH_TOLERANCE = 0.02  # of the depth: within it, a point belongs to the surface that the photo sees
MIN_PIXELS = 100  # fewer do not determine a photo's exposure
MIN_SPREAD = 2.0  # of 255, of a photo's channel and of a point's colors: less is rounding
SAMPLE = np.dtype([("point", "<u4"), ("color", "<f4", 3)])  # 16 bytes per sample

# Point numbers (S,), ascending, and their colors (S, 3) float32, of one photo.
Samples = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Observed:
    """A photo and the surface that it sees.

    pixels: (H, W, 3) float32, 0 to 255, NaN where masked. camera: of the pixels. depth: (h, w), of the splats of its
    framebuffer, which covers the same field of view; 0 = none.
    """

    pixels: np.ndarray
    depth: np.ndarray
    camera: Camera

    @property
    def hit(self) -> np.ndarray:
        """(H, W) bool: pixels of the photo where the framebuffer shows a point."""
        rows, columns = (
            ((np.arange(count) + 0.5) * coarse / count).astype(np.int64)
            for count, coarse in zip(self.pixels.shape[:2], self.depth.shape, strict=True)
        )
        return self.depth[rows[:, None], columns] > 0


class Observations:
    """The samples of the training photos, one file per photo in `folder`, and their exposures; ids in order.

    exposures: by photo id, as the function `exposure` gives them.
    """

    def __init__(self, folder: Path, exposures: Mapping[str, np.ndarray | None]):
        self.folder, self.exposures = folder, exposures
        self.ids = sorted(exposures)

    def samples(self, photo_id: str) -> Samples:
        """The points that a photo sees, and their colors in it, 0 to 255; mapped from the file."""
        samples = np.load(self.folder / f"{photo_id}.npy", mmap_mode="r", allow_pickle=False)
        return samples["point"], samples["color"]


def sample_photos(
    cloud_ply: Path,
    framebuffers_dir: Path,
    mvs_dir: Path,
    segmentation_dir: Path | None,
    ids: Sequence[str],
    folder: Path,
    *,
    masked: Iterable[int],
    threads: int,
) -> Observations:
    """Write the samples of some photos into an existing folder: 16 bytes per point and photo that sees it.

    masked: ADE20K labels whose pixels show nothing of the cloud: transient objects, sky. `threads` photos are in memory
    at a time.
    """
    workspace, masked = Workspace(mvs_dir), frozenset(masked)
    cameras = workspace.cameras

    def sample_one(photo_id: str) -> np.ndarray | None:
        camera = cameras[photo_id]
        depth = load_buffer(framebuffers_dir, photo_id).depth.numpy()
        pixels = read_photo(workspace.image(photo_id), camera.width, camera.height).astype(np.float32)
        pixels[~read_keep(workspace, segmentation_dir, photo_id, masked)] = np.nan
        seen = Observed(pixels, depth, camera)
        chunks = [_records(*found) for found in sample(seen, stream_points(cloud_ply))]
        np.save(folder / f"{photo_id}.npy", np.concatenate(chunks))
        return exposure(seen)

    return Observations(folder, dict(progress(in_threads(sample_one, ids, threads), len(ids), "sampling photos")))


def exposure(seen: Observed) -> np.ndarray | None:
    """(2, 3) float32: median and standard deviation of the channels over the pixels that show the cloud.

    None if those are too few.
    """
    pixels = seen.pixels[seen.hit & ~np.isnan(seen.pixels[..., 0])]  # (P, 3)
    if len(pixels) < MIN_PIXELS:
        return None
    return np.stack([np.median(pixels, axis=0), np.maximum(pixels.std(axis=0), MIN_SPREAD)])


def sample(seen: Observed, point_chunks: Iterable[np.ndarray]) -> Iterator[Samples]:
    """Find the points that a photo sees, and their colors in it, bilinear; those next to a NaN are left out.

    Colors come from the photo at its own size, which is finer than the framebuffer that says what is visible: a render
    is the mean of the points in a pixel, and colors from pixels as coarse would blur it once more.
    point_chunks: (M, 3) arrays, numbered through; yields (S,) and (S, 3) for each.
    """
    camera, depth = seen.camera, seen.depth
    scale = np.array(depth.shape[::-1]) / [camera.width, camera.height]
    first = 0
    for points in point_chunks:
        uv, z = camera.project(points)
        inside = np.flatnonzero(camera.contains(uv, z))
        uv, z = uv[inside], z[inside]
        column, row = (uv * scale).astype(np.int64).T
        surface = depth[row, column]
        visible = np.abs(z - surface) <= DEPTH_TOLERANCE * surface  # a hole has depth 0, and no z is that
        colors = _bilinear(seen.pixels, uv[visible])
        usable = ~np.isnan(colors[:, 0])
        yield first + inside[visible][usable], colors[usable]
        first += len(points)


def _records(points: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """(S,) SAMPLE of point numbers (S,) and colors (S, 3)."""
    samples = np.empty(len(points), SAMPLE)
    samples["point"], samples["color"] = points, colors
    return samples


def _bilinear(pixels: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(S, 3) float32 values of pixels (H, W, 3) at (S, 2) pixel coordinates, centres at +0.5, edges repeated."""
    height, width = pixels.shape[:2]
    x, y = np.clip(uv - 0.5, 0, [width - 1, height - 1]).astype(np.float32).T
    left, top = np.minimum(x.astype(np.int64), width - 2), np.minimum(y.astype(np.int64), height - 2)
    x, y = (x - left)[:, None], (y - top)[:, None]
    upper = pixels[top, left] * (1 - x) + pixels[top, left + 1] * x
    lower = pixels[top + 1, left] * (1 - x) + pixels[top + 1, left + 1] * x
    return upper * (1 - y) + lower * y
