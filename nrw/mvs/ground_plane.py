"""The ground plane: the nearly level plane that most ground points lie on."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nrw.geometry.cameras import Camera
from nrw.mvs.planes import facing
from nrw.mvs.sources import MIN_FALL

logger = logging.getLogger(__name__)

TOLERANCE = 0.01  # world units, difference in height of points on the plane (cameras are about 1 from the scene)
MIN_SHARE = 0.3  # of the ground points that must be on the plane, else there is none
MIN_POINTS = 1000  # that must be on the plane, else there is none
# half widths of the band of points in each round of least squares, in TOLERANCE: wide at first, since the plane may
# slope; narrow at last, since steps and kerbs rise on one side of it
WIDTHS = (4, 4, 3, 2, 1, 0.5, 0.3, 0.3)
LEVEL = 1e-2  # strength of the prior that the plane is level, per point and unit of distance


@dataclass(frozen=True)
class Plane:
    """The points x with normal · x = offset. normal: (3,) unit vector, upwards. offset: world units."""

    normal: np.ndarray
    offset: float

    def height(self, points: np.ndarray) -> np.ndarray:
        """(...): how far points (..., 3) are above the plane."""
        return points @ self.normal - self.offset

    def depth(self, camera: Camera) -> np.ndarray:
        """(H, W) float32 depth of the plane in a photo; 0 near and above the horizon, and for a camera below it."""
        x = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
        y = (np.arange(camera.height) + 0.5 - camera.cy)[:, None] / camera.fy
        fall = -facing(camera.rotation @ self.normal, x, y)
        height = self.height(camera.center)
        return np.where(fall > MIN_FALL, max(height, 0) / np.maximum(fall, MIN_FALL), 0).astype(np.float32)


def find_plane(chunks: Iterable[np.ndarray], *, level: float = LEVEL, least: int = MIN_POINTS) -> Plane | None:
    """Fit the nearly level plane with most of the ground points on it; None if there is none.

    chunks: (M, 3) arrays of points, world. level, least: as LEVEL and MIN_POINTS. Starts at the height with most points
    around it; least squares of the points near the plane follow, round by round.
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
        prior = np.diag([level * near.sum()] * 2 + [0])
        solution = np.linalg.solve(terms[near].T @ terms[near] + prior, terms[near].T @ points[near, 2])
    found = int(np.sum(np.abs(points[:, 2] - terms @ solution) <= TOLERANCE))
    if found < max(least, MIN_SHARE * len(points)):
        logger.info("no ground plane: %d of %d ground points lie on the best one", found, len(points))
        return None
    logger.info("ground plane: %d of %d ground points lie on it", found, len(points))
    normal = np.array([-solution[0], -solution[1], 1.0])
    length = float(np.linalg.norm(normal))
    return Plane(normal / length, float(solution[2] - solution[:2] @ middle) / length)
