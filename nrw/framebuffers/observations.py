"""What the training photos show of the cloud's points: read photo by photo, several at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from nrw.core.progress import in_threads, progress
from nrw.framebuffers.rasters import load_buffer
from nrw.framebuffers.undistorted import read_labels, read_photo
from nrw.geometry.cameras import Camera, read_cameras
from nrw.geometry.rasterize import pyramid

DEPTH_TOLERANCE = 0.02  # of the depth: within it, a point belongs to the surface that the photo sees

# Point numbers (S,) int64, no number twice, and their colours (S, 3) float32, of one photo and one chunk of points.
Samples = tuple[np.ndarray, np.ndarray]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Observed:
    """A photo and what it can show of the cloud.

    picture: (H, W, 3) float32, 0 to 255, NaN where excluded. camera: the picture's. depth: (h, w), of the splats of its
    framebuffer, which covers the same field of view; 0 = none.
    """

    picture: np.ndarray
    depth: np.ndarray
    camera: Camera

    @property
    def hit(self) -> np.ndarray:
        """(H, W) bool: pixels of the picture where the framebuffer shows a point."""
        rows, columns = (
            ((np.arange(count) + 0.5) * coarse / count).astype(np.int64)
            for count, coarse in zip(self.picture.shape[:2], self.depth.shape, strict=True)
        )
        return self.depth[rows[:, None], columns] > 0


class Photos:
    """The undistorted training photos of a scene, and what their framebuffers show of the cloud.

    excluded: ADE20K numbers whose pixels show nothing: transient objects, sky. splat: diameter of a point, pixels.
    threads: photos at a time.
    """

    def __init__(
        self,
        framebuffers_dir: Path,
        mvs_dir: Path,
        segmentation_dir: Path | None,
        ids: Sequence[str],
        *,
        excluded: Iterable[int],
        splat: int,
        threads: int = 1,
    ):
        self.framebuffers_dir, self.ids, self.threads = framebuffers_dir, list(ids), threads
        self._mvs, self._segmentation, self._splat = mvs_dir, segmentation_dir, splat
        self._excluded = sorted(excluded)
        self._cameras = read_cameras(mvs_dir / "sparse")

    def view(self, photo: str) -> Observed:
        """One of the photos, at its own size."""
        camera = self._cameras[photo]
        depth = pyramid(load_buffer(self.framebuffers_dir, photo), levels=1, splat=self._splat)[0].depth
        picture = read_photo(self._mvs, photo, camera.width, camera.height).astype(np.float32)
        labels = read_labels(self._segmentation, photo, camera.width, camera.height)
        picture[np.isin(labels, self._excluded)] = np.nan
        return Observed(picture, depth, camera)

    def of_every(
        self, ids: Sequence[str], function: Callable[[str], Result], what: str
    ) -> Iterator[tuple[str, Result]]:
        """(photo, function(photo)) for some of the photos, in order; the log says how far `what` is."""
        yield from progress(in_threads(function, ids, self.threads), len(ids), what)


def sample(view: Observed, point_chunks: Iterable[np.ndarray]) -> Iterator[Samples]:
    """The points that a photo sees: their colours in it, bilinear, without those next to a NaN.

    The photo is finer than the framebuffer that says what is visible: a render is the mean of the points in a pixel,
    and colours from pixels as coarse as its own would blur it once more.
    point_chunks: (M, 3) arrays, numbered through; (S,) and (S, 3) for each.
    """
    camera, depth = view.camera, view.depth
    scale = np.array(depth.shape[::-1]) / [camera.width, camera.height]
    first = 0
    for points in point_chunks:
        uv, z = camera.project(points)
        inside = np.flatnonzero((z > 0) & np.all((uv >= 0) & (uv < [camera.width, camera.height]), axis=1))
        uv, z = uv[inside], z[inside]
        column, row = (uv * scale).astype(np.int64).T
        surface = depth[row, column]
        visible = np.abs(z - surface) <= DEPTH_TOLERANCE * surface  # a hole has depth 0, and no z is that
        colors = _bilinear(view.picture, uv[visible])
        usable = ~np.isnan(colors[:, 0])
        yield first + inside[visible][usable], colors[usable]
        first += len(points)


def _bilinear(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(S, 3) float32 values of a picture (H, W, 3) at (S, 2) pixel coordinates, centres at +0.5, edges repeated."""
    height, width = picture.shape[:2]
    x, y = np.clip(uv - 0.5, 0, [width - 1, height - 1]).astype(np.float32).T
    left, top = np.minimum(x.astype(np.int64), width - 2), np.minimum(y.astype(np.int64), height - 2)
    x, y = (x - left)[:, None], (y - top)[:, None]
    upper = picture[top, left] * (1 - x) + picture[top, left + 1] * x
    lower = picture[top + 1, left] * (1 - x) + picture[top + 1, left + 1] * x
    return upper * (1 - y) + lower * y
