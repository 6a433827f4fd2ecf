"""Contact sheets: a captioned `row` of pictures, an `Overview` of rows, and `sheet_of`, a grid without captions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nrw.core.io import write_image

STRIP = 18  # pixels, height of the captions
GAP = 4  # pixels between the pictures of a row
INK, PAPER = (40, 40, 40), (255, 255, 255)
SAMPLE_SIZE = 320  # pixels, longer side of a picture on a sheet without captions


def row(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Pictures (H, W, 3) uint8 of one height from left to right, each under its caption: (H + 18, sum W + gaps, 3)."""
    height = pictures[0].shape[0]
    width = sum(picture.shape[1] for picture in pictures) + GAP * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, height + STRIP), PAPER)
    font = ImageFont.load_default(size=12)
    x = 0
    for picture, caption in zip(pictures, captions, strict=True):
        strip = Image.new("RGB", (picture.shape[1], STRIP), PAPER)  # cuts a caption that is longer than its picture
        ImageDraw.Draw(strip).text((2, 2), caption, fill=INK, font=font)
        sheet.paste(strip, (x, 0))
        sheet.paste(Image.fromarray(picture), (x, STRIP))
        x += picture.shape[1] + GAP
    return np.array(sheet)


class Overview:
    """Rows of pictures scaled to one width, one below the other; rows beyond `limit` are left out."""

    def __init__(self, width: int = 1200, limit: int = 24):
        self.width, self.limit = width, limit
        self.rows: list[np.ndarray] = []

    def add(self, sheet: np.ndarray) -> None:
        """Add a row (H, W, 3) uint8."""
        if len(self.rows) < self.limit:
            height = round(sheet.shape[0] * self.width / sheet.shape[1])
            self.rows.append(np.array(Image.fromarray(sheet).resize((self.width, height), Image.Resampling.BOX)))

    def write(self, path: Path | str) -> None:
        """Write all rows as one picture."""
        write_image(path, np.concatenate(self.rows))


def sheet_of(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Pictures (h, w, 3) uint8 of any sizes in a grid (H, W, 3) uint8 on white, each at most SAMPLE_SIZE pixels long.

    rows: as many pictures in each. Larger pictures are shrunk, none is enlarged.
    """
    small = [[_shrunk(picture) for picture in pictures] for pictures in rows]
    width = max(picture.shape[1] for pictures in small for picture in pictures)
    heights = [max(picture.shape[0] for picture in pictures) for pictures in small]
    sheet = np.full((sum(heights), width * len(rows[0]), 3), PAPER, np.uint8)
    for top, pictures in zip(np.cumsum([0, *heights[:-1]]), small, strict=True):
        for column, picture in enumerate(pictures):
            sheet[top : top + picture.shape[0], column * width : column * width + picture.shape[1]] = picture
    return sheet


def _shrunk(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((SAMPLE_SIZE, SAMPLE_SIZE))
    return np.asarray(image)
