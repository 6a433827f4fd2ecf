"""The surface: a truncated signed distance field of the consistent depth maps (open3d), as a clean triangle mesh.

Depths of all photos are averaged into a voxel grid near the surface (Curless & Levoy, "A Volumetric Method for Building
Complex Models from Range Images", SIGGRAPH 1996), of which marching cubes makes triangles. The mesh is twice as true to
the depth maps as fused points drawn as splats, has no gaps between points, and stray depths are not on it.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import EMPTY, Cloud, gray_mesh, import_open3d

logger = logging.getLogger(__name__)

BLOCK = 8  # voxels per side of the grid's blocks
MAX_BLOCKS = 100_000  # in memory at a time, of 4 kB each; a larger scene is reconstructed slab by slab
TRUNCATION = 4.0  # voxels before and behind the surface in which a depth counts
MIN_WEIGHT = 1.5  # depths that a voxel needs: more than one
MIN_TRIANGLES = 200  # of a connected component
SMOOTHING = 3  # rounds of Taubin's filter, which does not shrink

# A photo's depths (H, W), world units, 0 = none, by its id; called photo by photo.
Depths = Callable[[str], np.ndarray]


def reconstruct_surface(cameras: Mapping[str, Camera], depths: Depths, voxel_size: float) -> Cloud:
    """Reconstruct the surface from the photos' depths: a cloud whose points are the corners of its faces, in grey.

    voxel_size: world units. Photos are read one at a time, once per slab and once before; memory is bounded by
    MAX_BLOCKS and the mesh itself. Normals point to the photos' side. The cloud is empty where no two depths meet.
    """
    if not voxel_size:
        return EMPTY
    open3d = import_open3d()
    blocks = _occupied(open3d, cameras, depths, voxel_size)
    slabs = [_slab_mesh(open3d, cameras, depths, voxel_size, blocks, slab) for slab in _slabs(blocks)]
    mesh = open3d.geometry.TriangleMesh()
    for part in slabs:
        mesh += part
    if len(slabs) > 1:
        mesh.remove_duplicated_vertices()  # slabs meet in exactly the same vertices
    mesh = _clean(_ordered(open3d, mesh))
    if not len(mesh.triangles):
        return EMPTY
    mesh.compute_vertex_normals()
    logger.info("surface: %d triangles, voxels of %.5f, %d slabs", len(mesh.triangles), voxel_size, len(slabs))
    return gray_mesh(*map(np.asarray, (mesh.vertices, mesh.triangles, mesh.vertex_normals)))


def pixel_footprint(cameras: Mapping[str, Camera], depths: Depths) -> float:
    """Find the median over the photos of the world size of a pixel at their median depth; 0 without any depth."""
    sizes = []
    for photo_id, camera in cameras.items():
        depth = depths(photo_id)
        if (depth > 0).any():
            sizes.append(float(np.median(depth[depth > 0])) / camera.fx)
    return float(np.median(sizes)) if sizes else 0.0


def _grid(open3d: ModuleType, voxel_size: float, blocks: int) -> Any:
    core = open3d.core
    return open3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight"), (core.float32, core.float32), ((1), (1)), voxel_size, BLOCK, blocks, core.Device("CPU:0")
    )


def _frames(open3d: ModuleType, cameras: Mapping[str, Camera], depths: Depths) -> Iterator[tuple]:
    """Depth image, intrinsics, extrinsics and largest depth of each photo that has depths, as open3d takes them."""
    for photo_id, camera in cameras.items():
        depth = np.ascontiguousarray(depths(photo_id), np.float32)
        if not (depth > 0).any():
            continue
        pose = np.eye(4)
        pose[:3] = camera.cam_from_world
        image = open3d.t.geometry.Image(open3d.core.Tensor(depth))
        yield image, open3d.core.Tensor(camera.K), open3d.core.Tensor(pose), float(depth.max()) * 1.01


def _occupied(open3d: ModuleType, cameras: Mapping[str, Camera], depths: Depths, voxel_size: float) -> np.ndarray:
    """(B, 3) int32: the blocks near any depth, sorted by x, y and z."""
    grid = _grid(open3d, voxel_size, 1)
    found = np.empty((0, 3), np.int32)
    for frame in _frames(open3d, cameras, depths):
        blocks = grid.compute_unique_block_coordinates(*frame[:3], 1.0, frame[3], TRUNCATION).numpy()
        found = np.unique(np.concatenate([found, blocks]), axis=0)
    return found


def _slabs(blocks: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of the blocks' x, each from the first to after the last, that hold at most MAX_BLOCKS where one x does."""
    values, counts = np.unique(blocks[:, 0], return_counts=True)
    slabs, first, held = [], 0, 0
    for place, count in enumerate(counts):
        if held and held + count > MAX_BLOCKS:
            slabs.append((int(values[first]), int(values[place])))
            first, held = place, 0
        held += count
    return [*slabs, (int(values[first]), int(values[-1]) + 1)] if len(values) else []


