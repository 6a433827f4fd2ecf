"""photos.csv: a row per file found, with its verdict."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nrw.core.limits import MIN_PHOTOS

FIELDS = ("id", "file", "verdict", "width", "height", "original_width", "original_height", "focal_px")


@dataclass
class Photo:
    """What is known of one file. Sizes in pixels, of the upright picture; 0 where unknown."""

    file: str  # relative path, "/" between parts, valid Unicode
    verdict: str
    width: int = 0
    height: int = 0
    original_width: int = 0
    original_height: int = 0
    focal_px: float | None = None
    copy: Path | None = None  # the upright copy, under a temporary name
    digest: bytes = b""  # of the copy's pixels
    phash: int = 0  # 64-bit perceptual hash
    thumbnail: np.ndarray | None = None  # (1024,) float32, zero mean, unit length (or all 0)


def row_of(photo: Photo, id: str) -> dict[str, object]:
    focal = "" if photo.focal_px is None else f"{photo.focal_px:.2f}"
    sizes = {name: getattr(photo, name) or "" for name in ("width", "height", "original_width", "original_height")}
    return {"id": id, "file": photo.file, "verdict": photo.verdict, **sizes, "focal_px": focal}


def counts_of(photos: list[Photo]) -> str:
    """`10 ok, 2 unreadable, 1 duplicate`: verdicts without their details."""
    counts = Counter(re.split(r": | of | \(", photo.verdict)[0] for photo in photos)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


def too_few(folder: Path, photos: list[Photo]) -> str:
    shown = [f"  {photo.file!r}: {photo.verdict}" for photo in photos[:20]]
    if len(photos) > 20:
        shown.append(f"  and {len(photos) - 20} more")
    return "\n".join(
        [
            f"photos: {str(folder)!r} has fewer than {MIN_PHOTOS} usable photos: {counts_of(photos)}.",
            *shown,
            "Put more photos of the landmark into the folder (JPEG, PNG, WebP, TIFF or HEIC), or relax min_size,",
            "max_megapixels or duplicate_distance in the configuration.",
        ]
    )
