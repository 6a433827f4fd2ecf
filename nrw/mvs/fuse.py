"""Fusion of the consistent depth maps into one clean cloud (COLMAP's fusion), with sparse points in its holes."""

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pycolmap
from scipy.spatial import cKDTree

from nrw.core.errors import UserError
from nrw.core.io import write_json
from nrw.geometry import pointcloud
from nrw.geometry.pointcloud import Cloud
from nrw.mvs.ground import in_the_open, write_ground_maps
from nrw.mvs.workspace import Workspace, read_keep, read_map

logger = logging.getLogger(__name__)

CACHE_GB = 2.0  # up to this size fusion keeps all maps in memory; beyond it uses a cache of this size and one thread
BYTES_PER_PIXEL = 3 + 4 + 12  # colour, depth, normal
FILL_PIXELS = 5.0  # a sparse point fills a hole if there is no dense point within this many pixels of its nearest photo
MAX_FILL_ERROR = 2.0  # pixels, reprojection error of a sparse point
MIN_FILL_TRACK = 3  # photos that see it
GROUND_VIEWS = 2  # photos that must see a point of the ground plane; its position is known
MAPS = ("depth_maps", "normal_maps")
EMPTY = Cloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.float32))


def fuse_depths(
    mvs_dir: Path | str,
    cloud_out: Path | str,
    summary_out: Path | str,
    *,
    min_views: int,
    voxel_size: float | None = None,
    threads: int = 1,
    segmentation_dir: Path | str | None = None,
    masked: Iterable[int] = (),
    ground: Iterable[int] = (),
) -> None:
    """Fuse the geometric maps of all photos into `cloud_out` (PLY with spacing) and write `summary_out` (JSON).

    min_views: photos that must see a point. voxel_size: world units; thins the cloud. A point's colour is the median of
    the photos that see it. Sparse points fill holes, except those that most of their photos see at `masked` labels.
    Where two photos show `ground` labels without a depth, points of the ground plane are added (`mvs.ground`).

    Raises UserError if a map is missing or truncated, or no points result.
    """
    workspace = Workspace(Path(mvs_dir))
    consistent = _coverage(workspace)
    segmentation_dir = None if segmentation_dir is None else Path(segmentation_dir)
    with tempfile.TemporaryDirectory(dir=workspace.stereo) as folder:
        dense = _fuse_matched(workspace, Path(folder) / "matched", min_views, threads)
        plane = EMPTY
        if segmentation_dir is not None and ground:
            plane = _fuse_ground(workspace, Path(folder) / "ground", segmentation_dir, ground, threads)
    cleaned, cleaned_plane = (pointcloud.clean(cloud, voxel_size=voxel_size) for cloud in (dense, plane))
    found = _joined(cleaned, cleaned_plane)
    filling = _sparse_filling(workspace, found, segmentation_dir, frozenset(masked))
    cloud = _joined(found, filling)
    if not len(cloud):
        raise UserError(
            f"{mvs_dir}: no point was seen alike by {min_views} photos; lower mvs.min_views, raise mvs.max_size, or add"
            " photos that overlap"
        )
    pointcloud.write_cloud(cloud_out, cloud)
    photos = {}
    for photo_id in workspace.cameras:
        report = workspace.read_report(photo_id)
        photos[photo_id] = {
            "coverage": consistent[photo_id],
            **{key: report[key] for key in ("seconds", "sources", "usable", "problem") if key in report},
        }
    summary = {
        "points": len(cloud),
        "dense_points": len(cleaned),
        "ground_points": len(cleaned_plane),
        "sparse_points": len(filling),
        "outliers_removed": len(dense) + len(plane) - len(found) if voxel_size is None else None,
        "mean_coverage": round(float(np.mean(list(consistent.values()))), 4),
        "photos_without_depth": [photo_id for photo_id, coverage in consistent.items() if coverage == 0],
        "photos": photos,
    }
    write_json(summary_out, summary)
    logger.info(
        "%d points: %d dense, %d of the ground plane, %d sparse",
        *(len(part) for part in (cloud, cleaned, cleaned_plane, filling)),
    )


def _coverage(workspace: Workspace) -> dict[str, float]:
    """By photo, the share of its pixels with a consistent depth. Raises UserError for a missing or damaged map."""
    coverage = {}
    for photo_id in workspace.cameras:
        depth = read_map(workspace.depth_map(photo_id, "geometric"))
        read_map(workspace.normal_map(photo_id, "geometric"))
        coverage[photo_id] = round(float(np.mean(depth > 0)), 4)
    return coverage


def _fuse_matched(workspace: Workspace, folder: Path, min_views: int, threads: int) -> Cloud:
    """The points whose depth at least `min_views` photos agree on."""
    prepared = _prepared(workspace, folder)
    for name in MAPS:
        (prepared.stereo / name).symlink_to((workspace.stereo / name).resolve())
    return _fuse_maps(prepared, min_views, threads)


