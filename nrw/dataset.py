"""The training set: which photos are in it, and its packed form, raw arrays that are read by memory map.

A packed set is a folder of headerless little-endian files, one for each kind of array, each holding the photos one
after the other in the order of dataset.json: photo.u8 and labels.u8, and for each level l of the deep buffer
color_l.u8, depth_l.f32 and, only where the set comes from a point cloud, index_l.i32 and lighting_l.u8 (where the cloud
has lighting; points.u8 then holds that of all points). Nothing is decoded when it is read, the operating system caches
what is used, and any number of readers share that cache.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nrw import ade20k
from nrw.cameras import Camera
from nrw.errors import UserError
from nrw.framebuffers import POSE_FIELDS, buffer_paths
from nrw.io import atomic_path, read_csv, read_image, read_json, write_csv, write_json
from nrw.log import progress
from nrw.pointcloud import stream_points
from nrw.rasterize import DeepBuffer, color_pyramid, pyramid, shade
from nrw.threads import in_threads

FORMAT = 2  # of dataset.json and the raw files
SIZE_MULTIPLE = 8  # of the sides of every picture
MIN_PHOTOS = 3
SPLIT_FIELDS = ("id", "density", "split", "reason")

_PHOTO, _LABELS, _COLOR, _DEPTH, _INDEX = "photo.u8", "labels.u8", "color_{}.u8", "depth_{}.f32", "index_{}.i32"
_LIGHTING, _POINTS = "lighting_{}.u8", "points.u8"


def split(
    densities: Mapping[str, float], *, min_density: float, validation_share: float, min_validation: int, seed: int
) -> list[dict[str, object]]:
    """Choose at random which photos train and which validate, and drop those whose render is sparse.

    densities: share of the pixels that show a point, by photo id; photos at or below `min_density` are dropped.
    Validation takes `validation_share` of the rest, at least `min_validation` photos, but never more than half.
    The choice depends on the seed and on the set of usable ids alone. Returns a row of SPLIT_FIELDS for each id, in
    order of id; `split` is train, val or dropped.
    Raises UserError when fewer than 3 photos are usable.
    """
    usable = sorted(photo for photo, density in densities.items() if density > min_density)
    if len(usable) < MIN_PHOTOS:
        listed = ", ".join(f"{photo}: {density:.3f}" for photo, density in sorted(densities.items()))
        raise UserError(
            f"Only {len(usable)} of {len(densities)} photos have a render that covers more than {min_density:g} of the "
            f"picture; at least {MIN_PHOTOS} are needed. Densities: {listed or 'none'}. Make the cloud denser (more "
            "photos, mvs.max_size, a smaller mvs.min_views or mvs.voxel_size), its points larger (framebuffers.splat), "
            "or lower dataset.min_density."
        )
    count = min(max(min_validation, round(validation_share * len(usable))), len(usable) // 2)
    validation = set(np.random.default_rng(seed).permutation(usable)[:count].tolist())
    rows = []
    for photo, density in sorted(densities.items()):
        dropped = density <= min_density
        rows.append(
            {
                "id": photo,
                "density": round(float(density), 4),
                "split": "dropped" if dropped else "val" if photo in validation else "train",
                "reason": f"density is not above {min_density:g}" if dropped else "",
            }
        )
    return rows


def write_split(path: Path | str, rows: Iterable[Mapping[str, object]]) -> None:
    """Write the rows of `split` as CSV."""
    write_csv(path, rows, SPLIT_FIELDS)


def read_split(path: Path | str) -> dict[str, str]:
    """train, val or dropped, by photo id, in order of id."""
    return {row["id"]: row["split"] for row in sorted(read_csv(path), key=lambda row: row["id"])}


@dataclass(frozen=True)
class View:
    """One photo with its deep buffer; read-only arrays over the packed files, nothing copied.

    photo: (H, W, 3) uint8. labels: (H, W) uint8, ADE20K 1–150, 0 = unknown. H and W are multiples of 8.
    color, depth, index: a list with one array for each level l, of size h = ceil(H / 2^l), w = ceil(W / 2^l):
    (h, w, 3) uint8, 0 where no point is seen; (h, w) float32, z in the camera, 0 = none; (h, w) int32 point index,
    -1 = none. index is None where the set has no point cloud. lighting: the same of (h, w, K) uint8 (`nrw.lighting`),
    means of the points, 0 where no point is seen; None where the cloud has none.
    camera: of the full size; None where unknown.
    """

    id: str
    photo: np.ndarray
    labels: np.ndarray
    color: list[np.ndarray]
    depth: list[np.ndarray]
    index: list[np.ndarray] | None
    camera: Camera | None
    lighting: list[np.ndarray] | None = None


class PackedDataset:
    """A packed set, opened by memory map; cheap to open, cheap to send to another process.

    meta: what dataset.json holds beside the photos:
      levels: number of levels. splat: diameter of a point, pixels, in each level.
      near, far: 1st and 99th percentile of the positive depths of the training photos.
      classes: sorted indices of the 29 groups (nrw.ade20k) that the training photos show beside transient and unknown
        pixels; empty where there are no labels. transient, sky: sorted ADE20K labels 1–150.
      has_index: whether views have point indices. n_points: points of the cloud, 0 where there is none. lighting:
        numbers of each point's lighting, 0 where there is none.
    ids: all photos in order; split: train or val by id. point_lighting: (n_points, lighting) uint8, or None.

    Raises UserError where the folder is missing, damaged or of another format.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.meta, photos = _read_meta(self.path)
        self.ids: list[str] = [photo["id"] for photo in photos]
        self.split: dict[str, str] = {photo["id"]: photo["split"] for photo in photos}
        self._photos = {photo["id"]: photo for photo in photos}
        levels = range(self.meta["levels"])
        self._photo, self._labels = self._open(_PHOTO, 0, 3), self._open(_LABELS, 0)
        self._color = [self._open(_COLOR.format(level), level, 3) for level in levels]
        self._depth = [self._open(_DEPTH.format(level), level) for level in levels]
        self._index = [self._open(_INDEX.format(level), level) for level in levels] if self.meta["has_index"] else None
        channels = self.meta["lighting"]
        self._lighting = (
            [self._open(_LIGHTING.format(level), level, channels) for level in levels] if channels else None
        )
        self.point_lighting = None
        if channels:
            self.point_lighting = self._map(_POINTS, self.meta["n_points"] * channels).reshape(-1, channels)

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple:
        return PackedDataset, (self.path,)  # another process maps the files itself, rather than receive their contents

    @property
    def train_ids(self) -> list[str]:
        return [photo for photo in self.ids if self.split[photo] == "train"]

    @property
    def val_ids(self) -> list[str]:
        return [photo for photo in self.ids if self.split[photo] == "val"]

    def view(self, photo_id: str) -> View:
        """The arrays of one photo, over the mapped files. Raises KeyError for an id that is not in the set."""
        camera = self._photos[photo_id]["camera"]
        return View(
            photo_id,
            self._photo[photo_id],
            self._labels[photo_id],
            [level[photo_id] for level in self._color],
            [level[photo_id] for level in self._depth],
            [level[photo_id] for level in self._index] if self._index is not None else None,
            camera and _camera(camera),
            [level[photo_id] for level in self._lighting] if self._lighting is not None else None,
        )

    def _open(self, name: str, level: int, channels: int = 0) -> dict[str, np.ndarray]:
        """The arrays of one file by photo id, (h, w) or (h, w, channels)."""
        shapes = {
            photo: (*level_size(info["height"], info["width"], level), *([channels] if channels else []))
            for photo, info in self._photos.items()
        }
        data = self._map(name, sum(int(np.prod(shape)) for shape in shapes.values()))
        arrays, offset = {}, 0
        for photo, shape in shapes.items():
            count = int(np.prod(shape))
            arrays[photo] = data[offset : offset + count].reshape(shape)
            offset += count
        return arrays

    def _map(self, name: str, count: int) -> np.ndarray:
        """The `count` numbers of a file."""
        dtype, file = _dtype(name), self.path / name
        found = file.stat().st_size if file.is_file() else None
        if found != count * dtype.itemsize:
            state = "is missing" if found is None else f"has {found} bytes instead of {count * dtype.itemsize}"
            raise _damaged(self.path, f"{name} {state}")
        return np.memmap(file, dtype, mode="r")


