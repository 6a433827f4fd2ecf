"""The aligned data sets of the 2019 release, in and out.

That format is a folder of `%04d_reference.png` (photo), `%04d_color.png` (RGB or RGBA render of the cloud) and
`%04d_depth.png` (uint16), with `%04d_seg_rgb.png` (labels as colours) in sets that were prepared for training, sorted
by hand into `train/` and `val/`. Ours (`results/<scene>/aligned/`) is one folder with `_seg.png` (uint8 ADE20K labels)
beside them, index.csv and split.csv.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import atomic_path, read_image, write_csv, write_image
from nrw.core.limits import SIDE_MULTIPLE
from nrw.core.pieces import remove_others
from nrw.core.progress import progress
from nrw.dataset.split import SplitRow, read_split, split_photos, write_split
from nrw.framebuffers.aligned import ALIGNED_KINDS, INDEX_FIELDS, aligned_paths

SPLIT_FOLDERS = ("train", "val")
_REFERENCE = re.compile(r"(\d+)_reference\.png")


@dataclass(frozen=True)
class _Source:
    """One photo of a foreign set: number as its files have it, train, val or "" where the set has no folders."""

    number: str
    part: str
    files: dict[str, Path]


def import_aligned(
    folder: Path | str,
    aligned_dir: Path | str,
    *,
    min_density: float,
    validation_share: float,
    min_validation: int,
    seed: int,
) -> None:
    """Write our aligned set from one in the 2019 format.

    `train/` and `val/` folders are kept as the split, except that renders covering no more than `min_density` of the
    picture are dropped; without them the split is drawn as for our own sets (`split_photos`). Photos keep their
    numbers as ids, unless train and val have some in common: then they are numbered anew, train first.
    Pictures whose sides are not multiples of 8 lose up to 7 rows and columns, evenly at both ends. Labels come from
    `_seg.png` or else from the colours of `_seg_rgb.png`. The depth keeps its values: its unit is not recorded in the
    format, so max_depth in index.csv is 65535, and the cameras are empty. Pictures of an earlier import are deleted.
    Raises UserError, listing all files concerned, where a partner is missing, sizes disagree, or a file is not what it
    should be.
    """
    sources = _find(Path(folder))
    _check(sources, Path(folder))
    ids = _ids(sources)
    densities = {}
    rows: list[dict[str, Any]] = []
    for photo_id, source in progress(zip(ids, sources, strict=True), len(ids), "importing aligned pictures"):
        images = _read(source)
        height, width = images["reference"].shape[:2]
        densities[photo_id] = float(np.mean(images["color"][..., :3].any(-1)))
        for kind, path in aligned_paths(Path(aligned_dir), photo_id).items():
            if kind in images:
                write_image(path, images[kind])
            else:
                path.unlink(missing_ok=True)  # of an earlier import
        rows.append(
            {
                "id": photo_id,
                "file": str(source.files["reference"].relative_to(folder)),
                "width": width,
                "height": height,
                "density": round(densities[photo_id], 4),
                "max_depth": 65535,
            }
        )
    drawn = split_photos(
        densities,
        min_density=min_density,
        validation_share=validation_share,
        min_validation=min_validation,
        seed=seed,
    )
    if sources[0].part:
        _keep_split(drawn, dict(zip(ids, (source.part for source in sources), strict=True)))
    remove_others(ids, lambda photo_id: list(aligned_paths(Path(aligned_dir), photo_id).values()))
    write_csv(Path(aligned_dir, "index.csv"), sorted(rows, key=lambda row: row["id"]), INDEX_FIELDS)
    write_split(Path(aligned_dir, "split.csv"), drawn)


def export_aligned(aligned_dir: Path | str, out_dir: Path | str) -> None:
    """Write our aligned set as a 2019 one: `train/` and `val/` with every picture but the dropped photos'.

    Raises UserError where `aligned_dir` has no split.csv or lacks pictures, and where `out_dir` exists.
    """
    aligned_dir, out_dir = Path(aligned_dir), Path(out_dir)
    if not (aligned_dir / "split.csv").is_file():
        raise UserError(f"{aligned_dir} is no aligned set: it has no split.csv. Run the framebuffers stage first.")
    if out_dir.exists():
        raise UserError(f"{out_dir} exists; name a folder that does not.")
    chosen = {
        photo_id: part for photo_id, part in read_split(aligned_dir / "split.csv").items() if part in SPLIT_FOLDERS
    }
    files = {
        photo_id: [path for path in aligned_paths(aligned_dir, photo_id).values() if path.is_file()]
        for photo_id in chosen
    }
    missing = [
        aligned_paths(aligned_dir, photo_id)[kind].name
        for photo_id in chosen
        for kind in ("reference", "color", "depth")
        if aligned_paths(aligned_dir, photo_id)[kind] not in files[photo_id]
    ]
    if missing:
        raise UserError(f"{aligned_dir} lacks {', '.join(missing)}; run the framebuffers stage again.")
    with atomic_path(out_dir) as folder:
        for part in SPLIT_FOLDERS:
            (folder / part).mkdir(parents=True)
        for photo_id, part in chosen.items():
            for path in files[photo_id]:
                shutil.copyfile(path, folder / part / path.name)


def _keep_split(rows: list[SplitRow], parts: dict[str, str]) -> None:
    """Give the rows of a split that are not dropped the part, train or val, that their photo comes from."""
    for row in rows:
        if row["split"] != "dropped":
            row["split"] = parts[row["id"]]
    for part in SPLIT_FOLDERS:
        if not any(row["split"] == part for row in rows):
            raise UserError(
                f"{part}/ has no usable photo (of {list(parts.values()).count(part)}). Move some there, lower "
                "dataset.min_density, or put all photos into one folder without train/ and val/ to have a split drawn."
            )


def _find(folder: Path) -> list[_Source]:
    """The photos of a set, in order of part and number."""
    parts = [part for part in SPLIT_FOLDERS if (folder / part).is_dir()] or [""]
    sources = []
    for part in parts:
        for path in sorted((folder / part).glob("[!.]*_reference.png")):
            if match := _REFERENCE.fullmatch(path.name):
                number = match[1]
                files = {kind: path.with_name(f"{number}_{kind}.png") for kind in ALIGNED_KINDS}
                sources.append(_Source(number, part, files))
    if not sources:
        raise UserError(
            f"{folder} is no aligned data set: neither it nor train/ and val/ in it hold files named like "
            "0000_reference.png. Name the folder that holds them."
        )
    return sources


def _check(sources: list[_Source], folder: Path) -> None:
    """Look at every file's header. Raises UserError with all problems of the set at once."""
    problems = []
    with_labels = [source for source in sources if _labels_file(source)]
    for source in sources:
        size = _header(source.files["reference"])[0]
        for kind in ("reference", "color", "depth", "seg", "seg_rgb"):
            path = source.files[kind]
            name = path.relative_to(folder)
            if not path.is_file():
                if kind in ("color", "depth"):
                    problems.append(f"{name} is missing")
                continue
            found, mode = _header(path)
            if mode not in _MODES[kind]:
                problems.append(f"{name} is {mode or 'no picture'}, expected {' or '.join(_MODES[kind])}")
            elif found is not None and size is not None and found != size:
                problems.append(f"{name} is {found[0]}x{found[1]}, its reference {size[0]}x{size[1]}")
        if with_labels and source not in with_labels:
            problems.append(
                f"{source.files['seg_rgb'].relative_to(folder)} is missing, though other photos have labels"
            )
    if problems:
        raise UserError(f"{folder} cannot be imported; mend or remove these photos:\n  " + "\n  ".join(problems))


