"""Folders of photos, imported as the first stage does."""

import os

import numpy as np
from PIL import Image

from nrw.core.io import read_csv
from nrw.photos.importing import import_photos

DEFAULTS = dict(max_size=200, min_size=50, max_megapixels=1.0, duplicate_distance=3, threads=2)


def noise(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """Blurred coloured noise: unlike every other seed's for the perceptual hash."""
    values = np.random.default_rng(seed).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def imported(folder, **settings):
    """The rows of photos.csv by file, and the folder of copies."""
    out = folder.parent / "out"
    import_photos(folder, out / "photos.csv", out / "images", **(DEFAULTS | settings))
    rows = read_csv(out / "photos.csv")
    assert {f"{row['id']}.jpg" for row in rows if row["id"]} == set(os.listdir(out / "images"))
    assert all((row["verdict"] == "ok") == bool(row["id"]) for row in rows)
    return {row["file"]: row for row in rows}, out / "images"


def copy_of(rows, images, file):
    """(H, W, 3) int16 pixels of a file's upright copy."""
    with Image.open(images / f"{rows[file]['id']}.jpg") as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert image.size == (int(rows[file]["width"]), int(rows[file]["height"]))
        assert not image.getexif()
        return np.asarray(image).astype(np.int16)
