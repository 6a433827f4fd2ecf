"""The geometric check: a depth survives where other photos' depth maps put the surface at the same place.

Forward-backward reprojection as in COLMAP (Schönberger et al. 2016, section 4.4) and MVSNet's filter (Yao et al. 2018).
"""

import logging
from pathlib import Path

import numpy as np
import torch

from nrw.cameras import Camera
from nrw.io import write_json
from nrw.mvs.planes import normals_from_depth
from nrw.mvs.select import read_sparse, select_sources
from nrw.mvs.workspace import Workspace, read_map, write_map

log = logging.getLogger(__name__)

MAX_SLOPE = 1.1  # ratio of depths half a pixel apart


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

    A photo with a truncated map is left out, and its report says so. Raises UserError if a photometric map is missing.
    """
    workspace = Workspace(Path(mvs_dir))
    workspace.check_ids(ids)
    scene = read_sparse(workspace.sparse, workspace.cameras)
    for number, photo in enumerate(ids, 1):
        camera = workspace.cameras[photo]
        depth, _ = _read_maps(workspace, photo)
        agreeing = np.ones(depth.shape, np.int16)
        for other in select_sources(scene, photo, neighbours):
            others = _read_maps(workspace, other)
            agreeing += agrees(depth, camera, *others, workspace.cameras[other], max_pixels, max_relative)
        kept = np.where(agreeing >= min_views, depth, 0).astype(np.float32)
        write_map(workspace.normal_map(photo, "geometric"), normals_from_depth(torch.from_numpy(kept), camera).numpy())
        write_map(workspace.depth_map(photo, "geometric"), kept)
        log.info("%s (%d of %d): %.0f %% consistent", photo, number, len(ids), 100 * np.mean(kept > 0))


def _read_maps(workspace: Workspace, photo: str) -> tuple[np.ndarray, np.ndarray]:
    """Photometric depth (H, W) and normals (H, W, 3); all 0, and a line in the photo's report, if they are damaged."""
    depth, normals = workspace.depth_map(photo, "photometric"), workspace.normal_map(photo, "photometric")
    damaged = [
        path
        for path, channels in ((depth, 1), (normals, 3))
        if path.is_file() and not workspace.is_whole(path, photo, channels)
    ]
    if not damaged:
        return read_map(depth), read_map(normals)
    problem = f"{damaged[0]}: damaged; delete {workspace.root / 'depths'} and run again to have it computed again"
    log.warning("%s gets NO DEPTH: %s", photo, problem)
    write_json(workspace.report(photo), {**workspace.read_report(photo), "problem": problem})
    camera = workspace.cameras[photo]
    return np.zeros((camera.height, camera.width), np.float32), np.zeros((camera.height, camera.width, 3), np.float32)


def agrees(
    depth: np.ndarray,
    camera: Camera,
    other_depth: np.ndarray,
    other_normals: np.ndarray,
    other: Camera,
    max_pixels: float,
    max_relative: float,
) -> np.ndarray:
    """Where another photo's depth and normal maps confirm this one's depths: (H, W) bool.

    depth: (H, W), 0 = none. other_depth, other_normals: (H', W') and (H', W', 3) in the other camera. Off its pixel
    centres the other's depth follows its local plane: on grazing ground it changes by more than `max_relative` from one
    pixel to the next.
    """
    x = np.arange(camera.width, dtype=np.float32) + np.float32(0.5)  # (W,)
    y = np.arange(camera.height, dtype=np.float32)[:, None] + np.float32(0.5)  # (H, 1)
    seen_x, seen_y, seen_depth = _transfer(camera, other, x, y, depth)
    inside = (depth > 0) & (seen_depth > 0)
    inside &= (seen_x >= 0) & (seen_x < other.width) & (seen_y >= 0) & (seen_y < other.height)
    row, column = (np.where(inside, place, 0).astype(np.int32) for place in (seen_y, seen_x))
    center_x, center_y = column + np.float32(0.5), row + np.float32(0.5)
    normals = other_normals[row, column]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = _facing(normals, center_x, center_y, other) / _facing(normals, seen_x, seen_y, other)
    found = other_depth[row, column] * np.clip(np.nan_to_num(slope, nan=1.0), 1 / MAX_SLOPE, MAX_SLOPE)
    back_x, back_y, back_depth = _transfer(other, camera, seen_x, seen_y, found)
    near = inside & (found > 0) & (back_depth > 0) & (np.abs(found - seen_depth) < max_relative * seen_depth)
    return near & ((back_x - x) ** 2 + (back_y - y) ** 2 < max_pixels**2)


def _facing(normals: np.ndarray, x: np.ndarray, y: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) products of the normals with the rays, of length 1 along the optical axis, through pixels x, y."""
    return (
        normals[..., 0] * ((x - np.float32(camera.cx)) / np.float32(camera.fx))
        + normals[..., 1] * ((y - np.float32(camera.cy)) / np.float32(camera.fy))
        + normals[..., 2]
    )


def _transfer(
    camera: Camera, other: Camera, x: np.ndarray, y: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (x, y) with a depth, as another camera sees them: x, y and depth there; meaningless where depth <= 0."""
    rotation = other.rotation @ camera.rotation.T
    translation = other.cam_from_world[:, 3] - rotation @ camera.cam_from_world[:, 3]
    a = (other.K @ rotation @ np.linalg.inv(camera.K)).astype(np.float32)
    b = (other.K @ translation).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        u, v, w = (depth * (a[i, 0] * x + a[i, 1] * y + a[i, 2]) + b[i] for i in range(3))
        return u / w, v / w, w