def level_size(height: int, width: int, level: int) -> tuple[int, int]:
    """(h, w) of a level of the deep buffer of a picture of (height, width)."""
    return -(-height // 2**level), -(-width // 2**level)


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
    cloud_ply, lighting_npy: the cloud and its points' lighting (N, K) uint8 (`nrw.lighting`); None: there is none.
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
        if height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
            raise UserError(
                f"{aligned_dir / photo}_reference.png is {width}x{height}: its sides must be multiples of "
                f"{SIZE_MULTIPLE}."
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
                points, camera = stream_points(cloud_ply), _camera(cameras[photo])
                picture = np.dstack([picture, shade(points, lighting, camera, raster, splat)])
            buffers = _levels_of(raster, picture, levels, splat)
        arrays = {_PHOTO: reference, _LABELS: labels}
        for level, (picture, buffer) in enumerate(buffers):
            arrays |= {_COLOR.format(level): picture[..., :3], _DEPTH.format(level): buffer.depth}
            if colors is not None:
                arrays[_INDEX.format(level)] = buffer.index
            if lighting is not None:
                arrays[_LIGHTING.format(level)] = picture[..., 3:]
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
                files[name].write(np.ascontiguousarray(array, _dtype(name)).data)
            if chosen[photo] == "train":
                depths.add(arrays[_DEPTH.format(0)])
                class_pixels += np.bincount(arrays[_LABELS].ravel(), minlength=256)
            height, width = arrays[_LABELS].shape
            record = {"id": photo, "split": chosen[photo], "height": height, "width": width, "camera": cameras[photo]}
            photos.append(record)

        if lighting is not None:
            np.ascontiguousarray(lighting).tofile(folder / _POINTS)
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


def _camera(record: Mapping) -> Camera:
    """The camera of a record of `_cameras`."""
    return Camera(**{**record, "cam_from_world": np.array(record["cam_from_world"])})


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


def _dtype(name: str) -> np.dtype:
    """The dtype that a raw file's suffix stands for."""
    return np.dtype({"u8": "u1", "f32": "<f4", "i32": "<i4"}[name.rpartition(".")[2]])


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


def _read_meta(path: Path) -> tuple[dict, list[dict]]:
    """dataset.json: its photos, and the rest."""
    try:
        meta = read_json(path / "dataset.json")
    except FileNotFoundError:
        raise UserError(f"{path} is not a packed data set: it has no dataset.json. Run the dataset stage.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, f"dataset.json is not JSON: {error}") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise _damaged(path, f"dataset.json is not of format {FORMAT}")
    return meta, meta.pop("photos")


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"The data set {path} is damaged or of another version: {what}. Delete the folder and run again.")
