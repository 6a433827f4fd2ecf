"""What every photo's camera sees of the cloud, and the aligned images made from it.

Two steps, because the colours of the points come between them: `rasterize_photos` finds the visible point of each
pixel, `recolor` gives the points their colours, `compose` writes the aligned images that the 2019 release reads.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from nrw.core import ade20k
from nrw.core.io import read_csv, write_csv, write_image
from nrw.core.pieces import pending
from nrw.core.progress import progress
from nrw.framebuffers.rasters import buffer_paths, load_buffer
from nrw.framebuffers.undistorted import read_labels, read_photo
from nrw.geometry.cameras import read_cameras
from nrw.geometry.pointcloud import stream_points
from nrw.geometry.rasterize import pyramid, shade

ALIGNED_KINDS = ("reference", "color", "depth", "seg", "seg_rgb")
POSE_FIELDS = tuple(f"cam_from_world_{row}{column}" for row in range(3) for column in range(4))
INDEX_FIELDS = ("id", "file", "width", "height", "density", "max_depth", "fx", "fy", "cx", "cy", *POSE_FIELDS)


def aligned_paths(aligned_dir: Path, photo: str) -> dict[str, Path]:
    """Where a photo's aligned images are, by kind."""
    return {kind: aligned_dir / f"{photo}_{kind}.png" for kind in ALIGNED_KINDS}


def compose(
    cloud_ply: Path,
    framebuffers_dir: Path,
    mvs_dir: Path,
    segmentation_dir: Path | None,
    colors_npy: Path,
    aligned_dir: Path,
    ids: Sequence[str],
    key_file: Path,
    *,
    splat: int,
    max_depth: float,
) -> None:
    """Write the aligned images of a chunk of photos, all of the size of the photo's framebuffer.

    reference: the photo. color: RGBA of the splatted points in the colours of `colors_npy`, anti-aliased, alpha 255
    where there is one, else all 0. depth: uint16, `png / 65535 * max_depth` is z in the camera in world units, 0 =
    none; `max_depth` is the largest of all photos' reports, one scale for the set. seg: uint8 ADE20K labels, 0 =
    unknown. seg_rgb: the same in the palette's colours.
    Photos that are done are skipped (`core.pieces`; `key_file` belongs to this chunk).
    """
    fingerprint = {
        "cloud": cloud_ply,
        "cameras": mvs_dir / "sparse",
        "buffers": [path for photo in ids for path in buffer_paths(framebuffers_dir, photo)],
        "photos": [mvs_dir / "images" / f"{photo}.jpg" for photo in ids],
        "labels": [segmentation_dir / f"{photo}.png" for photo in ids] if segmentation_dir is not None else None,
        "colors": colors_npy,
        "splat": splat,
        "max_depth": max_depth,
    }
    colors = np.load(colors_npy, mmap_mode="r", allow_pickle=False)  # (N, 3) uint8
    cameras = read_cameras(mvs_dir / "sparse")
    todo = pending(ids, key_file, fingerprint, lambda photo: list(aligned_paths(aligned_dir, photo).values()))
    for photo in progress(todo, len(todo), "aligned images"):
        raster = load_buffer(framebuffers_dir, photo)
        buffer = pyramid(raster, levels=1, splat=splat)[0]
        height, width = buffer.index.shape
        color = shade(stream_points(cloud_ply), colors, cameras[photo].resized(width, height), raster, splat)
        labels = read_labels(segmentation_dir, photo, width, height)
        images = {
            "reference": read_photo(mvs_dir, photo, width, height),
            "color": np.dstack([color, np.where(buffer.hit, 255, 0).astype(np.uint8)]),
            "depth": encode_depth(buffer.depth, max_depth),
            "seg": labels,
            "seg_rgb": ade20k.colorize(labels),
        }
        for kind, path in aligned_paths(aligned_dir, photo).items():
            write_image(path, images[kind])


def encode_depth(depth: np.ndarray, max_depth: float) -> np.ndarray:
    """uint16 of a depth map (H, W), linear up to `max_depth`, within half a step of 1/65535; only 0 becomes 0."""
    steps = np.rint(depth * (65535 / max_depth)) if max_depth > 0 else depth
    return np.where(depth > 0, np.clip(steps, 1, 65535), 0).astype(np.uint16)


def decode_depth(png: np.ndarray, max_depth: float) -> np.ndarray:
    """(H, W) float32 depth in world units of a uint16 depth image; 0 = none."""
    return png * np.float32(max_depth / 65535)


def write_index(
    aligned_dir: Path, mvs_dir: Path, photos_csv: Path, reports: Iterable[Mapping[str, object]], *, max_depth: float
) -> None:
    """Gather `aligned/index.csv`, a row per photo in order of id.

    file: the user's photo, relative to the photo folder. width, height: of the aligned images; fx, fy, cx, cy: their
    calibration, pixels. density: share of pixels with a point. max_depth: depth of value 65535 in the depth images,
    the same in every row. cam_from_world_RC: row R, column C of the 3x4 pose.
    """
    files = {row["id"]: row["file"] for row in read_csv(photos_csv) if row["id"]}
    cameras = read_cameras(mvs_dir / "sparse")
    rows = []
    for report in sorted(reports, key=lambda report: report["id"]):
        camera = cameras[report["id"]].resized(report["width"], report["height"])
        rows.append(
            {
                **{name: report[name] for name in ("id", "width", "height", "density")},
                "file": files[report["id"]],
                "max_depth": max_depth,
                **{name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy")},
                **dict(zip(POSE_FIELDS, camera.cam_from_world.ravel().tolist(), strict=True)),
            }
        )
    write_csv(aligned_dir / "index.csv", rows, INDEX_FIELDS)
