"""The geometric check: a depth survives where other photos' depth maps put the surface at the same place.

Forward-backward reprojection as in COLMAP (Schönberger et al. 2016, section 4.4) and MVSNet's filter (Yao et al. 2018).
"""

import logging
from pathlib import Path

import numpy as np
import torch

from nrw.cameras import Camera
from nrw.mvs.planes import normals_from_depth
from nrw.mvs.select import read_sparse, select_sources
from nrw.mvs.workspace import Workspace, read_map, write_map

log = logging.getLogger(__name__)


def filter_depths(
    mvs_dir: Path | str,
    ids: list[str],
    *,
    min_views: int,
    neighbours: int = 16,
    max_pixels: float = 2.0,
    max_relative: float = 0.01,
) -> None:
    """Write the geometric depth and normal maps of the photos of `ids`; needs the photometric maps of all photos.

    A depth is kept if at least `min_views` photos, its own included, agree: of the `neighbours` photos that share most
    with it, those whose depth map has the point within `max_relative` of its depth, and whose own point projects back
    within `max_pixels`.

    Raises UserError if a photometric map is missing or truncated.
    """
    workspace = Workspace(Path(mvs_dir))
    workspace.check_ids(ids)
    scene = read_sparse(workspace.sparse, workspace.cameras)
    for number, photo in enumerate(ids, 1):
        camera = workspace.cameras[photo]
        depth = read_map(workspace.depth_map(photo, "photometric"))
        others = select_sources(scene, photo, neighbours)
        agreeing = np.ones(depth.shape, np.int16)
        for other in others:
            other_depth = read_map(workspace.depth_map(other, "photometric"))
            agreeing += agrees(depth, camera, other_depth, workspace.cameras[other], max_pixels, max_relative)
        kept = np.where(agreeing >= min_views, depth, 0).astype(np.float32)
        write_map(workspace.normal_map(photo, "geometric"), normals_from_depth(torch.from_numpy(kept), camera).numpy())
        write_map(workspace.depth_map(photo, "geometric"), kept)
        log.info("%s (%d of %d): %.0f %% consistent", photo, number, len(ids), 100 * np.mean(kept > 0))


def agrees(
    depth: np.ndarray, camera: Camera, other_depth: np.ndarray, other: Camera, max_pixels: float, max_relative: float
) -> np.ndarray:
    """Where another photo's depth map confirms this one's: (H, W) bool for (H, W) and (H', W') depths, 0 = none."""
    result = np.zeros(depth.shape, bool)
    y, x = np.nonzero(depth > 0)
    pixels = np.stack([x + 0.5, y + 0.5], axis=1)
    seen, seen_depth = other.project(_unproject(camera, pixels, depth[y, x]))
    inside = (seen_depth > 0) & (seen >= 0).all(1) & (seen[:, 0] < other.width) & (seen[:, 1] < other.height)
    y, x, pixels, seen, seen_depth = y[inside], x[inside], pixels[inside], seen[inside], seen_depth[inside]

    column, row = seen.astype(int).T
    found = other_depth[row, column]
    back, back_depth = camera.project(_unproject(other, seen, found))
    near = (found > 0) & (np.abs(found / seen_depth - 1) < max_relative) & (back_depth > 0)
    near &= np.linalg.norm(back - pixels, axis=1) < max_pixels
    result[y[near], x[near]] = True
    return result


def _unproject(camera: Camera, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(N, 2) pixel coordinates and (N,) depths to (N, 3) world points."""
    x = (pixels[:, 0] - camera.cx) / camera.fx
    y = (pixels[:, 1] - camera.cy) / camera.fy
    in_camera = np.stack([x, y, np.ones_like(x)], axis=1) * depth[:, None]
    return (in_camera - camera.cam_from_world[:, 3]) @ camera.rotation
