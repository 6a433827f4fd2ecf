"""What the training photos show of the cloud's points: read photo by photo, several at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from nrw.cameras import Camera, read_cameras
from nrw.framebuffers import load_buffer, read_labels, read_photo
from nrw.log import progress
from nrw.rasterize import pyramid
from nrw.threads import in_threads

DEPTH_TOLERANCE = 0.02  # of the depth: within it, a point belongs to the surface that the photo sees

# Point numbers (S,) int64, no number twice, and their colours (S, 3) float32, of one photo and one chunk of points.
Samples = tuple[np.ndarray, np.ndarray]
Result = TypeVar("Result")


class Photos:
    """The training photos of a scene at the size of their framebuffers.

    excluded: ADE20K numbers whose pixels show nothing. splat: diameter of a point, pixels. threads: photos at a time.
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
        threads: int,
    ):
        self.ids, self.splat, self.threads = list(ids), splat, threads
        self._framebuffers, self._mvs, self._segmentation = framebuffers_dir, mvs_dir, segmentation_dir
        self._excluded = sorted(excluded)
        self._cameras = read_cameras(mvs_dir / "sparse")

    def view(self, photo: str) -> tuple[np.ndarray, np.ndarray, Camera]:
        """The photo (H, W, 3) float32, 0 to 255, NaN where excluded; the splats' depth (H, W), 0 = none; the camera."""
        depth = pyramid(load_buffer(self._framebuffers, photo), levels=1, splat=self.splat)[0].depth
        height, width = depth.shape
        picture = read_photo(self._mvs, photo, width, height).astype(np.float32)
        picture[np.isin(read_labels(self._segmentation, photo, width, height), self._excluded)] = np.nan
        return picture, depth, self._cameras[photo].resized(width, height)

    def of_every(self, function: Callable[[str], Result], what: str) -> Iterator[tuple[str, Result]]:
        """(photo, function(photo)) in order; the log says how far `what` is."""
        yield from progress(in_threads(function, self.ids, self.threads), len(self.ids), what)


def sample(
    picture: np.ndarray, depth: np.ndarray, camera: Camera, point_chunks: Iterable[np.ndarray]
) -> Iterator[Samples]:
    """The points that a photo sees: their colours in the picture (H, W, 3), bilinear, without those next to a NaN.

    depth: (H, W), of splats, 0 = none. camera: of that size. point_chunks: (M, 3) arrays, numbered through.
    """
    height, width = depth.shape
    first = 0
    for points in point_chunks:
        uv, z = camera.project(points)
        inside = np.flatnonzero((z > 0) & np.all((uv >= 0) & (uv < [width, height]), axis=1))
        uv, z = uv[inside], z[inside]
        surface = depth[uv[:, 1].astype(np.int64), uv[:, 0].astype(np.int64)]
        visible = np.abs(z - surface) <= DEPTH_TOLERANCE * surface  # a hole has depth 0, and no z is that
        colors = _bilinear(picture, uv[visible])
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
