"""Packing the aligned pictures into the training set that `dataset.packed` reads."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import torch

from nrw.core import ade20k
from nrw.core.errors import UserError, of_machine
from nrw.core.io import atomic_path, read_csv, read_image, write_json
from nrw.core.limits import SIDE_MULTIPLE
from nrw.core.progress import in_threads, progress
from nrw.dataset.packed import (
    COLOR,
    COVERAGE,
    DEPTH,
    FORMAT,
    INDEX,
    LABELS,
    LIGHTING,
    PHOTO,
    POINTS,
    dtype_of,
)
from nrw.dataset.split import read_split
from nrw.framebuffers.aligned import POSE_FIELDS
from nrw.framebuffers.levels import Level, level_path, load_level, pyramid


def pack_dataset(
    aligned_dir: Path | str,
    framebuffers_dir: Path | str | None,
    split_csv: Path | str,
    out_dir: Path | str,
    *,
    levels: int,
    scale: int = 1,
    splat: int = 1,
    transient: Iterable[str] = (),
    sky: Iterable[str] = (),
    colors_npy: Path | str | None = None,
    lighting_npy: Path | str | None = None,
    threads: int = 1,
) -> None:
    """Write the packed set of the photos that split.csv sends to training or validation, `threads` photos at a time.

    aligned_dir: index.csv with the cameras, `<id>_reference.png`, `<id>_color.png` and, where there are labels,
      `<id>_seg.png`.
    framebuffers_dir, colors_npy: `<id>_level.npz` (`framebuffers.levels`), and the points' colors (N, 3) uint8. None:
      the set was imported, and its finest level is `<id>_color.png` with `<id>_depth.png`.
    lighting_npy: the points' lighting (N, K) uint8 (`framebuffers.lighting`), if any.
    scale, splat: how many times larger than the finest level the pictures of the scene are drawn, and the diameter of a
      loose point in them, pixels.
    transient, sky: ADE20K names.

    Raises UserError where files are missing or disagree in size, or a class name is unknown.
    """
    aligned_dir = Path(aligned_dir)
    chosen = {photo_id: part for photo_id, part in read_split(split_csv).items() if part in ("train", "val")}
    transient_labels, sky_labels = ade20k.labels_of(transient), ade20k.labels_of(sky)
    lighting = None if lighting_npy is None else _load(Path(lighting_npy), mmap_mode="r")
    n_points = 0
    if framebuffers_dir is not None:
        assert colors_npy is not None  # the two come together
        n_points = len(_load(Path(colors_npy), mmap_mode="r"))
    if lighting is not None and len(lighting) != n_points:
        raise UserError(
            f"{lighting_npy} is of {len(lighting)} points, {colors_npy} of {n_points}: they are of different clouds; "
            "delete the framebuffers folder and run again."
        )
    source = _Source(
        aligned_dir,
        None if framebuffers_dir is None else Path(framebuffers_dir),
        Path(split_csv),
        _cameras(aligned_dir / "index.csv"),
        _check_labels(aligned_dir, chosen),
        n_points,
        lighting is not None,
        levels,
    )
    with atomic_path(out_dir) as folder:
        folder.mkdir(parents=True)
        photos, depths, labels = _write_arrays(folder, source, chosen, threads)
        if lighting is not None:
            np.ascontiguousarray(lighting).tofile(folder / POINTS)
        near, far = depths.percentiles(1, 99)
        meta = {
            "format": FORMAT,
            "levels": levels,
            "scale": scale,
            "splat": splat,
            "near": near,
            "far": far,
            "classes": sorted({int(ade20k.GROUPS[label]) for label in labels - transient_labels - {0}}),
            "transient": sorted(transient_labels),
            "sky": sorted(sky_labels),
            "has_index": source.has_index,
            "n_points": n_points,
            "lighting": 0 if lighting is None else lighting.shape[1],
            "photos": photos,
        }
        write_json(folder / "dataset.json", meta)


def _write_arrays(
    folder: Path, source: "_Source", chosen: Mapping[str, str], threads: int
) -> tuple[list[dict], "DepthPercentiles", set[int]]:
    """Append every photo's arrays to the raw files.

    Returns the photos' records, and the depths and the labels that the training photos show.
    """
    photos, depths, labels, files = [], DepthPercentiles(), set(), {}
    with ExitStack() as stack:
        packed = in_threads(source.arrays_of, list(chosen), threads)
        for photo_id, arrays in progress(packed, len(chosen), "packing"):
            for name, array in arrays.items():
                if name not in files:
                    files[name] = stack.enter_context(open(folder / name, "wb"))
                files[name].write(np.ascontiguousarray(array, dtype_of(name)).data)
            if chosen[photo_id] == "train":
                depths.add(arrays[DEPTH.format(0)])
                labels |= set(np.unique(arrays[LABELS]).tolist())
            height, width = arrays[LABELS].shape
            record = {"id": photo_id, "split": chosen[photo_id], "height": height, "width": width}
            photos.append({**record, "camera": source.cameras[photo_id]})
    return photos, depths, labels


@dataclass(frozen=True)
class _Source:
    """The sources of a set, as `pack_dataset` describes them. cameras: by photo id, of `_cameras`."""

    aligned_dir: Path
    framebuffers_dir: Path | None
    split_csv: Path
    cameras: Mapping[str, dict | None]
    labelled: bool
    n_points: int
    has_lighting: bool
    levels: int

    @property
    def has_index(self) -> bool:
        """Whether the set comes from a cloud, whose points its pixels show."""
        return self.framebuffers_dir is not None

    def arrays_of(self, photo_id: str) -> dict[str, np.ndarray]:
        """The arrays that a photo adds to the raw files, by the file's name."""
        reference = _image(self.aligned_dir / f"{photo_id}_reference.png", (3,))
        height, width = reference.shape[:2]
        if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
            raise UserError(
                f"{self.aligned_dir / photo_id}_reference.png is {width}x{height}: its sides must be multiples of "
                f"{SIDE_MULTIPLE}."
            )
        labels = np.zeros((height, width), np.uint8)
        if self.labelled:
            labels = _image(self.aligned_dir / f"{photo_id}_seg.png", (), like=reference)
        if photo_id not in self.cameras:
            raise UserError(
                f"Photo {photo_id} is in {self.split_csv} but not in {self.aligned_dir}/index.csv; make both again."
            )
        arrays: dict[str, Any] = {PHOTO: reference, LABELS: labels}
        for number, level in enumerate(pyramid(self._finest(photo_id, reference), self.levels)):
            arrays |= {COLOR.format(number): level.color[..., :3], DEPTH.format(number): level.depth}
            arrays[COVERAGE.format(number)] = level.coverage
            if self.has_index:
                arrays[INDEX.format(number)] = level.index
            if self.has_lighting:
                arrays[LIGHTING.format(number)] = level.color[..., 3:]
        return {name: np.asarray(array) for name, array in arrays.items()}

    def _finest(self, photo_id: str, reference: np.ndarray) -> Level:
        """The finest level of a photo; of an imported set, the pixels of the render are the points."""
        if self.framebuffers_dir is not None:
            return _level(self.framebuffers_dir, photo_id, reference.shape[:2], self.n_points)
        color = _image(self.aligned_dir / f"{photo_id}_color.png", (3, 4), like=reference)[..., :3]
        png = _image(self.aligned_dir / f"{photo_id}_depth.png", (), np.uint16, like=color)
        depth = torch.from_numpy(png.astype(np.float32))
        index = torch.where(depth > 0, torch.arange(depth.numel()).view(depth.shape), -1).int()
        return Level(torch.from_numpy(np.array(color)), depth, index, 255 * (depth > 0).byte())


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


