"""Pictures small enough to embed in the page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

Image.init()


def data_uri(image: Image.Image, max_size: int, quality: int = 78) -> str:
    """Encode an image as a JPEG in a data URI, its longer side at most `max_size` pixels."""
    image = image.convert("RGB")
    image.thumbnail((max_size, max_size), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def thumbnail(path: Path, max_size: int, quality: int = 70) -> str | None:
    """Encode an image file, turned upright, as `data_uri` does; None where it is missing or cannot be read."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * max_size, 2 * max_size))  # JPEG: decodes at a fraction of the size
            return data_uri(ImageOps.exif_transpose(image), max_size, quality)
    except Exception:  # decoders raise anything on damaged files
        return None


def side_by_side(pictures: Sequence[np.ndarray], max_size: int, gap: int = 4) -> str:
    """Encode a row of pictures (H, W, 3) uint8 of equal height, as `data_uri` does."""
    height = pictures[0].shape[0]
    space = np.full((height, gap, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (picture, space)][:-1]
    return data_uri(Image.fromarray(np.concatenate(row, axis=1)), max_size, 82)
