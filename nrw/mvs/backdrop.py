"""The backdrop: a wall around the place, where photos show something lasting behind or beside the surface.

What stands far away or is seen by few photos (houses across the square, trees) has no depth on which photos agree. From
afar its distance hardly matters: it is drawn on a cylinder around the place, and takes its colours and its detail from
the photos as any surface does.
"""

import logging
from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_opening

from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import EMPTY, Cloud, mesh_of_quads
from nrw.geometry.rasterize import Geometry, rasterize

logger = logging.getLogger(__name__)

DISTANCE = 2.0  # of the wall from the middle, in distances within which nearly all cameras and surface lie,
BEHIND = 1.5  # and at least, in distances of the farthest camera, which must not see the wall from outside
NEARLY_ALL = 0.98  # share of them
CELLS = 1440  # around: quarters of a degree
ELEVATION = 0.6  # tangent up to which the wall stands
SIZE = 320  # pixels: longer side of the buffers that tell what the surface hides
MARGIN = 2  # of these pixels around the surface, whose outline is not exact
SEEN_BY = 2  # photos that must show a cell

Pixels = Callable[[str], np.ndarray]  # (H, W) bool of a photo, by its id


def backdrop(cameras: Mapping[str, Camera], lasting: Pixels, sky: Pixels, surface: Cloud) -> Cloud:
    """Make the wall's triangles: a cloud with faces, in grey; empty where no photos show any.

    lasting: what a photo shows that is neither sky nor passes by. A cell is kept if at least SEEN_BY photos show such
    there, with no surface in front nor above (a window, a gate), and more of them than show the sky. One photo is read
    at a time.
    """
    if not len(surface):
        return EMPTY
    grid, inward = _wall(cameras, surface)
    points = grid.reshape(-1, 3)
    shown, refuted = np.zeros(len(points), int), np.zeros(len(points), int)
    geometry = Geometry.of(surface, torch.device("cpu"))
    for photo_id, camera in cameras.items():
        free = _free(geometry, camera)
        uv, depth = camera.project(points)
        inside = camera.contains(uv, depth)
        column, row = uv[inside].astype(int).T
        open_ = free[row * free.shape[0] // camera.height, column * free.shape[1] // camera.width]
        shown[inside] += open_ & lasting(photo_id)[row, column]
        refuted[inside] += open_ & sky(photo_id)[row, column]
    stands = ((shown >= SEEN_BY) & (shown > refuted)).reshape(grid.shape[:2])
    stands = binary_opening(np.pad(stands, ((0, 0), (1, 1)), mode="wrap"))[:, 1:-1]
    above, beside = slice(1, None), np.roll(stands, -1, axis=1)
    quads = stands[:-1] & stands[above] & beside[:-1] & beside[above]
    row, column = np.nonzero(quads)
    at = np.arange(len(points)).reshape(stands.shape)
    next_column = (column + 1) % CELLS
    corners = [at[row, column], at[row + 1, column], at[row + 1, next_column], at[row, next_column]]
    logger.info("backdrop: %.1f %% of the horizon", 100 * quads.any(axis=0).mean())
    return mesh_of_quads(points, np.column_stack(corners), inward)


def _wall(cameras: Mapping[str, Camera], surface: Cloud) -> tuple[np.ndarray, np.ndarray]:
    """Points of the wall, (rows, CELLS, 3) world, row 0 on the ground, and its normals (rows * CELLS, 3)."""
    middle = np.median(surface.points[:, :2], axis=0)
    centers = np.array([camera.center[:2] for camera in cameras.values()])
    away = np.linalg.norm(np.concatenate([centers, surface.points[:, :2]]) - middle, axis=1)
    radius = max(DISTANCE * float(np.quantile(away, NEARLY_ALL)), BEHIND * float(away[: len(centers)].max()))
    cell = 2 * np.pi * radius / CELLS
    foot = float(np.quantile(surface.points[:, 2], 1 - NEARLY_ALL))
    height = foot + cell * np.arange(int(ELEVATION * radius / cell))
    turn = 2 * np.pi * np.arange(CELLS) / CELLS
    out = np.column_stack([np.cos(turn), np.sin(turn)])
    ring = np.broadcast_to(middle + radius * out, (len(height), CELLS, 2))
    grid = np.concatenate([ring, np.broadcast_to(height[:, None, None], (len(height), CELLS, 1))], axis=2)
    return grid, np.tile(np.column_stack([-out, np.zeros(CELLS)]), (len(height), 1))


def _free(geometry: Geometry, camera: Camera) -> np.ndarray:
    """(h, w) bool: the pixels with no surface near them and none above."""
    scale = SIZE / max(camera.width, camera.height)
    small = camera.resized(*(max(1, round(scale * side)) for side in (camera.width, camera.height)))
    hit = binary_dilation(rasterize(geometry, small, 1).hit.numpy(), iterations=MARGIN)
    return ~np.logical_or.accumulate(hit, axis=0)
