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

from nrw.cameras import Camera
from nrw.mvs.planes import facing
from nrw.mvs.select import MIN_FALL
from nrw.mvs.workspace import Workspace, read_labels, read_map, write_map

log = logging.getLogger(__name__)

TOLERANCE = 0.01  # world units (1 = median distance from camera to scene): height within which a point is on the plane
MIN_SHARE = 0.3  # of the ground points: with fewer on it, there is no one plane
MIN_POINTS = 1000  # on it
SAMPLED = 5000  # ground pixels of a photo that the plane is found from
WIDTHS = (4, 4, 3, 2, 1, 1, 1)  # of least squares, round by round, in tolerances: wide at first, for it may slope
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


def complete_ground(workspace: Workspace, segmentation_dir: Path, ground: Iterable[int], out: Path) -> None:
    """Put a workspace's geometric maps into the workspace `out`, with the plane's depth where ground has none.

    ground: labels of what is flat and level. Maps that stay as they are become links. Photos stream, twice. Raises
    UserError if a map or a label map is missing or does not fit.
    """
    ground, completed = list(ground), Workspace(out)
    plane = find_plane(_ground_points(workspace, segmentation_dir, ground, photo) for photo in workspace.cameras)
    filled = []  # shares of the photos
    for photo, camera in workspace.cameras.items():
        files = workspace.depth_map(photo, "geometric"), workspace.normal_map(photo, "geometric")
        copies = completed.depth_map(photo, "geometric"), completed.normal_map(photo, "geometric")
        depth, normals = map(read_map, files)
        on_plane = np.zeros_like(depth) if plane is None else plane.depth(camera)
        empty = np.isin(read_labels(segmentation_dir, photo, camera), ground) & (depth == 0) & (on_plane > 0)
        filled.append(empty.mean())
        if not empty.any():
            for file, copy in zip(files, copies, strict=True):
                copy.symlink_to(file.resolve())
            continue
        depth[empty], normals[empty] = on_plane[empty], camera.rotation @ plane.normal
        for values, copy in zip((depth, normals), copies, strict=True):
            write_map(copy, values)
    log.info("%.1f %% of the photos' pixels filled with the ground plane", 100 * np.mean(filled))


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
    near = np.zeros(len(points), bool)
    for width in WIDTHS:
        near = np.abs(points[:, 2] - terms @ solution) <= width * TOLERANCE
        prior = np.diag([LEVEL * near.sum()] * 2 + [0])
        solution = np.linalg.solve(terms[near].T @ terms[near] + prior, terms[near].T @ points[near, 2])
    if near.sum() < max(MIN_POINTS, MIN_SHARE * len(points)):
        log.info("no ground plane: %d of %d ground points lie on the best one", near.sum(), len(points))
        return None
    log.info("ground plane: %d of %d ground points lie on it", near.sum(), len(points))
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
