"""Source selection: which other photos each photo is matched against.

Goesele et al. 2007, "Multi-View Stereo for Community Photo Collections", section 4.1, equations 1 and 2: a source is
good if it shares many points with the reference, sees them under a sufficient angle, and at no lower resolution.
Added here: a weight that falls off for angles above 35 degrees, where square windows no longer match.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from scipy.sparse import csr_array

from nrw.cameras import Camera

FULL_ANGLE = 10.0  # degrees; smaller angles count less: they triangulate badly
WIDE_ANGLE = 35.0  # degrees; larger angles count less: windows look different
MIN_SHARED = 10  # points; photos that share fewer are no source


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
    """The ids of at most `count` sources for `photo`, best first; empty if no photo shares enough points with it."""
    reference = scene.ids.index(photo)
    seen = scene.seen_by(photo)
    centers = np.array([camera.center for camera in scene.cameras])
    focal = np.array([np.sqrt(camera.fx * camera.fy) for camera in scene.cameras])

    row, source = scene.visible[seen].nonzero()  # one entry per shared observation
    points = scene.points[seen][row]
    to_reference = centers[reference] - points
    to_source = centers[source] - points
    range_reference = np.linalg.norm(to_reference, axis=1)
    range_source = np.linalg.norm(to_source, axis=1)
    cosine = np.sum(to_reference * to_source, axis=1) / (range_reference * range_source)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    weight = np.minimum(angle / FULL_ANGLE, 1) ** 2 * np.minimum(WIDE_ANGLE / np.maximum(angle, 1e-6), 1) ** 2
    # size of a pixel on the surface, reference over source: above 1 the source resolves more
    resolution = (range_reference / focal[reference]) / (range_source / focal[source])
    weight *= np.where(resolution > 2, 2 / resolution, np.minimum(resolution, 1))

    score = np.bincount(source, weight, minlength=len(scene.ids))
    shared = np.bincount(source, minlength=len(scene.ids))
    score[(shared < MIN_SHARED) | (np.arange(len(scene.ids)) == reference)] = 0
    best = np.argsort(-score, kind="stable")[:count]
    return [scene.ids[index] for index in best if score[index] > 0]
