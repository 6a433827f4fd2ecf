"""photos.csv, a row per file found with its verdict, and the message for a folder with too few photos."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nrw.core.limits import MIN_PHOTOS

FIELDS = ("id", "file", "verdict", "width", "height", "original_width", "original_height", "focal_px")


@dataclass
class Photo:
    """What is known about one file. Sizes in pixels, of the upright picture; 0 where unknown."""

    file: str  # relative path, "/" between parts, valid Unicode
    verdict: str
    photo_id: str = ""  # of usable photos
    width: int = 0
    height: int = 0
    original_width: int = 0
    original_height: int = 0
    focal_px: float | None = None  # of the upright copy
    copy: Path | None = None  # the upright copy, under a temporary name
    digest: bytes = b""  # SHA-256 of the copy's size and pixels
    phash: int = 0  # 64-bit perceptual hash
    thumbnail: np.ndarray | None = None  # (1024,) float32, zero mean, unit length (or all 0)


def row_of(photo: Photo) -> dict[str, object]:
    """The photo's row of photos.csv."""
    focal = "" if photo.focal_px is None else f"{photo.focal_px:.2f}"
    sizes = {name: getattr(photo, name) or "" for name in ("width", "height", "original_width", "original_height")}
    return {"id": photo.photo_id, "file": photo.file, "verdict": photo.verdict, **sizes, "focal_px": focal}


def counts_of(photos: list[Photo]) -> str:
    """The number of photos per verdict, without the verdicts' details: `10 ok, 2 unreadable, 1 duplicate`."""
    counts = Counter(re.split(r": | of | \(", photo.verdict)[0] for photo in photos)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


def too_few(folder: Path, photos: list[Photo]) -> str:
    """The message for a folder with fewer than MIN_PHOTOS usable photos: the first 20 verdicts and what to do."""
    shown = [f"  {photo.file!r}: {photo.verdict}" for photo in photos[:20]]
    if len(photos) > 20:
        shown.append(f"  and {len(photos) - 20} more")
    return "\n".join(
        [
            f"photos: {str(folder)!r} has fewer than {MIN_PHOTOS} usable photos: {counts_of(photos)}.",
            *shown,
            "Put more photos of the landmark into the folder (JPEG, PNG, WebP, TIFF or HEIC), or relax",
            "ingest.min_size, ingest.max_megapixels or ingest.duplicate_distance.",
        ]
    )
