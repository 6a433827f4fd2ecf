"""Fusion of the consistent depth maps: the surface, and loose points where there is none.

Loose points are those of COLMAP's fusion that lie on no surface and hold up against all photos, and well-observed
sparse points in the remaining holes: thin things, branches, what two photos saw.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap
from scipy.spatial import cKDTree

from nrw.core.errors import UserError
from nrw.core.io import scratch_folder, write_json
from nrw.geometry import pointcloud
from nrw.geometry.pointcloud import EMPTY, Cloud
from nrw.mvs.backdrop import backdrop
from nrw.mvs.ground import in_the_open, write_ground_maps
from nrw.mvs.ground_mesh import ground_mesh, joined
from nrw.mvs.surface import colored_like, pixel_footprint, reconstruct_surface
from nrw.mvs.workspace import Workspace, read_keep, read_map

logger = logging.getLogger(__name__)

CACHE_GB = 2.0  # up to this size fusion keeps all maps in memory; beyond it uses a cache of this size and one thread
BYTES_PER_PIXEL = 3 + 4 + 12  # colour, depth, normal
FILL_PIXELS = 5.0  # a sparse point fills a hole if there is no dense point within this many pixels of its nearest photo
MAX_FILL_ERROR = 2.0  # pixels, reprojection error of a sparse point
MIN_FILL_TRACK = 3  # photos that see it
GROUND_VIEWS = 2  # photos that must see a point of the ground plane; its position is known
KEPT = 0.9  # of the photos that see a sparse point, at an unmasked pixel
LOOSE = 2.0  # spacings of the surface: fused points that near are on it
AGREES, SEEN_THROUGH = 0.01, 0.03  # relative to depth: a photo confirms a point, or sees what is behind it
STANDS = 2.0  # a loose point is confirmed by this many times the photos that see through it
VOXEL = 1.7  # of the surface, in footprints of a pixel at the median depth: finer voxels add noise and size, no truth
MAPS = ("depth_maps", "normal_maps")


def fuse_depths(
    mvs_dir: Path | str,
    cloud_out: Path | str,
    surface_out: Path | str | None,
    summary_out: Path | str,
    *,
    min_views: int,
    voxel_size: float | None = None,
    threads: int = 1,
    segmentation_dir: Path | str | None = None,
    masked: Iterable[int] = (),
    sky: Iterable[int] = (),
    ground: Iterable[int] = (),
) -> None:
    """Fuse the geometric maps of all photos into `cloud_out` (PLY with faces) and write `summary_out` (JSON).

    The cloud begins with the vertices of the surface (`surface.reconstruct_surface`), which is also written alone to
    `surface_out`, and of the `backdrop`; loose points follow. surface_out: None: the cloud has no surface, only points.
    min_views: photos that must see a point. voxel_size: world units, of the surface; it also thins the points. A
    point's colour is the median of the photos that see it. Sparse points fill holes, except those that most of their
    photos see at `masked` labels, of which some are the `sky`. Where photos show ground without a depth, the ground
    plane is added (`mvs.ground`).

    Raises UserError if a map is missing or truncated, or no points result.
    """
    workspace = Workspace(Path(mvs_dir))
    consistent = _coverage(workspace)
    labels = None if segmentation_dir is None else Path(segmentation_dir)
    keep, below_sky = Keep(labels, frozenset(masked)), Keep(labels, frozenset(sky))
    with scratch_folder(workspace.stereo / ".fusion") as folder:
        dense = pointcloud.clean(
            _fuse_matched(workspace, folder / "matched", min_views, threads), voxel_size=voxel_size
        )
        plane = _ground_maps(workspace, folder / "ground", labels, ground)
        if surface_out is None:
            surface, loose = EMPTY, dense
            if plane is not None and labels is not None:
                loose = _joined(dense, _fuse_plane(workspace, plane, labels, ground, voxel_size, threads))
        else:
            surface = _surface(workspace, plane, dense, keep, voxel_size)
            loose = _standing(workspace, dense, surface, keep, min_views)
            pointcloud.write_cloud(surface_out, surface)
            pixels = partial(keep.of, workspace), lambda photo_id: ~below_sky.of(workspace, photo_id)
            wall = backdrop(workspace.cameras, *pixels, surface)
            surface = joined(surface, replace(wall, colors=colored_like(wall, dense)))
    found = _joined(surface, loose)
    filling = _sparse_filling(workspace, found, keep)
    cloud = replace(_joined(found, filling), faces=surface.faces)
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
    estimated = sum(workspace.read_report(photo_id).get("coverage", 0.0) for photo_id in workspace.cameras)
    summary = {
        "points": len(cloud),
        "triangles": len(surface.faces),
        "surface_points": len(surface),
        "loose_points": len(loose),
        "sparse_points": len(filling),
        "mean_coverage": round(float(np.mean(list(consistent.values()))), 4),
        # of the depths that photos have by themselves, those that others do not confirm; COLMAP's maps do not say
        "unconfirmed": round(max(0.0, 1 - sum(consistent.values()) / estimated), 4) if estimated else None,
        "photos_without_depth": [photo_id for photo_id, coverage in consistent.items() if coverage == 0],
        "photos": photos,
    }
    write_json(summary_out, summary)
    logger.info(
        "%d triangles; %d points: %d of the surface, %d loose, %d sparse",
        len(surface.faces),
        *(len(part) for part in (cloud, surface, loose, filling)),
    )


@dataclass(frozen=True)
class Keep:
    """Which pixels of the photos show something lasting: not of a `masked` label, where there are labels."""

    segmentation_dir: Path | None
    masked: frozenset[int]

    def of(self, workspace: Workspace, photo_id: str) -> np.ndarray:
        """(H, W) bool."""
        return read_keep(workspace, self.segmentation_dir, photo_id, self.masked)


def _surface(
    workspace: Workspace, plane: Workspace | None, dense: Cloud, keep: Keep, voxel_size: float | None
) -> Cloud:
    """The surface of the kept depths, with the ground plane, in the colours of the fused points."""

    def depths(photo_id: str) -> np.ndarray:
        return read_map(workspace.depth_map(photo_id, "geometric")) * keep.of(workspace, photo_id)

    voxel_size = voxel_size or VOXEL * pixel_footprint(workspace.cameras, depths)
    surface = _carved(workspace, reconstruct_surface(workspace.cameras, depths, voxel_size), keep)
    if plane is not None and voxel_size:
        surface = joined(surface, ground_mesh(workspace, plane, voxel_size, surface))
    return replace(surface, colors=colored_like(surface, dense))


def _standing(workspace: Workspace, dense: Cloud, surface: Cloud, keep: Keep, min_views: int) -> Cloud:
    """The fused points away from the surface that more photos confirm than see through them."""
    loose = np.ones(len(dense), bool)
    if len(surface):
        loose = cKDTree(surface.points).query(dense.points)[0] > LOOSE * np.median(surface.spacing)
    confirmed, refuted = _votes(workspace, dense.points[loose], keep)
    stands = np.flatnonzero(loose)[(confirmed > min_views) & (confirmed > STANDS * refuted)]
    return Cloud(dense.points[stands], dense.colors[stands], dense.normals[stands])


def _carved(workspace: Workspace, surface: Cloud, keep: Keep) -> Cloud:
    """The surface without what more photos see through, or see as sky, than confirm: rims of sky around outlines."""
    confirmed, refuted = _votes(workspace, surface.points, keep)
    stands = confirmed >= refuted
    faces = surface.faces[stands[surface.faces].all(axis=1)]
    used, faces = np.unique(faces, return_inverse=True)
    parts = (surface.points[used], surface.colors[used], surface.normals[used])
    return Cloud(*parts, faces=faces.reshape(-1, 3).astype(np.int32))


def _votes(workspace: Workspace, points: np.ndarray, keep: Keep) -> tuple[np.ndarray, np.ndarray]:
    """How many photos confirm each of (N, 3) points, and how many see through it or something masked: (N,) each."""
    confirmed, refuted = np.zeros(len(points), int), np.zeros(len(points), int)
    for photo_id, camera in workspace.cameras.items():
        uv, z = camera.project(points)
        inside = camera.contains(uv, z)
        column, row = uv[inside].astype(int).T
        depth = read_map(workspace.depth_map(photo_id, "geometric"))[row, column]
        kept = keep.of(workspace, photo_id)[row, column]
        confirmed[inside] += kept & (np.abs(depth - z[inside]) <= AGREES * z[inside])
        refuted[inside] += ~kept | (depth > (1 + SEEN_THROUGH) * z[inside])
    return confirmed, refuted


def _ground_maps(
    workspace: Workspace, folder: Path, segmentation_dir: Path | None, ground: Iterable[int]
) -> Workspace | None:
    """A workspace with maps of the ground plane where the photos' ground was not matched; None without a plane."""
    if not ground:
        return None
    prepared = _prepared(workspace, folder)
    for name in MAPS:
        (prepared.stereo / name).mkdir()
    return prepared if write_ground_maps(workspace, segmentation_dir, ground, prepared) else None


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


