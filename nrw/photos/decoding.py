"""Decoding image files of any kind to upright 8-bit sRGB pixels, and the focal length from EXIF."""

import io
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base

logger = logging.getLogger(__name__)
pillow_heif.register_heif_opener()
Image.init()  # Image.open(formats=…) knows only the formats that are loaded

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF", "BMP", "GIF")  # not EPS: it would run a program
DIAGONAL_35MM = 43.27  # mm
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation -> the operation that makes the picture upright


@contextmanager
def without_size_limit() -> Iterator[None]:
    """Switch off Pillow's size limit, which only warns up to twice its value: the caller checks before decoding."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def to_srgb(image: Image.Image, size: tuple[int, int], orientation: int | None) -> Image.Image:
    """Convert the picture to upright 8-bit sRGB of `size` (width, height as stored, before turning).

    16-bit gray is scaled to 8 bits, transparency is composited over white, CMYK and colours with an embedded profile
    are converted; a profile that does not fit the pixels is ignored, as viewers do.
    Raises ValueError for floating-point pixels.
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
            # whatever the profile is called: from sRGB to sRGB nothing changes
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
            image = converted or image  # None where the conversion is in place, which this is not
        except (ImageCms.PyCMSError, OSError) as error:
            logger.debug("colour profile ignored: %s", error)
    image = image.convert("RGB")
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def read_exif(image: Image.Image) -> dict[int, Any]:
    """The tags of the main and the Exif directory; empty where the EXIF block is damaged: the picture is still good."""
    try:
        exif = image.getexif()
        return dict(exif) | dict(exif.get_ifd(IFD.Exif))
    except Exception as error:
        logger.debug("EXIF ignored: %s", error)
        return {}


def focal_length(exif: Mapping[int, Any], width: int, height: int) -> float | None:
    """The focal length in pixels of an uncropped picture of `width` x `height`; None where EXIF lacks it.

    From FocalLengthIn35mmFilm and the diagonal of 35 mm film (43.27 mm), else from FocalLength and the sensor's size,
    which is the recorded pixel count over FocalPlaneXResolution.
    """
    in_35mm = _positive(exif.get(Base.FocalLengthIn35mmFilm))
    if in_35mm:
        focal = in_35mm / DIAGONAL_35MM * math.hypot(width, height)
    else:
        focal_mm = _positive(exif.get(Base.FocalLength))
        resolution = _positive(exif.get(Base.FocalPlaneXResolution))  # sensor pixels per unit
        recorded_width, recorded_height = (
            _positive(exif.get(tag)) for tag in (Base.ExifImageWidth, Base.ExifImageHeight)
        )
        unit_mm = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}.get(exif.get(Base.FocalPlaneResolutionUnit, 2))
        if not (focal_mm and resolution and unit_mm and recorded_width and recorded_height):
            return None
        focal = focal_mm * resolution / unit_mm * max(width, height) / max(recorded_width, recorded_height)
    # outside the range from fisheye to telescope the tag is wrong, and no prior is better than a wrong one
    return focal if 0.2 < focal / max(width, height) < 20 else None


def _positive(value: Any) -> float | None:
    """The value as a positive, finite number, else None."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < math.inf else None