def _fuse_ground(
    workspace: Workspace, folder: Path, segmentation_dir: Path, ground: Iterable[int], threads: int
) -> Cloud:
    """Points of the ground plane where the photos' ground was not matched."""
    prepared = _prepared(workspace, folder)
    for name in MAPS:
        (prepared.stereo / name).mkdir()
    if not write_ground_maps(workspace, segmentation_dir, ground, prepared):
        return EMPTY
    filled = _fuse_maps(prepared, GROUND_VIEWS, threads)
    kept = in_the_open(workspace, segmentation_dir, ground, filled.points)
    return Cloud(filled.points[kept], filled.colors[kept], filled.normals[kept])


def _prepared(workspace: Workspace, folder: Path) -> Workspace:
    """A copy of the workspace without maps, with cameras as COLMAP's fusion needs them.

    Fusion projects from a pixel's corner (column, row) instead of its centre, so that the principal points are moved by
    half a pixel.
    """
    (folder / "sparse").mkdir(parents=True)
    (folder / "stereo").mkdir()
    model = pycolmap.Reconstruction(str(workspace.sparse))
    for camera in model.cameras.values():
        camera.principal_point_x -= 0.5
        camera.principal_point_y -= 0.5
    model.write(str(folder / "sparse"))
    (folder / "images").symlink_to((workspace.root / "images").resolve())
    (folder / "stereo" / "fusion.cfg").symlink_to((workspace.stereo / "fusion.cfg").resolve())
    return Workspace(folder)


def _fuse_maps(workspace: Workspace, min_views: int, threads: int) -> Cloud:
    """COLMAP's fusion: Schönberger et al. 2016, section 4.5."""
    out = workspace.root / "fused.ply"
    options = pycolmap.StereoFusionOptions()
    options.min_num_pixels = min_views
    options.max_normal_error = 30  # degrees; ours are fitted to the depth map and noisier than COLMAP's
    options.num_threads = threads
    pixels = sum(camera.width * camera.height for camera in workspace.cameras.values())
    options.use_cache = pixels * BYTES_PER_PIXEL > CACHE_GB * 1e9
    options.cache_size = CACHE_GB
    pycolmap.stereo_fusion(str(out), str(workspace.root), input_type="geometric", options=options, output_type="PLY")
    return pointcloud.read_cloud(out)


def _sparse_filling(workspace: Workspace, dense: Cloud, segmentation_dir: Path | None, masked: frozenset[int]) -> Cloud:
    """The well-observed sparse points without a dense point near, with normals towards the photos that see them."""
    model = pycolmap.Reconstruction(str(workspace.sparse))
    photo_of = {id_: Path(image.name).stem for id_, image in model.images.items() if image.has_pose}
    points, tracks = [], []
    for point in model.points3D.values():
        track = {photo_of[element.image_id] for element in point.track.elements}
        if len(track) >= MIN_FILL_TRACK and point.error <= MAX_FILL_ERROR:
            points.append(point)
            tracks.append(sorted(track))
    positions = np.array([point.xyz for point in points]).reshape(-1, 3)
    keep = np.ones(len(points), bool)
    if segmentation_dir is not None:
        keep = _share_unmasked(workspace, positions, tracks, segmentation_dir, masked) >= 0.5
    normals, footprints = np.zeros_like(positions), np.zeros(len(points))
    for number, (position, seen_by) in enumerate(zip(positions, tracks, strict=True)):
        cameras = [workspace.cameras[photo_id] for photo_id in seen_by]
        towards = np.mean([camera.center for camera in cameras], axis=0) - position
        normals[number] = towards / max(np.linalg.norm(towards), 1e-12)
        footprints[number] = min(camera.project(position[None])[1][0] / camera.fx for camera in cameras)
    colors = np.array([point.color for point in points], np.uint8).reshape(-1, 3)
    if len(dense.points) and len(points):
        keep &= cKDTree(dense.points).query(positions)[0] > FILL_PIXELS * footprints
    return Cloud(positions[keep].astype(np.float32), colors[keep], normals[keep].astype(np.float32))


def _share_unmasked(
    workspace: Workspace, positions: np.ndarray, tracks: list[list[str]], segmentation_dir: Path, masked: frozenset[int]
) -> np.ndarray:
    """(N,): per point of (N, 3), the share of the photos that see it (`tracks`) in which its label is not masked."""
    seen_in: dict[str, list[int]] = {}
    for number, track in enumerate(tracks):
        for photo_id in track:
            seen_in.setdefault(photo_id, []).append(number)
    votes = np.zeros(len(positions))
    for photo_id, numbers in seen_in.items():  # one photo's labels at a time
        camera = workspace.cameras[photo_id]
        keep = read_keep(segmentation_dir, photo_id, masked, camera)
        x, y = np.floor(camera.project(positions[numbers])[0]).astype(int).T
        votes[numbers] += keep[y.clip(0, camera.height - 1), x.clip(0, camera.width - 1)]
    return votes / np.array([len(track) for track in tracks])


def _joined(*clouds: Cloud) -> Cloud:
    """All points of the clouds, without stored spacing: it is not the joined cloud's."""
    parts = ("points", "colors", "normals")
    return Cloud(*(np.concatenate([getattr(cloud, part) for cloud in clouds]) for part in parts))
