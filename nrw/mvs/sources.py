"""Source selection: the other photos that each photo is matched against.

Goesele et al. 2007, "Multi-View Stereo for Community Photo Collections", section 4.1, equations 1 and 2: a source is
good if it shares many points with the reference, sees them at a sufficient angle, and at no lower resolution. Added
here: a weight that falls off for angles above 35 degrees, at which square windows no longer match; and all parts of the
picture count alike.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from scipy.sparse import csr_array

from nrw.geometry.cameras import Camera

FULL_ANGLE = 10.0  # degrees; smaller angles count less: they triangulate poorly
WIDE_ANGLE = 35.0  # degrees; larger angles count less: windows look too different
MIN_SHARED = 10  # points; photos that share fewer are no sources
CELLS = 8  # of the picture, across and down
MIN_BELOW = 20  # sparse points below the camera, from which on the height of the ground is known
GROUND_BAND = 1.3  # factor by which the ground may be farther or less far below the camera than the deepest points
MIN_FALL = 0.03  # downward component of a ray from which on it meets the ground before the horizon


@dataclass(frozen=True)
class SparseScene:
    """Which photos see which points of the sparse model.

    ids: N photo ids. cameras: their cameras. points: (P, 3) float64, world. visible: (P, N) boolean sparse matrix.
    """

    ids: list[str]
    cameras: list[Camera]
    points: np.ndarray
    visible: csr_array

    def seen_by(self, *ids: str) -> np.ndarray:
        """(M,) indices of the points that any of the photos `ids` observes."""
        return np.unique(self.visible[:, [self.ids.index(photo_id) for photo_id in ids]].nonzero()[0])


def read_sparse(sparse: Path | str, cameras: dict[str, Camera]) -> SparseScene:
    """Read the points of a COLMAP model with tracks of at least 2 observations. cameras: the model's, by photo id."""
    model = pycolmap.Reconstruction(str(sparse))
    ids = list(cameras)
    column = {id_: ids.index(Path(image.name).stem) for id_, image in model.images.items() if image.has_pose}
    points = [point for point in model.points3D.values() if point.track.length() >= 2]
    rows: list[int] = []
    columns: list[int] = []
    for row, point in enumerate(points):
        seen = {column[element.image_id] for element in point.track.elements}
        rows += [row] * len(seen)
        columns += seen
    visible = csr_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(points), len(ids)))
    return SparseScene(ids, list(cameras.values()), np.array([point.xyz for point in points]).reshape(-1, 3), visible)


def select_sources(scene: SparseScene, photo_id: str, count: int) -> list[str]:
    """The ids of at most `count` sources of a photo, best first; empty if no photo shares enough points with it.

    They are chosen greedily, each for the parts of the picture that those before it see poorly: the photos that share
    most points may all look at the same façade, and none see the ground in front of it or the picture's border. The
    picture is divided into cells; a cell that has no sparse points and looks down is taken for ground.
    """
    reference = scene.ids.index(photo_id)
    camera = scene.cameras[reference]
    seen = scene.seen_by(photo_id)
    row, source = scene.visible[seen].nonzero()  # one entry per shared observation
    weight = _weights(scene, reference, scene.points[seen][row], source)
    shared = np.bincount(source, minlength=len(scene.ids))
    possible = (shared >= MIN_SHARED) & (np.arange(len(scene.ids)) != reference)
    if not possible.any():
        return []

    cell = _cells(camera, camera.project(scene.points[seen])[0])
    cover = np.zeros((CELLS**2, len(scene.ids)))  # how well each source sees each cell, in [0, 1]
    np.maximum.at(cover, (cell[row], source), weight)
    near = np.argsort(-np.bincount(source, weight * possible[source], minlength=len(scene.ids)))[:count]
    around = scene.points[scene.seen_by(photo_id, *(scene.ids[index] for index in near))]
    ground = _ground_cells(camera, around, np.bincount(cell, minlength=CELLS**2))
    for index, point in ground.items():
        for other in np.flatnonzero(possible):
            other_camera = scene.cameras[other]
            if other_camera.contains(*other_camera.project(point[None])).all():
                cover[index, other] = _weights(scene, reference, point[None], np.array([other]))[0]

    need = np.ones(CELLS**2)
    chosen: list[str] = []
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
    """(M,) in [0, 1]: how well photos `sources` (M,) match the reference at (M, 3) points, by angle and resolution."""
    centers = np.array([camera.center for camera in scene.cameras])
    focal = np.array([np.sqrt(camera.fx * camera.fy) for camera in scene.cameras])
    to_reference = centers[reference] - points
    to_source = centers[sources] - points
    range_reference = np.linalg.norm(to_reference, axis=1)
    range_source = np.linalg.norm(to_source, axis=1)
    cosine = np.sum(to_reference * to_source, axis=1) / (range_reference * range_source)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    weight = np.minimum(angle / FULL_ANGLE, 1) ** 2 * np.minimum(WIDE_ANGLE / np.maximum(angle, 1e-6), 1) ** 2
    # ratio of the pixel sizes on the surface, reference to source: above 1 the source resolves more
    resolution = (range_reference / focal[reference]) / (range_source / focal[sources])
    return weight * np.where(resolution > 2, 2 / resolution, np.minimum(resolution, 1))


def _cells(camera: Camera, uv: np.ndarray) -> np.ndarray:
    """(N,) the cell of each of (N, 2) pixel coordinates."""
    column, row = np.clip(uv * CELLS / [camera.width, camera.height], 0, CELLS - 1).astype(int).T
    return row * CELLS + column


def _ground_cells(camera: Camera, points: np.ndarray, occupied: np.ndarray) -> dict[int, np.ndarray]:
    """Ground points at the centres of the cells without sparse points that look down; {} if no ground is known."""
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
    """The range of distances of the ground below the camera, world units, from (N, 3) sparse points.

    None if fewer than MIN_BELOW points are below the camera.
    """
    below = camera.center[2] - points[:, 2]
    below = below[below > 0]
    if len(below) < MIN_BELOW:
        return None
    deepest = np.percentile(below, 98)
    return deepest / GROUND_BAND, deepest * GROUND_BAND
