"""The ground plane, for what matching does not find of the ground.

Of the square before a landmark every photo shows a little, at a grazing angle: its paving or grass is under a pixel
high in one photo and near and large in another, and few photos share any of it. But it is flat, and the labels say
where it is: a pixel of ground without a depth gets that of the plane on which most of the ground that did match lies.
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

log = logging.getLogger(__name__)

TOLERANCE = 0.01  # world units (1 = median distance from camera to scene): height within which a point is on the plane
MIN_SHARE = 0.3  # of the ground points: with fewer on it, there is no one plane
MIN_POINTS = 1000  # on it
BEFORE = 0.1  # of the depth: what is nearer by so much hides a point
SAMPLED = 5000  # ground pixels of a photo that the plane is found from
# of least squares, round by round, in tolerances: wide at first, for the plane may slope; narrow at last, for steps and
# kerbs rise from it on one side
WIDTHS = (4, 4, 3, 2, 1, 0.5, 0.3, 0.3)
LEVEL = 1e-2  # strength of the prior that the plane is level, in shares of the points and per unit of distance


@dataclass(frozen=True)
class Plane:
    """The points x with normal · x = offset. normal: (3,) unit vector, upwards. World units."""

    normal: np.ndarray
    offset: float

    def depth(self, camera: Camera) -> np.ndarray:
        """(H, W) float32 depth of the plane in a photo, 0 near and above the horizon and for a camera beneath it."""
        x = np.arange(camera.width) + 0.5
        y = (np.arange(camera.height) + 0.5)[:, None]
        fall = -facing(camera.rotation @ self.normal, x, y, camera)
        height = self.normal @ camera.center - self.offset
        return np.where(fall > MIN_FALL, max(height, 0) / np.maximum(fall, MIN_FALL), 0).astype(np.float32)


def write_ground_maps(workspace: Workspace, segmentation_dir: Path, ground: Iterable[int], out: Workspace) -> bool:
    """Write into `out` geometric maps of the plane alone, where a photo's ground has no depth; False without a plane.

    ground: labels of what is flat and level. Photos stream, twice. Raises UserError if a map or a label map is missing
    or does not fit.
    """
    ground = list(ground)
    plane = find_plane(_ground_points(workspace, segmentation_dir, ground, photo) for photo in workspace.cameras)
    if plane is None:
        return False
    filled = []  # shares of the photos
    for photo, camera in workspace.cameras.items():
        empty = read_map(workspace.depth_map(photo, "geometric")) == 0
        empty &= np.isin(read_labels(segmentation_dir, photo, camera), ground)
        depth = np.where(empty, plane.depth(camera), 0)
        write_map(out.depth_map(photo, "geometric"), depth)
        write_map(out.normal_map(photo, "geometric"), (depth > 0)[..., None] * (camera.rotation @ plane.normal))
        filled.append(np.mean(depth > 0))
    log.info("%.1f %% of the photos' pixels have the depth of the ground plane", 100 * np.mean(filled))
    return True


def in_the_open(workspace: Workspace, segmentation_dir: Path, ground: Iterable[int], points: np.ndarray) -> np.ndarray:
    """Which of the plane's (N, 3) points more photos show as ground than have something before: (N,) bool.

    Points of the other kind come from labels that take a wall for ground. Photos stream.
    """
    ground, votes = list(ground), np.zeros(len(points), int)
    for photo, camera in workspace.cameras.items():
        pixels, depth = camera.project(points)
        inside = (depth > 0) & np.all((pixels >= 0) & (pixels < [camera.width, camera.height]), axis=1)
        column, row = pixels[inside].astype(int).T
        surface = read_map(workspace.depth_map(photo, "geometric"))[row, column]
        hidden = (surface > 0) & (surface < (1 - BEFORE) * depth[inside])
        shown = np.isin(read_labels(segmentation_dir, photo, camera)[row, column], ground) & ~hidden
        votes[inside] += shown.astype(int) - hidden
    return votes > 0


def find_plane(chunks: Iterable[np.ndarray]) -> Plane | None:
    """The plane, nearly level, on which most of the ground points lie; None where there is none.

    chunks: (M, 3) arrays of points, world. The height with most points about it, then least squares on what is near.
    """
    points = np.concatenate([np.zeros((0, 3)), *chunks])
    if not len(points):
        return None
    heights = np.sort(points[:, 2])
    above = np.searchsorted(heights, heights + 2 * TOLERANCE)  # points in each window that begins at a point
    middle = points[:, :2].mean(axis=0)
    terms = np.column_stack([points[:, :2] - middle, np.ones(len(points))])
    solution = np.array([0, 0, heights[np.argmax(above - np.arange(len(heights)))] + TOLERANCE])
    for width in WIDTHS:
        near = np.abs(points[:, 2] - terms @ solution) <= width * TOLERANCE
        prior = np.diag([LEVEL * near.sum()] * 2 + [0])
        solution = np.linalg.solve(terms[near].T @ terms[near] + prior, terms[near].T @ points[near, 2])
    found = int(np.sum(np.abs(points[:, 2] - terms @ solution) <= TOLERANCE))
    if found < max(MIN_POINTS, MIN_SHARE * len(points)):
        log.info("no ground plane: %d of %d ground points lie on the best one", found, len(points))
        return None
    log.info("ground plane: %d of %d ground points lie on it", found, len(points))
    normal = np.array([-solution[0], -solution[1], 1.0])
    length = np.linalg.norm(normal)
    return Plane(normal / length, float(solution[2] - solution[:2] @ middle) / length)


def _ground_points(workspace: Workspace, segmentation_dir: Path, ground: list[int], photo: str) -> np.ndarray:
    """(M, 3) world points of a photo's ground pixels with a depth, SAMPLED of them at most, evenly."""
    camera = workspace.cameras[photo]
    depth = read_map(workspace.depth_map(photo, "geometric"))
    row, column = np.nonzero(np.isin(read_labels(segmentation_dir, photo, camera), ground) & (depth > 0))
    step = -(-len(row) // SAMPLED) or 1
    row, column = row[::step], column[::step]
    rays = camera.ray_directions()[row, column]
    return camera.center + rays * (depth[row, column] / (rays @ camera.rotation[2]))[:, None]
