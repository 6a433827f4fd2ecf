"""Undistorted photos and their label maps, at the size of a framebuffer."""

from pathlib import Path

import numpy as np
from PIL import Image


def read_photo(path: Path, width: int, height: int) -> np.ndarray:
    """Read an undistorted photo as (height, width, 3) uint8, each pixel the mean of the area it covers."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB").resize((width, height), Image.Resampling.BOX))


def nearest(labels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize labels or a mask to (height, width), of the same type: each pixel is the nearest one."""
    return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


def label_path(segmentation_dir: Path, photo_id: str) -> Path:
    """Return the path of a photo's label map."""
    return segmentation_dir / f"{photo_id}.png"


def read_labels(segmentation_dir: Path | None, photo_id: str, width: int, height: int) -> np.ndarray:
    """Read ADE20K labels 1–150 of an undistorted photo as (height, width) uint8, nearest pixel; 0 = unknown.

    Without a segmentation all are unknown.
    """
    if segmentation_dir is None:
        return np.zeros((height, width), np.uint8)
    with Image.open(label_path(segmentation_dir, photo_id)) as image:
        return nearest(np.asarray(image), width, height)
