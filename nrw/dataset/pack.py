"""Packing the aligned pictures into the training set that `dataset.packed` reads."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import atomic_path, read_csv, read_image, write_json
from nrw.core.limits import SIDE_MULTIPLE
from nrw.core.progress import in_threads, progress
from nrw.dataset.packed import (
    COLOR,
    DEPTH,
    FORMAT,
    INDEX,
    LABELS,
    LIGHTING,
    PHOTO,
    POINTS,
    camera_of,
    dtype_of,
)
from nrw.dataset.split import read_split
from nrw.framebuffers.aligned import POSE_FIELDS
from nrw.framebuffers.rasters import buffer_paths
from nrw.geometry.pointcloud import stream_points
from nrw.geometry.rasterize import DeepBuffer, color_pyramid, pyramid, shade


def pack(
    aligned_dir: Path | str,
    framebuffers_dir: Path | str | None,
    split_csv: Path | str,
    out_dir: Path | str,
    *,
    levels: int,
    splat: int,
    transient: Iterable[str] = (),
    sky: Iterable[str] = (),
    colors_npy: Path | str | None = None,
    cloud_ply: Path | str | None = None,
    lighting_npy: Path | str | None = None,
    threads: int = 1,
) -> None:
    """Write the packed set of the photos that split.csv sends to training or validation, `threads` photos at a time.

    aligned_dir: index.csv with the cameras, `<id>_reference.png`, `<id>_color.png` and, where there are labels,
      `<id>_seg.png`.
    framebuffers_dir, colors_npy: `<id>_index.npy`, `_depth.npy` and `_reach.npy` (rasters with points of one pixel), of
      which every level is made with points of `splat` pixels, and the points' colours (N, 3) uint8. None: the set was
      imported, and its levels are made from `<id>_depth.png`, whose points have their size already (`splat` is not
      used): a coarse pixel has the depth of the nearest of the pixels it covers.
      The colours are those of `<id>_color.png`; a coarse pixel has the mean of the surface that it shows.
    cloud_ply, lighting_npy: the cloud and its points' lighting (N, K) uint8 (`framebuffers.lighting`), if any.
    transient, sky: ADE20K names.

    Raises UserError where files are missing or disagree in size, or a class name is unknown.
    """
    aligned_dir = Path(aligned_dir)
    chosen = {photo: where for photo, where in read_split(split_csv).items() if where in ("train", "val")}
    labelled = _check_labels(aligned_dir, chosen)
    transient, sky = ade20k.labels_of(transient), ade20k.labels_of(sky)
    colors = None if framebuffers_dir is None else _load(Path(colors_npy), mmap_mode="r")
    n_points = 0 if colors is None else len(colors)
    lighting = None if lighting_npy is None else _load(Path(lighting_npy), mmap_mode="r")
    if lighting is not None and len(lighting) != n_points:
        raise UserError(
            f"{lighting_npy} is of {len(lighting)} points, {colors_npy} of {n_points}: they are of different clouds; "
            "delete the framebuffers folder and run again."
        )
    cameras = _cameras(aligned_dir / "index.csv")

    def arrays_of(photo: str) -> dict[str, np.ndarray]:
        """What the photo adds to each file."""
        reference = _image(aligned_dir / f"{photo}_reference.png", (3,))
        height, width = reference.shape[:2]
        if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
            raise UserError(
                f"{aligned_dir / photo}_reference.png is {width}x{height}: its sides must be multiples of "
                f"{SIDE_MULTIPLE}."
            )
        labels = np.zeros((height, width), np.uint8)
        if labelled:
            labels = _image(aligned_dir / f"{photo}_seg.png", (), like=reference)
        if photo not in cameras:
            raise UserError(f"Photo {photo} is in {split_csv} but not in {aligned_dir}/index.csv; make both again.")
        picture = _image(aligned_dir / f"{photo}_color.png", (3, 4), like=reference)[..., :3]
        if colors is None:
            buffers = _imported_levels(aligned_dir, photo, picture, levels)
        else:
            raster = _raster(Path(framebuffers_dir), photo, (height, width), n_points)
            if lighting is not None:
                points, camera = stream_points(cloud_ply), camera_of(cameras[photo])
                picture = np.dstack([picture, shade(points, lighting, camera, raster, splat)])
            buffers = _levels_of(raster, picture, levels, splat)
        arrays = {PHOTO: reference, LABELS: labels}
        for level, (picture, buffer) in enumerate(buffers):
            arrays |= {COLOR.format(level): picture[..., :3], DEPTH.format(level): buffer.depth}
            if colors is not None:
                arrays[INDEX.format(level)] = buffer.index
            if lighting is not None:
                arrays[LIGHTING.format(level)] = picture[..., 3:]
        return arrays

    depths = DepthPercentiles()
    class_pixels = np.zeros(256, np.int64)
    photos, files = [], {}
    with atomic_path(out_dir) as folder, ExitStack() as stack:
        folder.mkdir(parents=True)
        for photo, arrays in progress(in_threads(arrays_of, list(chosen), threads), len(chosen), "packing"):
            for name, array in arrays.items():
                if name not in files:
                    files[name] = stack.enter_context(open(folder / name, "wb"))
                files[name].write(np.ascontiguousarray(array, dtype_of(name)).data)
            if chosen[photo] == "train":
                depths.add(arrays[DEPTH.format(0)])
                class_pixels += np.bincount(arrays[LABELS].ravel(), minlength=256)
            height, width = arrays[LABELS].shape
            record = {"id": photo, "split": chosen[photo], "height": height, "width": width, "camera": cameras[photo]}
            photos.append(record)

        if lighting is not None:
            np.ascontiguousarray(lighting).tofile(folder / POINTS)
        near, far = depths.percentiles(1, 99)
        shown = {int(label) for label in class_pixels.nonzero()[0]} - transient - {0}
        meta = {
            "format": FORMAT,
            "levels": levels,
            "splat": splat if colors is not None else 1,
            "near": near,
            "far": far,
            "classes": sorted({int(ade20k.GROUPS[label]) for label in shown}),
            "transient": sorted(transient),
            "sky": sorted(sky),
            "has_index": colors is not None,
            "n_points": n_points,
            "lighting": 0 if lighting is None else lighting.shape[1],
            "photos": photos,
        }
        write_json(folder / "dataset.json", meta)


class DepthPercentiles:
    """Percentiles of positive float32 depths that stream by, to a part in a thousand, in fixed memory.

    Positive floats order as their bits do, so the leading bits of a float are a bin of a logarithmic histogram: 8 bits
    of exponent and 10 of mantissa, bins of 0.1 % of the depth.
    """

    _DROPPED_BITS = 13

    def __init__(self) -> None:
        self.counts = np.zeros(1 << (31 - self._DROPPED_BITS), np.int64)

    def add(self, depth: np.ndarray) -> None:
        """Count the positive ones of depths of any shape."""
        bits = np.ascontiguousarray(depth[depth > 0], np.float32).view(np.uint32) >> self._DROPPED_BITS
        self.counts += np.bincount(bits, minlength=len(self.counts))

    def percentiles(self, *percents: float) -> list[float]:
        """The depths below which these shares, in percent, of those counted lie; UserError where none was counted."""
        cumulative = np.cumsum(self.counts)
        if cumulative[-1] == 0:
            raise UserError(
                "No training photo shows a point of the cloud: every depth is 0. Look at the aligned pictures."
            )
        bins = np.searchsorted(cumulative, np.array(percents) / 100 * cumulative[-1])
        middles = (bins.astype(np.uint32) << self._DROPPED_BITS) | (1 << (self._DROPPED_BITS - 1))
        return [float(value) for value in middles.astype(np.uint32).view(np.float32)]


def _raster(folder: Path, photo: str, size: tuple[int, int], n_points: int) -> DeepBuffer:
    """What a photo of a (height, width) shows of a cloud of n_points. Raises UserError where it is of another run."""
    files = buffer_paths(folder, photo)
    raster = DeepBuffer(*map(_load, files))
    for file, array in zip(files, (raster.index, raster.depth, raster.reach), strict=True):
        if array.shape != size:
            raise UserError(
                f"{file} has shape {array.shape}, its photo {size}: they are of "
                "different runs; delete the framebuffers folder and run again."
            )
    if raster.index.max(initial=-1) >= n_points:
        raise UserError(
            f"{files[0]} names point {raster.index.max()}, but colors.npy has {n_points} points: "
            "they are of different clouds; delete the framebuffers folder and run again."
        )
    return raster


def _levels_of(
    raster: DeepBuffer, picture: np.ndarray, levels: int, splat: int
) -> Iterator[tuple[np.ndarray, DeepBuffer]]:
    """Picture (h, w, C) uint8 and buffer of each level, from those at full size."""
    buffers = pyramid(raster, levels, splat)
    return zip(color_pyramid(picture, buffers, splat), buffers, strict=True)


def _imported_levels(
    aligned_dir: Path, photo: str, color: np.ndarray, levels: int
) -> Iterator[tuple[np.ndarray, DeepBuffer]]:
    """Colour (h, w, 3) uint8 and buffer of each level, from aligned PNGs: the pixels of the render are the points."""
    depth = _image(aligned_dir / f"{photo}_depth.png", (), np.uint16, like=color).astype(np.float32)
    index = np.where(depth > 0, np.arange(depth.size, dtype=np.int32).reshape(depth.shape), -1).astype(np.int32)
    return _levels_of(DeepBuffer(index, depth), color, levels, splat=1)


def _cameras(index_csv: Path) -> dict[str, dict | None]:
    """The fields of each photo's Camera, in terms of JSON; None for photos of sets that came without cameras."""
    cameras = {}
    for row in read_csv(index_csv):
        record = {name: int(row[name]) for name in ("width", "height")}
        if row["fx"]:
            record |= {name: float(row[name]) for name in ("fx", "fy", "cx", "cy")}
            record["cam_from_world"] = np.array([float(row[name]) for name in POSE_FIELDS]).reshape(3, 4).tolist()
        cameras[row["id"]] = record if row["fx"] else None
    return cameras


