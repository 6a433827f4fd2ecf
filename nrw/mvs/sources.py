"""Source selection: which other photos each photo is matched against.

Goesele et al. 2007, "Multi-View Stereo for Community Photo Collections", section 4.1, equations 1 and 2: a source is
good if it shares many points with the reference, sees them under a sufficient angle, and at no lower resolution.
Added here: a weight that falls off for angles above 35 degrees, where square windows no longer match, and that every
part of the picture counts alike.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from scipy.sparse import csr_array

from nrw.geometry.cameras import Camera

FULL_ANGLE = 10.0  # degrees; smaller angles count less: they triangulate badly
WIDE_ANGLE = 35.0  # degrees; larger angles count less: windows look different
MIN_SHARED = 10  # points; photos that share fewer are no source
CELLS = 8  # across and down
MIN_BELOW = 20  # sparse points below the camera from which it is known how deep the ground lies
GROUND_BAND = 1.3  # the ground lies so many times higher or lower than the deepest points
MIN_FALL = 0.03  # downward part of a ray that meets the ground before the horizon


@dataclass(frozen=True)
class SparseScene:
    """What the sparse model knows about who sees what.

    ids: N photo ids. cameras: their cameras. points: (P, 3) float64, world. visible: (P, N) boolean sparse matrix.
    """

    ids: list[str]
    cameras: list[Camera]
    points: np.ndarray
    visible: csr_array

    def seen_by(self, *photos: str) -> np.ndarray:
        """(M,) indices of the points that any of the photos observes."""
        return np.unique(self.visible[:, [self.ids.index(photo) for photo in photos]].nonzero()[0])


def read_sparse(sparse: Path | str, cameras: dict[str, Camera]) -> SparseScene:
    """Read the tracks of a COLMAP model whose cameras are `cameras` (by photo id)."""
    model = pycolmap.Reconstruction(str(sparse))
    ids = list(cameras)
    column = {id_: ids.index(Path(image.name).stem) for id_, image in model.images.items() if image.has_pose}
    points = [point for point in model.points3D.values() if point.track.length() >= 2]
    rows, columns = [], []
    for row, point in enumerate(points):
        seen = {column[element.image_id] for element in point.track.elements}
        rows += [row] * len(seen)
        columns += seen
    visible = csr_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(points), len(ids)))
    return SparseScene(ids, list(cameras.values()), np.array([point.xyz for point in points]).reshape(-1, 3), visible)


def select_sources(scene: SparseScene, photo: str, count: int) -> list[str]:
    """The ids of at most `count` sources for `photo`, best first; empty if no photo shares enough points with it.

    Chosen one after the other, each for what those before it see badly: the photos that share most all look at the same
    façade, and none of them may see the ground before it or the picture's border. The picture is cut into cells; a cell
    without sparse points that looks down is taken for ground.
    """
    reference = scene.ids.index(photo)
    camera = scene.cameras[reference]
    seen = scene.seen_by(photo)
    row, source = scene.visible[seen].nonzero()  # one entry per shared observation
    weight = _weights(scene, reference, scene.points[seen][row], source)
    shared = np.bincount(source, minlength=len(scene.ids))
    possible = (shared >= MIN_SHARED) & (np.arange(len(scene.ids)) != reference)
    if not possible.any():
        return []

    cell = _cells(camera, camera.project(scene.points[seen])[0])
    cover = np.zeros((CELLS**2, len(scene.ids)))  # how well each source sees the middle of each cell, in [0, 1]
    np.maximum.at(cover, (cell[row], source), weight)
    near = np.argsort(-np.bincount(source, weight * possible[source], minlength=len(scene.ids)))[:count]
    around = scene.points[scene.seen_by(photo, *(scene.ids[index] for index in near))]
    ground = _ground_cells(camera, around, np.bincount(cell, minlength=CELLS**2))
    for index, point in ground.items():
        for other in np.flatnonzero(possible):
            if _sees(scene.cameras[other], point):
                cover[index, other] = _weights(scene, reference, point[None], np.array([other]))[0]

    need, chosen = np.ones(CELLS**2), []
    while len(chosen) < count:
        gain = np.where(possible, need @ cover, 0)
        best = int(np.argmax(gain))
        if gain[best] <= 0:
            break
        chosen.append(scene.ids[best])
        possible[best] = False
        need *= 1 - cover[:, best] / 2
    return chosen


def _weights(scene: SparseScene, reference: int, points: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """(M,) in [0, 1] how well photos `sources` (M,) match the reference at (M, 3) points: angle and resolution."""
    centers = np.array([camera.center for camera in scene.cameras])
    focal = np.array([np.sqrt(camera.fx * camera.fy) for camera in scene.cameras])
    to_reference = centers[reference] - points
    to_source = centers[sources] - points
    range_reference = np.linalg.norm(to_reference, axis=1)
    range_source = np.linalg.norm(to_source, axis=1)
    cosine = np.sum(to_reference * to_source, axis=1) / (range_reference * range_source)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    weight = np.minimum(angle / FULL_ANGLE, 1) ** 2 * np.minimum(WIDE_ANGLE / np.maximum(angle, 1e-6), 1) ** 2
    # size of a pixel on the surface, reference over source: above 1 the source resolves more
    resolution = (range_reference / focal[reference]) / (range_source / focal[sources])
    return weight * np.where(resolution > 2, 2 / resolution, np.minimum(resolution, 1))


def _sees(camera: Camera, point: np.ndarray) -> bool:
    pixel, depth = camera.project(point[None])
    return bool(depth[0] > 0 and (pixel[0] > 0).all() and (pixel[0] < [camera.width, camera.height]).all())


def _cells(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """(N,) the cell of each of (N, 2) pixels."""
    place = np.clip(pixels * CELLS / [camera.width, camera.height], 0, CELLS - 1).astype(int)
    return place[:, 1] * CELLS + place[:, 0]


def _ground_cells(camera: Camera, points: np.ndarray, occupied: np.ndarray) -> dict[int, np.ndarray]:
    """The ground point in the middle of each cell that has no sparse point and looks down; {} if no ground is known."""
    depths = ground_range(camera, points)
    if depths is None:
        return {}
    small = camera.resized(CELLS, CELLS)
    rays = small.ray_directions().astype(float).reshape(-1, 3)
    return {
        int(index): camera.center + rays[index] * (np.sqrt(depths[0] * depths[1]) / -rays[index, 2])
        for index in np.flatnonzero((occupied == 0) & (rays[:, 2] < -MIN_FALL))
    }


def ground_range(camera: Camera, points: np.ndarray) -> tuple[float, float] | None:
    """How far below the camera the ground may lie, world units, from (N, 3) sparse points; None if few are below."""
    below = camera.center[2] - points[:, 2]
    below = below[below > 0]
    if len(below) < MIN_BELOW:
        return None
    deepest = np.percentile(below, 98)
    return deepest / GROUND_BAND, deepest * GROUND_BAND
