"""Photos that repeat another one: the same pixels, or nearly the same picture."""

import hashlib
import re
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from nrw.photos.table import Photo

SAME_PICTURE = 0.98  # normalised correlation of thumbnails above which a match of hashes is confirmed
SAME_SHAPE = 0.02  # relative difference of aspect ratios
THUMBNAIL = 32  # pixels, also the size that the perceptual hash works on
COPY = re.compile(r"(\(\d+\)|\bcopy( \d+)?)$", re.IGNORECASE)  # how file managers and browsers name copies


def hash_photo(photo: Photo, upright: Image.Image) -> None:
    """Set the photo's digest, perceptual hash and thumbnail, by which `mark_duplicates` compares photos.

    upright: the pixels of the photo's copy, RGB.
    """
    photo.digest = hashlib.sha256(repr(upright.size).encode() + upright.tobytes()).digest()
    thumbnail = upright.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    photo.phash = int(str(imagehash.phash(thumbnail)), 16)
    photo.thumbnail = _normalized(thumbnail)


def mark_duplicates(photos: list[Photo], distance: int) -> None:
    """Set the verdicts of `ok` photos that repeat another.

    Of a group the largest is kept, then one with a focal length, then one that is not named like a copy.

    distance: bits of 64 in which the perceptual hashes of near duplicates may differ. Different views of a building
    under the same sky may also have equal hashes, so a match counts only if the pictures have the same shape and their
    thumbnails agree too.
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
    hashes = np.zeros(len(usable), np.uint64)  # of kept, in its order, as the next two
    thumbnails = np.zeros((len(usable), THUMBNAIL**2), np.float32)
    aspects = np.zeros(len(usable))
    for photo in usable:
        if photo.digest in by_digest:
            photo.verdict = f"duplicate of {by_digest[photo.digest].file}"
            continue
        assert photo.thumbnail is not None  # `hash_photo` has set it
        n, aspect = len(kept), photo.width / photo.height
        near = (
            (np.bitwise_count(hashes[:n] ^ np.uint64(photo.phash)) <= distance)
            & (thumbnails[:n] @ photo.thumbnail > SAME_PICTURE)
            & (np.abs(aspects[:n] / aspect - 1) < SAME_SHAPE)
        )
        if near.any():
            photo.verdict = f"near duplicate of {kept[near.argmax()].file}"
            continue
        hashes[n], thumbnails[n], aspects[n] = photo.phash, photo.thumbnail, aspect
        kept.append(photo)
        by_digest[photo.digest] = photo


def _normalized(thumbnail: Image.Image) -> np.ndarray:
    """The pixels of a small gray picture as a vector of zero mean and unit length; zeros for a uniform one."""
    pixels = np.asarray(thumbnail, np.float32).ravel()
    pixels = pixels - pixels.mean()
    return pixels / max(float(np.linalg.norm(pixels)), 1e-6)
