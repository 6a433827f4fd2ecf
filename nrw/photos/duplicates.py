"""Photos that repeat another one: the same pixels, or the same picture, saved in another quality or size.

The same view in other light repeats nothing: light is what the networks learn.
"""

import hashlib
import re
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from nrw.photos.table import Photo

# Difference of two thumbnails, relative to their contrast, up to which a match of hashes is confirmed. On the demo's
# photos: JPEG of quality 15 up to 0.063, a third of the size 0.055; 5 % brighter from 0.074 on, 10 % warmer from 0.088.
SAME_PICTURE = 0.07
SAME_SHAPE = 0.02  # relative difference of aspect ratios
THUMBNAIL = (32, 32)  # pixels, also the size that the perceptual hash works on
COPY = re.compile(r"(\(\d+\)|\bcopy( \d+)?)$", re.IGNORECASE)  # how file managers and browsers name copies


def hash_photo(photo: Photo, upright: Image.Image) -> None:
    """Set the photo's digest, perceptual hash and thumbnail, by which `mark_duplicates` compares photos.

    upright: the pixels of the photo's copy, RGB.
    """
    photo.digest = hashlib.sha256(repr(upright.size).encode() + upright.tobytes()).digest()
    gray = upright.convert("L").resize(THUMBNAIL, Image.Resampling.LANCZOS)
    photo.phash = int(str(imagehash.phash(gray)), 16)
    photo.thumbnail = np.asarray(upright.resize(THUMBNAIL, Image.Resampling.LANCZOS))


def mark_duplicates(photos: list[Photo], distance: int) -> None:
    """Set the verdicts of `ok` photos that repeat another.

    Of a group the largest is kept, then one with a focal length, then one that is not named like a copy.

    distance: bits of 64 in which the perceptual hashes of near duplicates may differ. (Of 134 photos saved again, at
    quality 15 to 80 or smaller, the hashes differed by at most 8; of two photos by at least 12.) Different views of a
    building under the same sky may also have equal hashes, and so has a view in other light: a match counts only if the
    pictures have the same shape and their thumbnails the same colours.
    """
    usable = [photo for photo in photos if photo.verdict == "ok"]
    usable.sort(
        key=lambda photo: (
            -photo.original_width * photo.original_height,
            photo.focal_px is None,
            COPY.search(Path(photo.file).stem) is not None,
        )
    )
    kept: list[Photo] = []
    by_digest: dict[bytes, Photo] = {}
    hashes, aspects = np.zeros(len(usable), np.uint64), np.zeros(len(usable))  # of kept, in its order
    for photo in usable:
        if photo.digest in by_digest:
            photo.verdict = f"duplicate of {by_digest[photo.digest].file}"
            continue
        n, aspect = len(kept), photo.width / photo.height
        alike = np.flatnonzero(
            (np.bitwise_count(hashes[:n] ^ np.uint64(photo.phash)) <= distance)
            & (np.abs(aspects[:n] / aspect - 1) < SAME_SHAPE)
        )
        same = next((kept[place] for place in alike if _same_picture(photo, kept[place])), None)
        if same:
            photo.verdict = f"near duplicate of {same.file}"
            continue
        hashes[n], aspects[n] = photo.phash, aspect
        kept.append(photo)
        by_digest[photo.digest] = photo


def _same_picture(a: Photo, b: Photo) -> bool:
    """Compare the colours of two photos: in other light they differ, though their hashes are equal."""
    colors, others = (np.asarray(photo.thumbnail, np.float32) for photo in (a, b))
    return bool(np.linalg.norm(colors - others) <= SAME_PICTURE * np.linalg.norm(colors - colors.mean()))