def _check_labels(aligned_dir: Path, photos: Iterable[str]) -> bool:
    """Whether the set has label maps. Raises UserError where only some photos have one."""
    missing = [photo for photo in photos if not (aligned_dir / f"{photo}_seg.png").is_file()]
    if missing and len(missing) < len(list(photos)):
        raise UserError(
            f"{aligned_dir} has label maps for some photos only; missing: "
            f"{', '.join(f'{photo}_seg.png' for photo in missing)}. Run the segmentation again, or set "
            "segmentation.model to none and compose the set anew."
        )
    return not missing


def _image(path: Path, channels: tuple[int, ...], dtype: type = np.uint8, like: np.ndarray | None = None) -> np.ndarray:
    """An aligned PNG of a given dtype: (H, W) where `channels` is empty, else (H, W, one of channels).

    Raises UserError where it is missing, unreadable, of another type, or not of the size of `like`.
    """
    try:
        pixels = read_image(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; make the aligned set again.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); make the aligned set again.") from error
    if pixels.dtype != dtype or pixels.shape[2:] not in ([(count,) for count in channels] or [()]):
        kind = "x".join(map(str, pixels.shape[2:])) or "1"
        raise UserError(
            f"{path} has {kind} channels of {pixels.dtype}, expected {' or '.join(map(str, channels)) or '1'} of "
            f"{np.dtype(dtype)}; make the aligned set again."
        )
    if like is not None and pixels.shape[:2] != like.shape[:2]:
        raise UserError(
            f"{path} is {pixels.shape[1]}x{pixels.shape[0]}, its photo {like.shape[1]}x{like.shape[0]}; make the "
            "aligned set again."
        )
    return pixels


def _load(path: Path, mmap_mode: str | None = None) -> np.ndarray:
    """An array of the framebuffers. Raises UserError where it is missing or damaged."""
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete the framebuffers folder and run again.") from error