def _fuse_plane(
    workspace: Workspace,
    plane: Workspace,
    segmentation_dir: Path,
    ground: Iterable[int],
    voxel_size: float | None,
    threads: int,
) -> Cloud:
    """Points of the ground plane, for a cloud without a surface."""
    filled = _fuse_maps(plane, GROUND_VIEWS, threads)
    kept = in_the_open(workspace, segmentation_dir, ground, filled.points)
    return pointcloud.clean(
        Cloud(filled.points[kept], filled.colors[kept], filled.normals[kept]), voxel_size=voxel_size
    )


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


def _sparse_filling(workspace: Workspace, dense: Cloud, keep_pixels: Keep) -> Cloud:
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
    keep = _share_kept(workspace, positions, tracks, keep_pixels) >= KEPT
    _, refuted = _votes(workspace, positions, keep_pixels)
    keep &= np.array([len(track) for track in tracks]) > STANDS * refuted
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


def _share_kept(workspace: Workspace, positions: np.ndarray, tracks: list[list[str]], keep: Keep) -> np.ndarray:
    """(N,): per point of (N, 3), the share of the photos that see it (`tracks`) in which its pixel is kept."""
    seen_in: dict[str, list[int]] = {}
    for number, track in enumerate(tracks):
        for photo_id in track:
            seen_in.setdefault(photo_id, []).append(number)
    votes = np.zeros(len(positions))
    for photo_id, numbers in seen_in.items():  # one photo's mask at a time
        camera = workspace.cameras[photo_id]
        x, y = np.floor(camera.project(positions[numbers])[0]).astype(int).T
        kept = keep.of(workspace, photo_id)
        votes[numbers] += kept[y.clip(0, camera.height - 1), x.clip(0, camera.width - 1)]
    return votes / np.array([len(track) for track in tracks])


def _joined(*clouds: Cloud) -> Cloud:
    """All points of the clouds, without stored spacing: it is not the joined cloud's."""
    parts = ("points", "colors", "normals")
    return Cloud(*(np.concatenate([getattr(cloud, part) for cloud in clouds]) for part in parts))
