"""The ground plane as a mesh, where photos show ground that was not matched (`ground`)."""

from collections.abc import Iterator

import numpy as np
from scipy.spatial import cKDTree

from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import EMPTY, Cloud, mesh_of_quads
from nrw.mvs.workspace import Workspace, read_map

CELL = 2.0  # voxels of the surface: the plane needs no more for its shape, and gets its detail from the photos
MAX_CELLS = 2_000_000  # of the grid; a larger plane has larger cells
SEEN_BY = 2  # photos that must show a cell as ground
IN_FRONT = 0.1  # relative to depth: a surface nearer by more than this hides a cell
SAMPLED = 5000  # pixels per photo that the extent comes from
OVERLAP = 1.5  # cells: the plane ends this far from the points of the surface


def ground_mesh(workspace: Workspace, maps: Workspace, voxel_size: float, surface: Cloud) -> Cloud:
    """Make triangles of the plane in the geometric maps of `maps` (`ground.write_ground_maps`): a cloud with faces.

    A cell of the grid is kept if at least two photos show it as ground, more than have a surface of their own in front
    of it, and the surface is not there already. Reads one photo's maps at a time, all of them twice.
    """
    points = np.concatenate([np.empty((0, 3)), *_lifted(maps)])
    if len(points) < 3:
        return EMPTY
    middle = points.mean(axis=0)
    slope = np.linalg.lstsq(
        np.column_stack([points[:, :2] - middle[:2], np.ones(len(points))]), points[:, 2], rcond=None
    )
    low, high = np.quantile(points[:, :2], 0.005, axis=0), np.quantile(points[:, :2], 0.995, axis=0)
    cell = max(CELL * voxel_size, float(np.sqrt(np.prod(high - low) / MAX_CELLS)))
    columns, rows = (np.ceil((high - low) / cell).astype(int) + 1).tolist()
    x, y = (axis.ravel() for axis in np.meshgrid(low[0] + cell * np.arange(columns), low[1] + cell * np.arange(rows)))
    z = np.column_stack([x - middle[0], y - middle[1], np.ones(len(x))]) @ slope[0]
    grid = np.column_stack([x, y, z])
    kept = _shown(workspace, maps, grid)
    if len(surface):
        kept[kept] = cKDTree(surface.points).query(grid[kept])[0] > OVERLAP * cell
    first = np.arange(len(grid)).reshape(rows, columns)[:-1, :-1].ravel()
    quads = np.column_stack([first, first + 1, first + columns + 1, first + columns])
    quads = quads[kept[quads].all(axis=1)]
    normal = np.array([-slope[0][0], -slope[0][1], 1.0])
    return mesh_of_quads(grid, quads, np.broadcast_to(normal / np.linalg.norm(normal), grid.shape))


def joined(surface: Cloud, ground: Cloud) -> Cloud:
    """The two meshes as one."""
    parts = ("points", "colors", "normals")
    points, colors, normals = (np.concatenate([getattr(surface, part), getattr(ground, part)]) for part in parts)
    return Cloud(points, colors, normals, faces=np.concatenate([surface.faces, ground.faces + np.int32(len(surface))]))


def _lifted(maps: Workspace) -> Iterator[np.ndarray]:
    """(M, 3) world points of each photo's ground map, evenly sampled."""
    for photo_id, camera in maps.cameras.items():
        depth = read_map(maps.depth_map(photo_id, "geometric"))
        row, column = np.nonzero(depth)
        step = -(-len(row) // SAMPLED) or 1
        yield _lift(camera, row[::step], column[::step], depth[row[::step], column[::step]])


def _lift(camera: Camera, row: np.ndarray, column: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(M, 3) world points of pixels (M,) with depths (M,)."""
    x, y = (column + 0.5 - camera.cx) / camera.fx, (row + 0.5 - camera.cy) / camera.fy
    return camera.center + (np.column_stack([x, y, np.ones(len(row))]) * depth[:, None]) @ camera.rotation


def _shown(workspace: Workspace, maps: Workspace, points: np.ndarray) -> np.ndarray:
    """(N,) bool: which points (N, 3) of the plane enough photos show, and more than have something in front of them."""
    seen, votes = np.zeros(len(points), int), np.zeros(len(points), int)
    for photo_id, camera in workspace.cameras.items():
        uv, depth = camera.project(points)
        inside = camera.contains(uv, depth)
        column, row = uv[inside].astype(int).T
        matched = read_map(workspace.depth_map(photo_id, "geometric"))[row, column]
        hidden = (matched > 0) & (matched < (1 - IN_FRONT) * depth[inside])
        shown = (read_map(maps.depth_map(photo_id, "geometric"))[row, column] > 0) & ~hidden
        seen[inside] += shown
        votes[inside] += shown.astype(int) - hidden
    return (seen >= SEEN_BY) & (votes > 0)