def _slab_mesh(
    open3d: ModuleType,
    cameras: Mapping[str, Camera],
    depths: Depths,
    voxel_size: float,
    blocks: np.ndarray,
    slab: tuple[int, int],
) -> Any:
    """The triangles whose centres lie in a slab, from its blocks and the adjoining ones."""
    within = (blocks[:, 0] >= slab[0] - 1) & (blocks[:, 0] <= slab[1])
    chosen = _keyed(blocks[within])
    grid = _grid(open3d, voxel_size, int(within.sum()) + 1)
    for image, intrinsics, pose, far in _frames(open3d, cameras, depths):
        near = grid.compute_unique_block_coordinates(image, intrinsics, pose, 1.0, far, TRUNCATION)
        held = np.isin(_keyed(near.numpy()), chosen)
        if held.any():
            part = open3d.core.Tensor(near.numpy()[held])
            grid.integrate(part, image, intrinsics, pose, 1.0, far, TRUNCATION)
    try:
        mesh = grid.extract_triangle_mesh(weight_threshold=MIN_WEIGHT).to_legacy()
    except RuntimeError as error:
        if "SetVertexColors" not in str(error):  # open3d trips over a slab without any triangle
            raise
        return open3d.geometry.TriangleMesh()
    corners = np.asarray(mesh.vertices)[np.asarray(mesh.triangles).reshape(-1)].reshape(-1, 3, 3)
    place = np.floor(corners.mean(axis=1)[:, 0] / (BLOCK * voxel_size))
    mesh.remove_triangles_by_mask((place < slab[0]) | (place >= slab[1]))
    mesh.remove_unreferenced_vertices()
    return mesh


def _keyed(blocks: np.ndarray) -> np.ndarray:
    """(B,) int64: one number per block of (B, 3), whose coordinates lie within a million of 0."""
    x, y, z = (blocks.astype(np.int64) + (1 << 20)).T
    return (x << 42) | (y << 21) | z


def _ordered(open3d: ModuleType, mesh: Any) -> Any:
    """The same mesh with its vertices sorted by position and its triangles by their corners.

    open3d hands both out in an order that depends on its threads; results must not.
    """
    points, faces = np.asarray(mesh.vertices), np.asarray(mesh.triangles)
    order = np.lexsort(points.T)
    rank = np.empty(len(points), np.int32)
    rank[order] = np.arange(len(points), dtype=np.int32)
    faces = rank[faces]
    lowest_first = (faces.argmin(axis=1)[:, None] + np.arange(3)) % 3  # turned, so that the same side is its front
    faces = np.take_along_axis(faces, lowest_first, axis=1)
    faces = faces[np.lexsort(faces.T)]
    return open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(points[order]), open3d.utility.Vector3iVector(faces)
    )


def _clean(mesh: Any) -> Any:
    """Drop small components, then smooth."""
    if not len(mesh.triangles):
        return mesh
    component, sizes, _ = mesh.cluster_connected_triangles()
    mesh.remove_triangles_by_mask(np.asarray(sizes)[np.asarray(component)] < MIN_TRIANGLES)
    mesh.remove_unreferenced_vertices()
    return mesh.filter_smooth_taubin(number_of_iterations=SMOOTHING) if len(mesh.triangles) else mesh


def colored_like(surface: Cloud, cloud: Cloud) -> np.ndarray:
    """(N, 3) uint8: for each point of the surface the colour of the nearest point of the cloud; its own without any."""
    if not len(cloud):
        return surface.colors
    return cloud.colors[cKDTree(cloud.points).query(surface.points)[1]]
