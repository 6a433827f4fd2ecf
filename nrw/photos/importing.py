"""Importing a folder of photos of any kind: upright 8-bit sRGB copies, and a verdict per file."""

import logging
import os
import re
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePath

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from nrw.core.errors import UserError, of_machine
from nrw.core.folder import Listing, list_folder
from nrw.core.io import atomic_path, save_image, write_csv
from nrw.core.progress import progress
from nrw.geometry.cameras import fit_size
from nrw.photos.borders import Strip, certain, find_strips, inside, patterns
from nrw.photos.decoding import FORMATS, focal_length, read_exif, to_srgb, without_size_limit
from nrw.photos.duplicates import hash_photo, mark_duplicates
from nrw.photos.table import FIELDS, Photo, counts_of, row_of

logger = logging.getLogger(__name__)

SUFFIXES = {  # of files that should be photos; others may be photos too
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif", ".hif"),
    *(".avif", ".bmp", ".gif"),
}
SKIPPED = {  # not opened: RAW files look like TIFF and show a thumbnail, videos are large, sidecars belong to a photo
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    *(".3gp", ".avi", ".flv", ".lrv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm"),
    *(".wmv", ".aae", ".dop", ".pp3", ".thm", ".xmp"),
}
ANIMATIONS = {"GIF", "WEBP", "PNG", "AVIF"}  # several frames in the others are thumbnails, gain maps or pages


def import_photos(
    folder: Path | str,
    out_csv: Path | str,
    out_images: Path | str,
    *,
    max_size: int,
    min_size: int,
    max_megapixels: float,
    duplicate_distance: int,
    threads: int,
) -> None:
    """Copy the usable photos under `folder` to `out_images`/<id>.jpg and write a row per file to `out_csv`.

    Files are judged by their content, whatever they are called; names only say which are not opened (SKIPPED).
    Copies are upright, 8-bit sRGB, JPEG of quality 95 without subsampling or metadata, longer side at most `max_size`.
    Ids are "0000", "0001", … in the order of the files' relative paths. The files are those of `list_folder`.

    Frames, bars and captions around photos are cut off (`photos.borders`).

    out_csv: id (empty unless the verdict is ok), file, verdict, width, height of the copy, original_width,
    original_height (upright), focal_px (pixels of the copy, from EXIF; empty where unknown), border (what was cut off,
    such as `bottom 96`: pixels of the copy). A folder that cannot be read has a row too, with "/" at the end of its
    name. Bytes of a name that are not UTF-8 are written as \\xNN. Verdicts: `ok`, `not a photo`, `unreadable: …`,
    `truncated`, `animated`, `too small (WxH)` (shorter side below `min_size`), `oversized (N megapixels)` (above
    `max_megapixels`; not decoded), `duplicate of FILE` (same pixels), `near duplicate of FILE` (perceptual hashes
    within `duplicate_distance` bits of 64, and the same colours: saved again or resized; the larger photo is kept).

    Photos are read by `threads` threads (Pillow releases the GIL while it decodes), each with one photo in memory.
    Raises UserError for a missing, unreadable or empty folder; not for few usable photos (`table.usable_ids`).
    """
    listing = list_folder(folder)
    files = listing.entries
    if not files:
        raise UserError(f"photos: the folder {str(folder)!r} is empty. Put photos of the landmark into it.")

    with atomic_path(out_images) as images:
        images.mkdir()
        read = partial(
            _read_photo, listing, images, max_size=max_size, min_size=min_size, max_megapixels=max_megapixels
        )
        with without_size_limit(), ThreadPoolExecutor(threads) as pool:
            results = pool.map(read, range(len(files)), files)
            photos = list(progress(results, len(files), "photos"))
            _keep_certain_strips(photos, files, pool, read)
        mark_duplicates(photos, duplicate_distance)
        usable = [photo for photo in photos if photo.verdict == "ok"]
        digits = max(4, len(str(len(usable) - 1)))
        for number, photo in enumerate(usable):
            photo.photo_id = f"{number:0{digits}d}"
        write_csv(out_csv, [row_of(photo) for photo in photos], FIELDS)
        logger.info("photos: %s", counts_of(photo.verdict for photo in photos))
        for photo in photos:
            if photo.copy is None:
                continue
            if photo.verdict == "ok":
                photo.copy.rename(images / f"{photo.photo_id}.jpg")
            else:
                photo.copy.unlink()


def _suffix(name: str) -> str:
    """The suffix of a file's name, lower case; where the name is part of a web address, the one before its query."""
    return (PurePath(name.partition("?")[0]).suffix or PurePath(name).suffix).lower()


