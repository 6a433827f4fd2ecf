"""The demo landmark's truth on the pixels of undistorted photos: poses, depth, labels, who sees what, true surfaces."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pycolmap
from scipy.spatial import cKDTree

from benchmarks.truth import TRANSIENT, Truth, source_pixels
from nrw.core.io import read_csv, write_image
from nrw.geometry.cameras import Camera

SAME_DEPTH = 0.01  # relative: a photo sees a point if its true depth there is the point's


class DemoTruth:
    """What `cameras.json` knows, by the pipeline's photo ids (`photos_csv` says which file became which id)."""

    def __init__(self, photos_csv: Path | str):
        self._truth = Truth()
        photos = self._truth.photos
        files = {row["id"]: row["file"] for row in read_csv(photos_csv)}
        self.entries = {id_: photos[file] for id_, file in files.items() if file in photos}

    def light(self, photo: str) -> str:
        return self.entries[photo]["appearance"]["kind"]

    def gap(self, photo: str, other: str) -> float:
        """How far two views are apart: metres between the cameras, plus 0.3 for each degree between their axes."""
        (a, u), (b, v) = (self._station(id_) for id_ in (photo, other))
        return float(np.linalg.norm(a - b) + 0.3 * np.degrees(np.arccos(np.clip(u @ v, -1, 1))))

    def _station(self, photo: str) -> tuple[np.ndarray, np.ndarray]:
        camera = self._truth.camera(self.entries[photo])
        return camera.center, camera.rotation[2]

    def with_true_poses(self, sparse: Path, database: Path, images: Path, out: Path, photos: list[str]) -> None:
        """A COLMAP model of `photos` at `out`: cameras and poses of the truth, points triangulated from the matches."""
        model = pycolmap.Reconstruction(str(sparse))
        for image in list(model.images.values()):
            photo = Path(image.name).stem
            if photo not in photos:
                model.deregister_frame(image.frame_id)
                continue
            entry = self.entries[photo]
            (focal, _, cx), (_, _, cy), _ = entry["K"]
            image.camera.params = [focal, cx, cy, entry["k1"]]
            image.frame.rig_from_world = pycolmap.Rigid3d(np.column_stack([entry["R"], entry["t"]]))
        out.mkdir(parents=True, exist_ok=True)
        pycolmap.triangulate_points(model, str(database), str(images), str(out))

    def view(self, photo: str, camera: Camera) -> "TrueView":
        """The truth on the pixels of `camera`, the undistorted photo's."""
        entry = self.entries[photo]
        labels, depth, ideal = self._truth.labels(entry), self._truth.depth(entry), self._truth.camera(entry)
        x, y = source_pixels(ideal, camera)
        x, y = x[0] / ideal.width, y[:, 0] / ideal.height  # in [0, 1]
        rows, columns = (
            np.clip(at * size, 0, size - 1).astype(int) for at, size in zip((y, x), labels.shape, strict=True)
        )
        return TrueView(camera, labels[rows[:, None], columns], *_sample(depth, x, y))

    def write_labels(self, cameras: dict[str, Camera], folder: Path) -> None:
        for photo, camera in cameras.items():
            write_image(folder / f"{photo}.png", self.view(photo, camera).labels)