def _level(folder: Path, photo_id: str, size: tuple[int, int], n_points: int) -> Level:
    """The finest level of a photo of (height, width) in a cloud of n_points. Raises UserError where it is not that."""
    file, again = level_path(folder, photo_id), "delete the framebuffers folder and run again."
    try:
        level = load_level(file)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise of_machine(error) or UserError(f"{file} cannot be read ({error}); {again}") from error
    if level.depth.shape != size:
        raise UserError(
            f"{file} has shape {tuple(level.depth.shape)}, its photo {size}: they are of different runs; {again}"
        )
    if int(level.index.max()) >= n_points:
        raise UserError(
            f"{file} names point {int(level.index.max())}, but colors.npy has {n_points} points: they are of different "
            f"clouds; {again}"
        )
    return level


def _cameras(index_csv: Path) -> dict[str, dict | None]:
    """The fields of each photo's Camera, in terms of JSON; None for photos of sets that came without cameras."""
    cameras = {}
    for row in read_csv(index_csv):
        record: dict[str, Any] = {name: int(row[name]) for name in ("width", "height")}
        if row["fx"]:
            record |= {name: float(row[name]) for name in ("fx", "fy", "cx", "cy")}
            record["cam_from_world"] = np.array([float(row[name]) for name in POSE_FIELDS]).reshape(3, 4).tolist()
        cameras[row["id"]] = record if row["fx"] else None
    return cameras


def _check_labels(aligned_dir: Path, ids: Iterable[str]) -> bool:
    """Return whether the set has label maps. Raises UserError if only some photos have one."""
    missing = [photo_id for photo_id in ids if not (aligned_dir / f"{photo_id}_seg.png").is_file()]
    if missing and len(missing) < len(list(ids)):
        raise UserError(
            f"{aligned_dir} has label maps for some photos only; missing: "
            f"{', '.join(f'{photo_id}_seg.png' for photo_id in missing)}. Run the segmentation again, or set "
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
    shapes: list[tuple[int, ...]] = [(count,) for count in channels] or [()]
    if pixels.dtype != dtype or pixels.shape[2:] not in shapes:
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


def _load(path: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    """An array of the framebuffers. Raises UserError where it is missing or damaged."""
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        unreadable = UserError(f"{path} cannot be read ({error}); delete the framebuffers folder and run again.")
        raise of_machine(error) or unreadable from error
