"""A folder of photos of any kind in; upright 8-bit sRGB copies and a verdict per file out."""

import hashlib
import io
import logging
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import imagehash
import numpy as np
import pillow_heif
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ExifTags import IFD, Base

from nrw.cameras import fit_size
from nrw.errors import UserError
from nrw.io import atomic_path, write_csv
from nrw.log import progress

logger = logging.getLogger(__name__)
pillow_heif.register_heif_opener()
Image.init()  # Image.open(formats=…) knows only the formats that are loaded

FIELDS = ("id", "file", "verdict", "width", "height", "original_width", "original_height", "focal_px")
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif", ".hif"),
    *(".avif", ".bmp", ".gif"),
}
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF", "BMP", "GIF")  # not EPS: it would run a program
ANIMATIONS = {"GIF", "WEBP", "PNG", "AVIF"}  # several frames in the others are thumbnails, gain maps or pages
MIN_PHOTOS = 3
SAME_PICTURE = 0.98  # normalised correlation of thumbnails above which a hash match is believed
COPY = re.compile(r"(\(\d+\)|\bcopy( \d+)?)$", re.IGNORECASE)  # how file managers and browsers name copies
THUMBNAIL = 32  # pixels, also the size that the perceptual hash reduces to
SAME_SHAPE = 0.02  # relative difference of aspect ratios
DIAGONAL_35MM = 43.27  # mm
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


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

    Copies are upright, 8-bit sRGB, JPEG of quality 95 without subsampling or metadata, longer side at most `max_size`;
    ids are "0000", "0001", … in the order of the files' relative paths. Hidden files and folders are passed over; links
    are followed, each folder once.

    out_csv: id (empty unless the verdict is ok), file, verdict, width, height of the copy, original_width,
    original_height (upright), focal_px (pixels of the copy, from EXIF; empty where unknown). Bytes of a name that are
    not UTF-8 are written as \\xNN. Verdicts: `ok`, `not a photo`, `unreadable: …`, `truncated`, `animated`,
    `too small (WxH)` (shorter side below `min_size`), `oversized (N megapixels)` (above `max_megapixels`; not
    decoded), `duplicate of FILE` (same pixels), `near duplicate of FILE` (perceptual hashes within
    `duplicate_distance` bits of 64, confirmed on thumbnails; the larger photo is kept).

    Photos are read by `threads` threads (Pillow decodes outside the interpreter's lock), each holding one photo.
    Raises UserError for a missing or empty folder, and for fewer than 3 usable photos; then `out_csv` is written first.
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
        with _size_checked_by_us(), ThreadPoolExecutor(threads) as pool:
            results = pool.map(read, range(len(files)), files)
            photos = list(progress(results, len(files), "photos"))
        mark_duplicates(photos, duplicate_distance)
        usable = [photo for photo in photos if photo.verdict == "ok"]
        digits = max(4, len(str(len(usable) - 1)))
        ids = {id(photo): f"{number:0{digits}d}" for number, photo in enumerate(usable)}
        write_csv(out_csv, [_row(photo, ids.get(id(photo), "")) for photo in photos], FIELDS)
        logger.info("photos: %s", _counts(photos))
        if len(usable) < MIN_PHOTOS:
            raise UserError(_too_few(folder, photos))
        for photo in photos:
            if photo.verdict == "ok":
                photo.copy.rename(images / f"{ids[id(photo)]}.jpg")
            elif photo.copy:
                photo.copy.unlink()


def list_files(folder: Path) -> list[str]:
    """Relative paths of everything in a folder that is not hidden and not a directory, sorted by their parts.

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


@contextmanager
def _size_checked_by_us() -> Iterator[None]:
    """Pillow's own limit only warns between one and two times its value; `max_megapixels` stops before decoding."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _read_photo(
    folder: Path, images: Path, number: int, relative: str, *, max_size: int, min_size: int, max_megapixels: float
) -> Photo:
    """Judge one file, and leave its upright copy in `images` if it is good."""
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
    except Exception as error:  # decoders raise anything on damaged files, and one bad file must not stop the run
        message = " ".join(str(error).split()) or type(error).__name__
        truncated = re.search("truncat|broken data stream", message, re.IGNORECASE)
        photo.verdict = "truncated" if truncated else f"unreadable: {message}"
    return photo


def _judge_and_copy(
    image: Image.Image, photo: Photo, copy: Path, max_size: int, min_size: int, max_megapixels: float
) -> None:
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
    exif = _read_exif(image)  # after loading: TIFF is turned upright by then, and says so
    upright = to_srgb(image, size, exif.get(Base.Orientation))
    if (upright.width < upright.height) != (photo.original_width < photo.original_height):
        photo.original_width, photo.original_height = photo.original_height, photo.original_width
    photo.width, photo.height = upright.size
    photo.focal_px = focal_length(exif, photo.width, photo.height)
    photo.digest = hashlib.sha256(repr(upright.size).encode() + upright.tobytes()).digest()
    thumbnail = upright.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    photo.phash = int(str(imagehash.phash(thumbnail)), 16)
    photo.thumbnail = _normalised(thumbnail)
    upright.save(copy, "JPEG", quality=95, subsampling=0)
    photo.copy = copy


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation -> what makes the picture upright


