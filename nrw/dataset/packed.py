"""The packed training set: raw arrays that are read by memory map.

A packed set is a folder of headerless little-endian files, one for each kind of array, each holding the photos one
after the other in the order of dataset.json: photo.u8 and labels.u8, and for each level l of the deep buffer
color_l.u8, depth_l.f32, coverage_l.u8 and, only where the set comes from a point cloud, index_l.i32 and lighting_l.u8
(where the cloud has lighting; points.u8 then holds that of all points). Nothing is decoded when it is read, the
operating system caches what is used, and any number of readers share that cache.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nrw.core.errors import UserError
from nrw.core.io import read_json
from nrw.geometry.cameras import Camera

Array = Any  # a NumPy array or a tensor
FORMAT = 3  # of dataset.json and the raw files

PHOTO, LABELS, COLOR, DEPTH, INDEX = "photo.u8", "labels.u8", "color_{}.u8", "depth_{}.f32", "index_{}.i32"
DETAIL_CHANNELS = 5
COVERAGE, LIGHTING, POINTS = "coverage_{}.u8", "lighting_{}.u8", "points.u8"


@dataclass(frozen=True)
class View:
    """One photo with its deep buffer; read-only arrays over the packed files, nothing copied, or tensors (`to`).

    pixels: (H, W, 3) uint8, of the photo. labels: (H, W) uint8, ADE20K 1–150, 0 = unknown. H and W are multiples of 8.
    color, depth, index: a list with one array for each level l, of size h = ceil(H / 2^l), w = ceil(W / 2^l):
    (h, w, 3) uint8, 0 where no point is seen; (h, w) float32, z in the camera, 0 = none; (h, w) int32 point index,
    -1 = none. index is None where the set has no point cloud. coverage: the same of (h, w) uint8, the share of the
    pixel that shows the cloud, times 255. lighting: the same of (h, w, K) uint8, means of the points, 0 where no point
    is seen; None where the cloud has none.
    camera: of the full size; None where unknown. detail: (H, W, 5) uint8, of other photos that show the same
    (`models.inputs.encode_detail`); None where the set was opened without.
    The arrays of a view that was drawn, not packed, are tensors on the device that drew them.
    """

    id: str
    pixels: Array
    labels: Array
    color: list[Array]
    depth: list[Array]
    index: list[Array] | None
    coverage: list[Array]
    camera: Camera | None
    lighting: list[Array] | None = None
    detail: Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.labels.shape
        return height, width

    @property
    def device(self) -> torch.device:
        """Where its tensors are; the CPU for arrays."""
        depth = self.depth[0]
        return depth.device if isinstance(depth, Tensor) else torch.device("cpu")

    def to(self, device: torch.device) -> "View":
        """The view as tensors on a device. A copy to a GPU does not wait for it."""
        return replace(self, **{name: _moved(getattr(self, name), device) for name in ARRAYS})


ARRAYS = ("pixels", "labels", "color", "depth", "index", "coverage", "lighting", "detail")  # of a view


class PackedDataset:
    """A packed set, opened by memory map; cheap to open, cheap to send to another process.

    meta: what dataset.json holds beside the photos:
      levels: number of levels. scale: how many times larger than the finest level the scene's pictures are drawn.
        splat: diameter of a loose point in these, pixels.
      near, far: 1st and 99th percentile of the positive depths of the training photos.
      classes: sorted indices of the 29 groups (`core.ade20k`) that the training photos show beside transient and
        unknown pixels; empty where there are no labels. transient, sky: sorted ADE20K labels 1–150.
      has_index: whether views have point indices. n_points: points of the cloud, 0 where there is none. lighting:
        numbers of each point's lighting, 0 where there is none.
    ids: all photos in order; split: train or val by id. point_lighting: (n_points, lighting) uint8, or None.

    detail: the file of the photos' detail, (H, W, 5) uint8 one after the other (`detail.training`), if any.

    Raises UserError where the folder is missing, damaged or of another format.
    """

    def __init__(self, path: Path | str, detail: Path | str | None = None) -> None:
        self.path, self.detail = Path(path), None if detail is None else Path(detail).absolute()
        self.meta, photos = _read_meta(self.path)
        self.ids: list[str] = [photo["id"] for photo in photos]
        self.split: dict[str, str] = {photo["id"]: photo["split"] for photo in photos}
        self._photos = {photo["id"]: photo for photo in photos}
        levels = range(self.meta["levels"])
        self._photo, self._labels = self._open(PHOTO, 0, 3), self._open(LABELS, 0)
        self._color = [self._open(COLOR.format(level), level, 3) for level in levels]
        self._depth = [self._open(DEPTH.format(level), level) for level in levels]
        self._index = [self._open(INDEX.format(level), level) for level in levels] if self.meta["has_index"] else None
        self._coverage = [self._open(COVERAGE.format(level), level) for level in levels]
        self._detail = None if self.detail is None else self._open(self.detail, 0, DETAIL_CHANNELS)
        channels = self.meta["lighting"]
        self._lighting = [self._open(LIGHTING.format(level), level, channels) for level in levels] if channels else None
        self.point_lighting = None
        if channels:
            self.point_lighting = self._map(POINTS, self.meta["n_points"] * channels).reshape(-1, channels)

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple:
        return PackedDataset, (self.path, self.detail)  # another process maps the files itself

    @property
    def train_ids(self) -> list[str]:
        return [photo_id for photo_id in self.ids if self.split[photo_id] == "train"]

    @property
    def val_ids(self) -> list[str]:
        return [photo_id for photo_id in self.ids if self.split[photo_id] == "val"]

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
            [level[photo_id] for level in self._coverage],
            camera and camera_of(camera),
            [level[photo_id] for level in self._lighting] if self._lighting is not None else None,
            self._detail[photo_id] if self._detail is not None else None,
        )

    def reader(self, device: torch.device) -> Callable[[str], View]:
        """How training reads photos, by id: a GPU keeps all of them if half of its free memory holds them.

        Else each is copied there when it is read, without waiting for it. On the CPU it is `view`.
        """
        if device.type == "cpu":
            return self.view
        size = sum(array.nbytes for photo_id in self.ids for array in _arrays_of(self.view(photo_id)))
        if size > torch.cuda.mem_get_info(device)[0] / 2:
            return lambda photo_id: self.view(photo_id).to(device)
        return {photo_id: self.view(photo_id).to(device) for photo_id in self.ids}.__getitem__

    def _open(self, name: str | Path, level: int, channels: int = 0) -> dict[str, np.ndarray]:
        """The arrays of one file, in the set's folder or anywhere, by photo id: (h, w) or (h, w, channels)."""
        shapes = {
            photo_id: (*level_size(info["height"], info["width"], level), *([channels] if channels else []))
            for photo_id, info in self._photos.items()
        }
        data = self._map(name, sum(int(np.prod(shape)) for shape in shapes.values()))
        arrays, offset = {}, 0
        for photo_id, shape in shapes.items():
            count = int(np.prod(shape))
            arrays[photo_id] = data[offset : offset + count].reshape(shape)
            offset += count
        return arrays

    def _map(self, name: str | Path, count: int) -> np.ndarray:
        """The `count` numbers of a file."""
        dtype, file = dtype_of(str(name)), self.path / name
        found = file.stat().st_size if file.is_file() else None
        if found != count * dtype.itemsize:
            state = "is missing" if found is None else f"has {found} bytes instead of {count * dtype.itemsize}"
            raise _damaged(self.path, f"{name} {state}")
        return np.memmap(file, dtype, mode="r")