def _sample(depth: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth at the grid (y, x) of shares of the picture, and the (4, H, W) depths around; 0 where one of these is sky.

    Linear in inverse depth, so exact on planes. (Between two surfaces it is neither: see `TrueView.error`.)
    """
    row, column = (np.clip(at * size - 0.5, 0, size - 1.001) for at, size in zip((y, x), depth.shape, strict=True))
    top, left = row.astype(int), column.astype(int)
    across, along = (row - top)[:, None], column - left
    around = np.stack([depth[np.ix_(top + dy, left + dx)] for dy in (0, 1) for dx in (0, 1)])  # (4, H, W)
    shares = np.stack([(1 - across) * (1 - along), (1 - across) * along, across * (1 - along), across * along])
    known = (around > 0).all(0)
    inverse = np.sum(shares / np.where(known, around, 1), axis=0)
    return np.where(known, 1 / inverse, 0).astype(np.float32), np.where(known, around, 0)


@dataclass(frozen=True)
class TrueView:
    """camera: (H, W) pixels. labels: (H, W) uint8. depth: (H, W), 0 = none. around: (4, H, W), see `_sample`."""

    camera: Camera
    labels: np.ndarray
    depth: np.ndarray
    around: np.ndarray

    def has(self, labels: frozenset[int]) -> np.ndarray:
        return np.isin(self.labels, list(labels))

    @cached_property
    def rays(self) -> np.ndarray:
        """(H, W, 3) in the world, of length 1 along the optical axis: times depth plus centre is the point."""
        rays = self.camera.ray_directions().astype(np.float64)
        return rays / (rays @ self.camera.rotation[2])[..., None]

    @cached_property
    def smooth(self) -> np.ndarray:
        """(H, W) bool: the four true depths around are of one surface, facing or grazing."""
        inverse = 1 / np.maximum(self.around, 1e-6)
        bent = np.abs((inverse[0] + inverse[3]) / (inverse[1] + inverse[2]) - 1)  # 0 on a plane
        spread = self.around.max(0) / np.maximum(self.around.min(0), 1e-6)
        return (self.depth > 0) & ((spread < 1.01) | ((bent < 0.003) & (spread < 1.3)))

    @cached_property
    def points(self) -> np.ndarray:
        """(H, W, 3) world."""
        return self.camera.center + self.rays * self.depth[..., None]

    def sees(self, points: np.ndarray) -> np.ndarray:
        """Which of (N, 3) true points are in the picture with nothing before them: (N,) bool."""
        pixels, depth = self.camera.project(points)
        inside = (depth > 0) & (pixels >= 0).all(1) & (pixels < [self.camera.width, self.camera.height]).all(1)
        column, row = np.where(inside[:, None], pixels, 0).astype(int).T
        near, far = self.around[:, row, column].min(0), self.around[:, row, column].max(0)
        return inside & (near > 0) & (depth > near * (1 - SAME_DEPTH)) & (depth < far * (1 + SAME_DEPTH))

    def error(self, depth: np.ndarray) -> np.ndarray:
        """(H, W) relative error of a depth map, to the nearest of the true depths at and around the pixel.

        So neither side of an outline is wrong, but all between is.
        """
        beside = np.abs(depth / np.maximum(self.around, 1e-6) - 1).min(0)
        return np.where(self.smooth, np.abs(depth / np.maximum(self.depth, 1e-6) - 1), beside)


def widely_seen(views: Mapping[str, TrueView], photo: str, least: int = 3, step: int = 4) -> np.ndarray:
    """(H, W) bool, every `step` pixels: at least `least` photos truly see the point, and it is not passing by."""
    view = views[photo]
    still = np.zeros(view.depth.shape, bool)
    still[::step, ::step] = True
    still &= (view.depth > 0) & ~view.has(TRANSIENT)
    count = still.astype(int)
    points = view.points[still]
    for other, its in views.items():
        if other != photo:
            count[still] += its.sees(points)
    return count >= least


class Surfaces:
    """All surfaces that stand still, as the photos' true depth maps show them: points with normals."""

    def __init__(self, views: list[TrueView], step: int = 2):
        points, normals, reach = [], [], []
        for view in views:
            lifted = view.points
            right, down = lifted[:-1, 1:] - lifted[:-1, :-1], lifted[1:, :-1] - lifted[:-1, :-1]
            normal = np.cross(right, down)
            size = np.maximum(np.linalg.norm(right, axis=2), np.linalg.norm(down, axis=2))
            still = view.smooth & ~view.has(TRANSIENT)
            good = still[:-1, :-1] & still[:-1, 1:] & still[1:, :-1] & (np.linalg.norm(normal, axis=2) > 0)
            good[np.arange(good.shape[0]) % step > 0] = False
            good[:, np.arange(good.shape[1]) % step > 0] = False
            points.append(lifted[:-1, :-1][good])
            normals.append(normal[good] / np.linalg.norm(normal[good], axis=1, keepdims=True))
            reach.append(size[good])
        self._points, self._normals, self._reach = (np.concatenate(parts) for parts in (points, normals, reach))
        self._tree = cKDTree(self._points)

    def distance(self, points: np.ndarray, neighbours: int = 8) -> np.ndarray:
        """(N,) metres from (N, 3) points to the nearest surface: planes at the nearest true points, of some pixels."""
        direct, index = self._tree.query(points, k=neighbours, workers=-1)
        normal_part = np.abs(np.sum((points[:, None] - self._points[index]) * self._normals[index], axis=2))
        beside = np.sqrt(np.maximum(direct**2 - normal_part**2, 0))
        planes = np.hypot(normal_part, np.maximum(beside - 2 * self._reach[index], 0))
        return np.minimum(direct, planes).min(1)
