"""photos.csv, a row per file found with its verdict, and the check that enough of them are usable."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nrw.core.errors import UserError
from nrw.core.io import read_csv
from nrw.core.limits import MIN_PHOTOS
from nrw.photos.borders import Strip

FIELDS = ("id", "file", "verdict", "width", "height", "original_width", "original_height", "focal_px", "border")


@dataclass
class Photo:
    """What is known about one file or unreadable folder. Sizes in pixels, of the upright picture; 0 where unknown."""

    file: str  # relative path, "/" between parts, and at the end of a folder, valid Unicode
    verdict: str
    photo_id: str = ""  # of usable photos
    width: int = 0
    height: int = 0
    original_width: int = 0
    original_height: int = 0
    focal_px: float | None = None  # of the upright copy
    strips: tuple[Strip, ...] = ()  # cut off; in pixels of the upright copy before
    copy: Path | None = None  # the upright copy, under a temporary name
    digest: bytes = b""  # SHA-256 of the copy's size and pixels
    phash: int = 0  # 64-bit perceptual hash
    thumbnail: np.ndarray | None = None  # (32, 32, 3) uint8


def row_of(photo: Photo) -> dict[str, object]:
    """The photo's row of photos.csv."""
    focal = "" if photo.focal_px is None else f"{photo.focal_px:.2f}"
    sizes = {name: getattr(photo, name) or "" for name in ("width", "height", "original_width", "original_height")}
    border = " ".join(f"{strip.edge} {strip.thickness}" for strip in photo.strips)
    names = {"id": photo.photo_id, "file": photo.file, "verdict": photo.verdict}
    return {**names, **sizes, "focal_px": focal, "border": border}


def counts_of(verdicts: Iterable[str]) -> str:
    """The number of photos per verdict, without the verdicts' details: `10 ok, 2 unreadable, 1 duplicate`."""
    counts = Counter(re.split(r": | of | \(", verdict)[0] for verdict in verdicts)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


def usable_ids(photos_csv: Path | str, folder: Path | str) -> list[str]:
    """The ids of the usable photos of the user's folder.

    Raises UserError for fewer than MIN_PHOTOS, with the first 20 verdicts, where the others are, and what to do.
    """
    rows = read_csv(photos_csv)
    ids = [row["id"] for row in rows if row["verdict"] == "ok"]
    if len(ids) >= MIN_PHOTOS:
        return ids
    shown = [f"  {row['file']!r}: {row['verdict']}" for row in rows[:20]]
    if len(rows) > 20:
        shown.append(f"  and {len(rows) - 20} more")
    counts = counts_of(row["verdict"] for row in rows)
    lines = [
        f"photos: {str(folder)!r} has fewer than {MIN_PHOTOS} usable photos: {counts}.",
        *shown,
        f"The verdict on every file: {photos_csv}",
        "Put more photos of the landmark into the folder (JPEG, PNG, WebP, TIFF or HEIC), or relax",
        "ingest.min_size, ingest.max_megapixels or ingest.duplicate_distance.",
    ]
    raise UserError("\n".join(lines))