def _arrays_of(view: View) -> list[np.ndarray]:
    """All arrays of a view, those of each level apart."""
    values = [getattr(view, name) for name in ARRAYS]
    return [array for value in values for array in (value if isinstance(value, list) else [value]) if array is not None]


def _moved(values: Array | list[Array] | None, device: torch.device) -> Any:
    """An array, a tensor, or a list of them, as tensors on a device."""
    if values is None:
        return None
    if isinstance(values, list):
        return [_moved(value, device) for value in values]
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def level_size(height: int, width: int, level: int) -> tuple[int, int]:
    """(h, w) of a level of the deep buffer of a picture of (height, width)."""
    return -(-height // 2**level), -(-width // 2**level)


def known_camera(view: View) -> Camera:
    """The camera of a view. Raises UserError where it is unknown."""
    if view.camera is None:
        raise UserError(f"photo {view.id} has no camera (sets in the 2019 format have none)")
    return view.camera


def camera_of(record: Mapping) -> Camera:
    """The camera of a record of `_cameras`."""
    return Camera(**{**record, "cam_from_world": np.array(record["cam_from_world"])})


def dtype_of(name: str) -> np.dtype:
    """The dtype that a raw file's suffix stands for."""
    return np.dtype({"u8": "u1", "f32": "<f4", "i32": "<i4"}[name.rpartition(".")[2]])


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
