"""Contact sheets: pictures side by side under a strip of captions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nrw.core.io import write_image

STRIP = 18  # pixels, height of the captions
GAP = 4  # pixels between pictures
INK, PAPER = (40, 40, 40), (255, 255, 255)


def row(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Pictures (H, W, 3) uint8 of one height from left to right, each under its caption: (H + 18, sum W + gaps, 3)."""
    height = pictures[0].shape[0]
    width = sum(picture.shape[1] for picture in pictures) + GAP * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, height + STRIP), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    x = 0
    for picture, caption in zip(pictures, captions, strict=True):
        strip = Image.new("RGB", (picture.shape[1], STRIP), PAPER)  # so that a long caption is cut, not overlapping
        ImageDraw.Draw(strip).text((2, 2), caption, fill=INK, font=font)
        sheet.paste(strip, (x, 0))
        sheet.paste(Image.fromarray(picture), (x, STRIP))
        x += picture.shape[1] + GAP
    del draw
    return np.array(sheet)


class Overview:
    """Rows of pictures scaled to one width, one below the other, made row by row; rows beyond `limit` are left out."""

    def __init__(self, width: int = 1200, limit: int = 24):
        self.width, self.limit, self.rows = width, limit, []

    def add(self, sheet: np.ndarray) -> None:
        """Add a sheet (H, W, 3) uint8."""
        if len(self.rows) < self.limit:
            height = round(sheet.shape[0] * self.width / sheet.shape[1])
            self.rows.append(np.array(Image.fromarray(sheet).resize((self.width, height), Image.Resampling.BOX)))

    def write(self, path: Path | str) -> None:
        """Write all rows as one picture."""
        write_image(path, np.concatenate(self.rows))


SAMPLE_SIZE = 320  # pixels, longer side of a picture on a sheet


def sheet_of(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Pictures (h, w, 3) uint8 of any sizes on a white sheet (H, W, 3) uint8, shrunk to at most SAMPLE_SIZE pixels."""
    small = []
    for row in rows:
        pictures = [Image.fromarray(np.ascontiguousarray(picture)) for picture in row]
        for picture in pictures:
            picture.thumbnail((SAMPLE_SIZE, SAMPLE_SIZE))
        small.append([np.asarray(picture) for picture in pictures])
    width = max(picture.shape[1] for row in small for picture in row)
    heights = [max(picture.shape[0] for picture in row) for row in small]
    sheet = np.full((sum(heights), width * len(rows[0]), 3), 255, np.uint8)
    for top, row in zip(np.cumsum([0, *heights]), small, strict=False):
        for column, picture in enumerate(row):
            sheet[top : top + picture.shape[0], column * width : column * width + picture.shape[1]] = picture
    return sheet