def to_srgb(image: Image.Image, size: tuple[int, int], orientation: int | None) -> Image.Image:
    """The picture as upright 8-bit RGB, reduced to `size` (width, height as stored, before turning).

    16-bit grey is scaled, transparency is laid over white, CMYK and colours with an embedded profile become sRGB; a
    profile that does not fit the pixels is ignored, as viewers do. Raises ValueError for floating-point pixels.
    """
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        image = Image.fromarray(np.round(np.clip(np.asarray(image), 0, 65535) / 257).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    elif image.mode in ("P", "PA", "La", "RGBa") or image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" not in ImageCms.getProfileDescription(source):
                image = ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError) as error:
            logger.debug("colour profile ignored: %s", error)
    image = image.convert("RGB")
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def _read_exif(image: Image.Image) -> dict[int, object]:
    """The main and the Exif directory's tags; empty where the block is damaged, which does not spoil the picture."""
    try:
        exif = image.getexif()
        return dict(exif) | dict(exif.get_ifd(IFD.Exif))
    except Exception as error:
        logger.debug("EXIF ignored: %s", error)
        return {}


def focal_length(exif: Mapping[int, object], width: int, height: int) -> float | None:
    """Focal length in pixels of a picture of `width` x `height`, which shows the whole frame; None where EXIF lacks it.

    From FocalLengthIn35mmFilm, by the diagonal of 35 mm film (43.27 mm), else from FocalLength and the sensor's size,
    which is the recorded pixel count over FocalPlaneXResolution.
    """
    in_35mm = _positive(exif.get(Base.FocalLengthIn35mmFilm))
    if in_35mm:
        focal = in_35mm / DIAGONAL_35MM * math.hypot(width, height)
    else:
        focal_mm = _positive(exif.get(Base.FocalLength))
        resolution = _positive(exif.get(Base.FocalPlaneXResolution))  # sensor pixels per unit
        recorded = [_positive(exif.get(tag)) for tag in (Base.ExifImageWidth, Base.ExifImageHeight)]
        unit_mm = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}.get(exif.get(Base.FocalPlaneResolutionUnit, 2))
        if not (focal_mm and resolution and unit_mm and all(recorded)):
            return None
        focal = focal_mm * resolution / unit_mm * max(width, height) / max(recorded)
    # beyond a fisheye or a telescope the tag is wrong, and no prior is better than a wrong one
    return focal if 0.2 < focal / max(width, height) < 20 else None


def _positive(value: object) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < math.inf else None


def mark_duplicates(photos: list[Photo], distance: int) -> None:
    """Set the verdict of `ok` photos that repeat another.

    Of a group the largest stays, then one with a focal length, then one that is not named like a copy.

    Perceptual hashes also agree for different views of a building under the same sky, so that a match counts only if
    the pictures have one shape and their thumbnails agree too.
    """
    usable = [photo for photo in photos if photo.verdict == "ok"]
    usable.sort(
        key=lambda photo: (
            -photo.original_width * photo.original_height,
            photo.focal_px is None,
            COPY.search(Path(photo.file).stem) is not None,
        )
    )
    kept, by_digest = [], {}
    hashes = np.zeros(len(usable), np.uint64)  # of kept, in its order
    thumbnails = np.zeros((len(usable), THUMBNAIL**2), np.float32)
    aspects = np.zeros(len(usable))
    for photo in usable:
        if photo.digest in by_digest:
            photo.verdict = f"duplicate of {by_digest[photo.digest].file}"
            continue
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


def _normalised(grey: Image.Image) -> np.ndarray:
    """The pixels of a small grey picture as a vector of zero mean and unit length; zeros for a flat one."""
    pixels = np.asarray(grey, np.float32).ravel()
    pixels = pixels - pixels.mean()
    return pixels / max(float(np.linalg.norm(pixels)), 1e-6)


def _row(photo: Photo, id: str) -> dict[str, object]:
    focal = "" if photo.focal_px is None else f"{photo.focal_px:.2f}"
    sizes = {name: getattr(photo, name) or "" for name in ("width", "height", "original_width", "original_height")}
    return {"id": id, "file": photo.file, "verdict": photo.verdict, **sizes, "focal_px": focal}


def _counts(photos: list[Photo]) -> str:
    """`10 ok, 2 unreadable, 1 duplicate`: verdicts without their details."""
    counts = Counter(re.split(r": | of | \(", photo.verdict)[0] for photo in photos)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common())


def _too_few(folder: Path, photos: list[Photo]) -> str:
    shown = [f"  {photo.file!r}: {photo.verdict}" for photo in photos[:20]]
    if len(photos) > 20:
        shown.append(f"  and {len(photos) - 20} more")
    return "\n".join(
        [
            f"photos: {str(folder)!r} has fewer than {MIN_PHOTOS} usable photos: {_counts(photos)}.",
            *shown,
            "Put more photos of the landmark into the folder (JPEG, PNG, WebP, TIFF or HEIC), or relax min_size,",
            "max_megapixels or duplicate_distance in the configuration.",
        ]
    )
