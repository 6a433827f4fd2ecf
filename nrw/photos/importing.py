"""Importing a folder of photos of any kind: upright 8-bit sRGB copies, and a verdict per file."""

import logging
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from nrw.core.errors import UserError
from nrw.core.io import atomic_path, write_csv
from nrw.core.limits import MIN_PHOTOS
from nrw.core.progress import progress
from nrw.geometry.cameras import fit_size
from nrw.photos.decoding import FORMATS, focal_length, read_exif, to_srgb, without_size_limit
from nrw.photos.duplicates import hash_photo, mark_duplicates
from nrw.photos.table import FIELDS, Photo, counts_of, row_of, too_few

logger = logging.getLogger(__name__)

SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif", ".hif"),
    *(".avif", ".bmp", ".gif"),
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

    Copies are upright, 8-bit sRGB, JPEG of quality 95 without subsampling or metadata, longer side at most `max_size`.
    Ids are "0000", "0001", … in the order of the files' relative paths. Hidden files and folders are skipped; links are
    followed, but each folder is read once.

    out_csv: id (empty unless the verdict is ok), file, verdict, width, height of the copy, original_width,
    original_height (upright), focal_px (pixels of the copy, from EXIF; empty where unknown). Bytes of a name that are
    not UTF-8 are written as \\xNN. Verdicts: `ok`, `not a photo`, `unreadable: …`, `truncated`, `animated`,
    `too small (WxH)` (shorter side below `min_size`), `oversized (N megapixels)` (above `max_megapixels`; not
    decoded), `duplicate of FILE` (same pixels), `near duplicate of FILE` (perceptual hashes within
    `duplicate_distance` bits of 64, confirmed on thumbnails; the larger photo is kept).

    Photos are read by `threads` threads (Pillow releases the GIL while it decodes), each with one photo in memory.
    Raises UserError for a missing or empty folder, and, after `out_csv` is written, for fewer than 3 usable photos.
    """
    folder = Path(folder)
    if not folder.exists():
        raise UserError(f"photos: the folder {str(folder)!r} does not exist. Name the folder that holds the photos.")
    if not folder.is_dir():
        raise UserError(f"photos: {str(folder)!r} is a file. Name the folder that holds the photos.")
    files = list_files(folder)
    if not files:
        raise UserError(f"photos: the folder {str(folder)!r} is empty. Put photos of the landmark into it.")

    with atomic_path(out_images) as images:
        images.mkdir()
        read = partial(_read_photo, folder, images, max_size=max_size, min_size=min_size, max_megapixels=max_megapixels)
        with without_size_limit(), ThreadPoolExecutor(threads) as pool:
            results = pool.map(read, range(len(files)), files)
            photos = list(progress(results, len(files), "photos"))
        mark_duplicates(photos, duplicate_distance)
        usable = [photo for photo in photos if photo.verdict == "ok"]
        digits = max(4, len(str(len(usable) - 1)))
        for number, photo in enumerate(usable):
            photo.photo_id = f"{number:0{digits}d}"
        write_csv(out_csv, [row_of(photo) for photo in photos], FIELDS)
        logger.info("photos: %s", counts_of(photos))
        if len(usable) < MIN_PHOTOS:
            raise UserError(too_few(folder, photos))
        for photo in photos:
            if photo.copy is None:
                continue
            if photo.verdict == "ok":
                photo.copy.rename(images / f"{photo.photo_id}.jpg")
            else:
                photo.copy.unlink()


def list_files(folder: Path) -> list[str]:
    """The relative paths of all files in a folder and below, except hidden ones, sorted by their parts.

    Links to directories are followed, but no directory is visited twice, so that loops end.
    """
    found, visited = [], set()
    for root, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(root).relative_to(folder)
        found += [(relative / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(found, key=lambda path: path.split("/"))


def _read_photo(
    folder: Path, images: Path, number: int, relative: str, *, max_size: int, min_size: int, max_megapixels: float
) -> Photo:
    """Judge one file and, if it is usable, write its upright copy into `images`."""
    path = folder / relative
    photo = Photo(os.fsencode(relative).decode("utf-8", "backslashreplace"), "ok")
    if path.suffix.lower() not in SUFFIXES:
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
                _judge_and_copy(image, photo, images / f"{number}.part.jpg", max_size, min_size, max_megapixels)
    except FileNotFoundError:
        photo.verdict = "unreadable: a link to nothing"
    except UnidentifiedImageError:
        photo.verdict = "unreadable: not an image, or damaged from its start"
    except Exception as error:  # decoders raise anything on damaged files, and one of them must not stop the run
        message = " ".join(str(error).split()) or type(error).__name__
        truncated = re.search("truncat|broken data stream", message, re.IGNORECASE)
        photo.verdict = "truncated" if truncated else f"unreadable: {message}"
    return photo


def _judge_and_copy(
    image: Image.Image, photo: Photo, copy: Path, max_size: int, min_size: int, max_megapixels: float
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
    photo.width, photo.height = upright.size
    photo.focal_px = focal_length(exif, photo.width, photo.height)
    hash_photo(photo, upright)
    upright.save(copy, "JPEG", quality=95, subsampling=0)
    photo.copy = copy