# PIL's names: RGB and RGBA are 8 bits a channel, L one channel of 8 bits, P a palette; 16-bit PNGs are I;16.
_MODES = {
    "reference": ("RGB", "RGBA"),
    "color": ("RGB", "RGBA"),
    "depth": ("I;16",),
    "seg": ("L",),
    "seg_rgb": ("RGB", "RGBA"),
}


def _header(path: Path) -> tuple[tuple[int, int] | None, str]:
    """(width, height) and mode of a picture; None and "" where it is none."""
    try:
        with Image.open(path) as image:
            image.verify()
            return image.size, image.mode
    except (OSError, SyntaxError):  # PIL reports broken PNG chunks as SyntaxError
        return None, ""


def _labels_file(source: _Source) -> Path | None:
    return next((source.files[kind] for kind in ("seg", "seg_rgb") if source.files[kind].is_file()), None)


def _ids(sources: list[_Source]) -> list[str]:
    """An id of four or more digits for each photo."""
    numbers = [int(source.number) for source in sources]
    if len(set(numbers)) < len(numbers):
        numbers = list(range(len(sources)))
    return [f"{number:04d}" for number in numbers]


def _read(source: _Source) -> dict[str, np.ndarray]:
    """The pictures of our format, cropped; without labels where the set has none. Raises UserError for wrong labels."""

    def read(kind: str) -> np.ndarray:
        return _crop(read_image(source.files[kind]))

    color = read("color")
    if color.shape[-1] == 3:
        color = np.dstack([color, np.where(color.any(-1), 255, 0).astype(np.uint8)])
    images = {"reference": read("reference")[..., :3], "color": color, "depth": read("depth")}
    file = _labels_file(source)
    if file is not None:
        labels = read("seg") if file == source.files["seg"] else ade20k.labels_from_colors(read("seg_rgb")[..., :3])
        if labels.max() > ade20k.N_LABELS:
            raise UserError(f"{file} has the value {labels.max()}; ADE20K labels are 0 to {ade20k.N_LABELS}")
        images |= {"seg": labels, "seg_rgb": ade20k.colorize(labels)}
    return images


def _crop(pixels: np.ndarray) -> np.ndarray:
    """The middle of a picture (H, W, …), each side cut to a multiple of 8."""
    height, width = (side - side % SIDE_MULTIPLE for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]
