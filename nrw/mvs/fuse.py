"""From consistent depth maps to one clean cloud (COLMAP's fusion), with sparse points where no dense point is."""

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
from nrw.mvs.workspace import Workspace, read_map, read_usable

log = logging.getLogger(__name__)

CACHE_GB = 2.0  # fusion keeps all maps in memory up to this size, then a cache of it, with one thread
BYTES_PER_PIXEL = 3 + 4 + 12  # colour, depth, normal
FILL_PIXELS = 5.0  # a sparse point fills a hole if no dense point is within so many pixels of its nearest photo
MAX_FILL_ERROR = 2.0  # pixels of reprojection error
MIN_FILL_TRACK = 3  # photos
GROUND_VIEWS = 2  # photos whose labels agree that there is ground; where it lies is known
MAPS = ("depth_maps", "normal_maps")
EMPTY = Cloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.float32))


def fuse(
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
    """Fuse the geometric maps of all photos into `cloud_out` (PLY) and write `summary_out` (JSON).

    min_views: photos that must see a point. voxel_size: world units; thins the cloud. The colour of a point is the
    median of the photos that see it. Sparse points seen mostly through `masked` labels are no filling. Where two photos
    show `ground` labels without a depth there are points of the ground plane (`mvs.ground`).

    Raises UserError if a map is missing or truncated, or no point at all results.
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
    for photo in workspace.cameras:
        report = workspace.read_report(photo)
        photos[photo] = {
            "coverage": consistent[photo],
            **{key: report[key] for key in ("seconds", "sources", "usable", "problem") if key in report},
        }
    summary = {
        "points": len(cloud),
        "dense_points": len(cleaned),
        "ground_points": len(cleaned_plane),
        "sparse_points": len(filling),
        "outliers_removed": len(dense) + len(plane) - len(found) if voxel_size is None else None,
        "mean_coverage": round(float(np.mean(list(consistent.values()))), 4),
        "photos_without_depth": [photo for photo, coverage in consistent.items() if coverage == 0],
        "photos": photos,
    }
    write_json(summary_out, summary)
    log.info(
        "%d points: %d dense, %d of the ground plane, %d sparse",
        *(len(part) for part in (cloud, cleaned, cleaned_plane, filling)),
    )


def _coverage(workspace: Workspace) -> dict[str, float]:
    """The share of each photo's pixels with a consistent depth; checks every map on the way."""
    coverage = {}
    for photo in workspace.cameras:
        depth = read_map(workspace.depth_map(photo, "geometric"))
        read_map(workspace.normal_map(photo, "geometric"))
        coverage[photo] = round(float(np.mean(depth > 0)), 4)
    return coverage


def _fuse_matched(workspace: Workspace, folder: Path, min_views: int, threads: int) -> Cloud:
    """The points that `min_views` photos matched alike."""
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
    """The workspace, without maps, as COLMAP's fusion needs it.

    Fusion takes a pixel for the point where its row and column meet, half a pixel from its centre; so the cameras'
    principal points are moved by as much.
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
    """The well-observed sparse points that have no dense point near, with normals towards the photos that see them."""
    model = pycolmap.Reconstruction(str(workspace.sparse))
    photo_of = {id_: Path(image.name).stem for id_, image in model.images.items() if image.has_pose}
    points, tracks = [], []
    for point in model.points3D.values():
        seen_by = {photo_of[element.image_id] for element in point.track.elements}
        if len(seen_by) >= MIN_FILL_TRACK and point.error <= MAX_FILL_ERROR:
            points.append(point)
            tracks.append(sorted(seen_by))
    places = np.array([point.xyz for point in points]).reshape(-1, 3)
    lasting = np.ones(len(points), bool)
    if segmentation_dir is not None:
        lasting = _share_unmasked(workspace, places, tracks, segmentation_dir, masked) >= 0.5
    normals, footprints = np.zeros_like(places), np.zeros(len(points))
    for number, (place, seen_by) in enumerate(zip(places, tracks, strict=True)):
        cameras = [workspace.cameras[photo] for photo in seen_by]
        towards = np.mean([camera.center for camera in cameras], axis=0) - place
        normals[number] = towards / max(np.linalg.norm(towards), 1e-12)
        footprints[number] = min(camera.project(place[None])[1][0] / camera.fx for camera in cameras)
    colors = np.array([point.color for point in points], np.uint8).reshape(-1, 3)
    if len(dense.points) and len(points):
        lasting &= cKDTree(dense.points).query(places)[0] > FILL_PIXELS * footprints
    return Cloud(places[lasting].astype(np.float32), colors[lasting], normals[lasting].astype(np.float32))


def _share_unmasked(
    workspace: Workspace, places: np.ndarray, tracks: list[list[str]], segmentation_dir: Path, masked: frozenset[int]
) -> np.ndarray:
    """(N,): in what share of the photos that see it (tracks) each of the points (N, 3) has no masked label."""
    seen_in: dict[str, list[int]] = {}
    for number, track in enumerate(tracks):
        for photo in track:
            seen_in.setdefault(photo, []).append(number)
    votes = np.zeros(len(places))
    for photo, numbers in seen_in.items():  # one photo's labels at a time
        camera = workspace.cameras[photo]
        usable = read_usable(segmentation_dir, photo, masked, camera)
        x, y = np.floor(camera.project(places[numbers])[0]).astype(int).T
        votes[numbers] += usable[y.clip(0, camera.height - 1), x.clip(0, camera.width - 1)]
    return votes / np.array([len(track) for track in tracks])


def _joined(*clouds: Cloud) -> Cloud:
    parts = ("points", "colors", "normals")
    return Cloud(*(np.concatenate([getattr(cloud, part) for cloud in clouds]) for part in parts))
