"""The ground plane, for the ground that matching does not find.

Each photo shows only a part of the square in front of a landmark, at a grazing angle: a slab of its paving is less than
a pixel high in one photo and near and large in another, and few photos share any of it. But the ground is flat, and the
labels show where it is: a ground pixel without depth gets the depth of the plane that fits most of the matched ground.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nrw.geometry.cameras import Camera
from nrw.mvs.planes import facing
from nrw.mvs.sources import MIN_FALL
from nrw.mvs.workspace import Workspace, read_labels, read_map, write_map

logger = logging.getLogger(__name__)

TOLERANCE = 0.01  # world units, difference in height of points on the plane (cameras are about 1 from the scene)
MIN_SHARE = 0.3  # of the ground points that must be on the plane, else there is none
MIN_POINTS = 1000  # that must be on the plane, else there is none
IN_FRONT = 0.1  # relative to depth: a surface nearer by more than this hides a point
SAMPLED = 5000  # ground pixels per photo that the plane is fitted to
# half widths of the band of points in each round of least squares, in TOLERANCE: wide at first, since the plane may
# slope; narrow at last, since steps and kerbs rise on one side of it
WIDTHS = (4, 4, 3, 2, 1, 0.5, 0.3, 0.3)
LEVEL = 1e-2  # strength of the prior that the plane is level, per point and unit of distance


@dataclass(frozen=True)
class Plane:
    """The points x with normal · x = offset. normal: (3,) unit vector, upwards. offset: world units."""

    normal: np.ndarray
    offset: float

    def depth(self, camera: Camera) -> np.ndarray:
        """(H, W) float32 depth of the plane in a photo; 0 near and above the horizon, and for a camera below it."""
        x = np.arange(camera.width) + 0.5
        y = (np.arange(camera.height) + 0.5)[:, None]
        fall = -facing(camera.rotation @ self.normal, x, y, camera)
        height = self.normal @ camera.center - self.offset
        return np.where(fall > MIN_FALL, max(height, 0) / np.maximum(fall, MIN_FALL), 0).astype(np.float32)


def write_ground_maps(workspace: Workspace, segmentation_dir: Path, ground: Iterable[int], out: Workspace) -> bool:
    """Write to `out` geometric maps of the ground plane alone, where the photos' ground has no depth.

    Returns whether there is a plane. ground: labels of flat and level surfaces. Reads one photo's maps at a time, all
    of them twice. Raises UserError if a map or a label map is missing or does not fit.
    """
    ground = list(ground)
    plane = find_plane(_ground_points(workspace, segmentation_dir, ground, photo_id) for photo_id in workspace.cameras)
    if plane is None:
        return False
    filled = []  # per photo, share of its pixels
    for photo_id, camera in workspace.cameras.items():
        empty = read_map(workspace.depth_map(photo_id, "geometric")) == 0
        empty &= np.isin(read_labels(segmentation_dir, photo_id, camera), ground)
        depth = np.where(empty, plane.depth(camera), 0)
        write_map(out.depth_map(photo_id, "geometric"), depth)
        write_map(out.normal_map(photo_id, "geometric"), (depth > 0)[..., None] * (camera.rotation @ plane.normal))
        filled.append(np.mean(depth > 0))
    logger.info("%.1f %% of the photos' pixels have the depth of the ground plane", 100 * np.mean(filled))
    return True


def in_the_open(workspace: Workspace, segmentation_dir: Path, ground: Iterable[int], points: np.ndarray) -> np.ndarray:
    """Find the plane's (N, 3) points that more photos show as ground than have a surface in front of: (N,) bool.

    The others come from labels that take a wall for ground. Reads one photo's maps at a time.
    """
    ground, votes = list(ground), np.zeros(len(points), int)
    for photo_id, camera in workspace.cameras.items():
        uv, depth = camera.project(points)
        inside = camera.contains(uv, depth)
        column, row = uv[inside].astype(int).T
        surface = read_map(workspace.depth_map(photo_id, "geometric"))[row, column]
        hidden = (surface > 0) & (surface < (1 - IN_FRONT) * depth[inside])
        shown = np.isin(read_labels(segmentation_dir, photo_id, camera)[row, column], ground) & ~hidden
        votes[inside] += shown.astype(int) - hidden
    return votes > 0


def find_plane(chunks: Iterable[np.ndarray]) -> Plane | None:
    """Fit the nearly level plane with most of the ground points on it; None if there is none.

    chunks: (M, 3) arrays of points, world. Starts at the height with most points around it; least squares of the points
    near the plane follow, round by round.
    """
    points = np.concatenate([np.zeros((0, 3)), *chunks])
    if not len(points):
        return None
    heights = np.sort(points[:, 2])
    ends = np.searchsorted(heights, heights + 2 * TOLERANCE)  # of the windows that begin at the points
    middle = points[:, :2].mean(axis=0)
    terms = np.column_stack([points[:, :2] - middle, np.ones(len(points))])
    solution = np.array([0, 0, heights[np.argmax(ends - np.arange(len(heights)))] + TOLERANCE])
    for width in WIDTHS:
        near = np.abs(points[:, 2] - terms @ solution) <= width * TOLERANCE
        prior = np.diag([LEVEL * near.sum()] * 2 + [0])
        solution = np.linalg.solve(terms[near].T @ terms[near] + prior, terms[near].T @ points[near, 2])
    found = int(np.sum(np.abs(points[:, 2] - terms @ solution) <= TOLERANCE))
    if found < max(MIN_POINTS, MIN_SHARE * len(points)):
        logger.info("no ground plane: %d of %d ground points lie on the best one", found, len(points))
        return None
    logger.info("ground plane: %d of %d ground points lie on it", found, len(points))
    normal = np.array([-solution[0], -solution[1], 1.0])
    length = float(np.linalg.norm(normal))
    return Plane(normal / length, float(solution[2] - solution[:2] @ middle) / length)


def _ground_points(workspace: Workspace, segmentation_dir: Path, ground: list[int], photo_id: str) -> np.ndarray:
    """(M, 3) world points of a photo's ground pixels that have a depth, evenly sampled: at most SAMPLED."""
    camera = workspace.cameras[photo_id]
    depth = read_map(workspace.depth_map(photo_id, "geometric"))
    row, column = np.nonzero(np.isin(read_labels(segmentation_dir, photo_id, camera), ground) & (depth > 0))
    step = -(-len(row) // SAMPLED) or 1
    row, column = row[::step], column[::step]
    rays = camera.ray_directions()[row, column]
    return camera.center + rays * (depth[row, column] / (rays @ camera.rotation[2]))[:, None]