def _keep_certain_strips(
    photos: list[Photo], files: list[str], pool: ThreadPoolExecutor, read: Callable[..., Photo]
) -> None:
    """Read again the photos of which more was cut off than was certainly added around them."""
    framed = {
        number: photo.thumbnail
        for number, photo in enumerate(photos)
        if photo.strips and photo.thumbnail is not None  # which every photo with strips has
    }
    if not framed:
        return
    kept = certain([photos[number].strips for number in framed], patterns(list(framed.values())))
    again = {number: cut for number, cut in zip(framed, kept, strict=True) if cut != photos[number].strips}
    redone = pool.map(read, again, [files[number] for number in again], again.values())
    for number, photo in zip(again, redone, strict=True):
        photos[number] = photo
    logger.info("photos: a frame, bar or caption was cut off %d", sum(bool(photo.strips) for photo in photos))


def _read_photo(
    listing: Listing,
    images: Path,
    number: int,
    relative: str,
    cut: tuple[Strip, ...] | None = None,
    *,
    max_size: int,
    min_size: int,
    max_megapixels: float,
) -> Photo:
    """Judge one file and, if it is usable, write its upright copy into `images`, without the strips `cut`.

    cut: None: without all that may be strips.
    """
    path, suffix = listing.root / relative, _suffix(relative.rpartition("/")[2])
    photo = Photo(os.fsencode(relative).decode("utf-8", "backslashreplace"), "ok")
    if relative in listing.unreadable:
        photo.verdict = f"unreadable: the folder cannot be read ({listing.unreadable[relative]})"
        return photo
    if suffix in SKIPPED:
        photo.verdict = "not a photo"
        return photo
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            photo.verdict = "not a photo"  # a pipe or a device: opening it could block
        elif status.st_size == 0:
            photo.verdict = "unreadable: the file is empty"
        else:
            with Image.open(path, formats=FORMATS) as image:
                _judge_and_copy(image, photo, images / f"{number}.part.jpg", cut, max_size, min_size, max_megapixels)
    except FileNotFoundError:
        photo.verdict = "unreadable: a link to nothing"
    except UnidentifiedImageError:
        named = suffix in SUFFIXES
        photo.verdict = "unreadable: not an image, or damaged from its start" if named else "not a photo"
    except PermissionError as error:
        photo.verdict = f"unreadable: {error.strerror}"
    except Exception as error:  # decoders raise anything on damaged files, and one of them must not stop the run
        shortage = of_machine(error)
        if shortage:  # the next photo would be no better off, and this one may be good
            raise UserError(f"{photo.file!r}: {shortage}") from error
        message = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        truncated = re.search("truncat|broken data stream", message, re.IGNORECASE)
        photo.verdict = "truncated" if truncated else f"unreadable: {message}"
    return photo


def _judge_and_copy(
    image: Image.Image,
    photo: Photo,
    copy: Path,
    cut: tuple[Strip, ...] | None,
    max_size: int,
    min_size: int,
    max_megapixels: float,
) -> None:
    """Set the verdict, sizes, focal length and hashes of an opened photo, and write its copy if it is usable."""
    photo.original_width, photo.original_height = image.size
    megapixels = image.width * image.height / 1e6
    if image.format in ANIMATIONS and getattr(image, "n_frames", 1) > 1:
        photo.verdict = "animated"
        return
    if megapixels > max_megapixels:
        photo.verdict = f"oversized ({megapixels:.0f} megapixels)"
        return
    if min(image.size) < min_size:
        photo.verdict = f"too small ({image.width}x{image.height})"
        return

    size = fit_size(*image.size, max_size)
    if image.format in ("JPEG", "MPO"):  # not HEIF, whose draft is the embedded thumbnail
        image.draft(None, size)  # decode at a half, quarter or eighth where that is still large enough
    image.load()
    exif = read_exif(image)  # after loading, which turns a TIFF upright and removes its orientation
    upright = to_srgb(image, size, exif.get(Base.Orientation))
    if (upright.width < upright.height) != (photo.original_width < photo.original_height):
        photo.original_width, photo.original_height = photo.original_height, photo.original_width
    scale = photo.original_width / upright.width
    photo.strips = find_strips(np.asarray(upright)) if cut is None else cut
    upright = upright.crop(inside(photo.strips, *upright.size))
    photo.width, photo.height = upright.size
    photo.focal_px = focal_length(exif, photo.width, photo.height)
    hash_photo(photo, upright)
    if scale * min(upright.size) < min_size:
        photo.verdict = f"too small ({round(scale * upright.width)}x{round(scale * upright.height)} without its border)"
        return
    save_image(copy, upright, quality=95, subsampling=0)
    photo.copy = copy
