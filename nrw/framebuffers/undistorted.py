"""Undistorted photos and their label maps, at the size of a framebuffer."""

from pathlib import Path

import numpy as np
from PIL import Image


def read_photo(mvs_dir: Path, photo: str, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: the undistorted photo, each pixel the mean of the area it covers."""
    with Image.open(mvs_dir / "images" / f"{photo}.jpg") as image:
        return np.array(image.convert("RGB").resize((width, height), Image.Resampling.BOX))


def read_labels(segmentation_dir: Path | None, photo: str, width: int, height: int) -> np.ndarray:
    """(height, width) uint8: ADE20K labels 1–150 of the undistorted photo, nearest pixel; 0 = unknown.

    All unknown without a segmentation.
    """
    if segmentation_dir is None:
        return np.zeros((height, width), np.uint8)
    with Image.open(segmentation_dir / f"{photo}.png") as image:
        return np.array(image.resize((width, height), Image.Resampling.NEAREST))
