"""The ground plane's depth maps, for the ground that matching does not find.

Each photo shows only a part of the square in front of a landmark, at a grazing angle: a slab of its paving is less than
a pixel high in one photo and near and large in another, and few photos share any of it. But the ground is flat: a
ground pixel without depth gets the depth of the plane that fits most of the matched ground. Where the ground is, the
labels show; without labels, the photos' agreement does (`ground_support`).
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from nrw.mvs.ground_plane import find_plane
from nrw.mvs.ground_support import find_ground
from nrw.mvs.sources import MIN_FALL
from nrw.mvs.workspace import Workspace, read_labels, read_map, write_map

logger = logging.getLogger(__name__)

IN_FRONT = 0.1  # relative to depth: a surface nearer by more than this hides a point
SAMPLED = 5000  # ground pixels per photo that the plane is fitted to
# without labels: vertical component of the normals of ground; the prior that the plane is level, since steps and slopes
# are among these points; and how many must be on the plane, for the photos can refute it
UPRIGHT, LEVEL, MIN_POINTS = 0.9, 0.1, 300

Pixels = Callable[[str], np.ndarray]  # (H, W) bool of a photo, by id


def write_ground_maps(
    workspace: Workspace, segmentation_dir: Path | None, ground: Iterable[int], out: Workspace
) -> bool:
    """Write to `out` geometric maps of the ground plane alone, where the photos' ground has no depth.

    Returns whether there is a plane. segmentation_dir: None without labels; the sky masks should be there then. ground:
    labels of flat and level surfaces, if there are labels. Reads one photo's maps at a time, all of them twice, without
    labels four times. Raises UserError if a map or a label map is missing or does not fit.
    """
    ids = list(workspace.cameras)
    if segmentation_dir is None:
        upright = (_points(workspace, photo_id, _upright(workspace, photo_id)) for photo_id in ids)
        plane = find_plane(upright, level=LEVEL, least=MIN_POINTS)
        found = find_ground(workspace, plane) if plane is not None else None
        if plane is None or found is None:
            return False
        shown: Pixels = partial(found.shown, workspace)
    else:
        shown = partial(_labelled, workspace, segmentation_dir, list(ground))
        plane = find_plane(_points(workspace, photo_id, shown(photo_id)) for photo_id in ids)
        if plane is None:
            return False
    filled = []  # per photo, share of its pixels
    for photo_id, camera in workspace.cameras.items():
        empty = read_map(workspace.depth_map(photo_id, "geometric")) == 0
        depth = np.where(empty & shown(photo_id), plane.depth(camera), 0)
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


def _labelled(workspace: Workspace, segmentation_dir: Path, ground: list[int], photo_id: str) -> np.ndarray:
    """(H, W) bool: the pixels of a photo that are labelled as ground."""
    return np.isin(read_labels(segmentation_dir, photo_id, workspace.cameras[photo_id]), ground)


def _upright(workspace: Workspace, photo_id: str) -> np.ndarray:
    """(H, W) bool: the pixels of a photo below the horizon whose normals point up."""
    camera = workspace.cameras[photo_id]
    up = read_map(workspace.normal_map(photo_id, "geometric")) @ camera.rotation[:, 2]
    return (up > UPRIGHT) & (camera.ray_directions()[..., 2] < -MIN_FALL)


def _points(workspace: Workspace, photo_id: str, pixels: np.ndarray) -> np.ndarray:
    """(M, 3) world points of a photo's `pixels`, (H, W) bool, that have a depth, evenly sampled: at most SAMPLED."""
    camera = workspace.cameras[photo_id]
    depth = read_map(workspace.depth_map(photo_id, "geometric"))
    row, column = np.nonzero(pixels & (depth > 0))
    step = -(-len(row) // SAMPLED) or 1
    row, column = row[::step], column[::step]
    rays = camera.ray_directions()[row, column]
    return camera.center + rays * (depth[row, column] / (rays @ camera.rotation[2]))[:, None]
