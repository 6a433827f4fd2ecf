"""Frames, bars and captions that were added around photos: uniform strips at the edges, with what is printed on them.

Their corners and letters match from photo to photo at one place of the picture, as if no camera had moved, so they are
cut off before anything looks at the photos.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

TOLERANCE = 12  # grey levels of a channel within which a pixel has the strip's colour: JPEG's noise
UNIFORM = 0.98  # least share of a row in the strip's colour at the edge of the picture and where the strip ends
PRINTED = 0.4  # least share of a row in the strip's colour beside letters
BEGUN = 0.65  # largest share of a row of the picture in the strip's colour
THINNEST, THICKEST = 3, 0.4  # pixels; of the picture's side
BLUR = 2  # rows that resizing and JPEG blur between strip and picture
SAME_THICKNESS = 0.04  # relative difference, beyond BLUR pixels
OTHER_VIEW = 0.9  # correlation of patterns below which two photos see different things
RECURS = 2  # other photos, of other views, with the same strip
OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}


@dataclass(frozen=True)
class Strip:
    """A strip at an edge (of OPPOSITE) of a picture of `width` x `height` pixels: its thickness and its RGB colour."""

    edge: str
    thickness: int
    width: int
    height: int
    color: tuple[int, ...]


def find_strips(picture: np.ndarray) -> tuple[Strip, ...]:
    """What may be strips at the edges of a picture (H, W, 3) uint8, at most one per edge.

    A strip ends sharply over the picture's whole width, as the sky above a skyline does not.
    """
    height, width = picture.shape[:2]
    strips = []
    for edge in ("bottom", "top", "left", "right"):
        rows = _turned(picture, edge)
        color = np.median(rows[:THINNEST].reshape(-1, 3), axis=0).astype(np.int16)
        thickness = _thickness(rows, color)
        if thickness:
            strips.append(Strip(edge, thickness, width, height, tuple(color.tolist())))
            picture = _turned(rows[thickness:], edge)
    return tuple(strips)


def _turned(picture: np.ndarray, edge: str) -> np.ndarray:
    """The picture with its rows counted from `edge`. Applied twice it is the picture again."""
    if edge == "left":
        return picture.swapaxes(0, 1)
    if edge == "right":
        return picture[::-1, ::-1].swapaxes(0, 1)
    return picture[::-1] if edge == "bottom" else picture


def _thickness(rows: np.ndarray, color: np.ndarray) -> int:
    """The thickness of a strip that begins with the first of the rows (H, W, 3); 0 where there is none."""

    def shares(part: np.ndarray) -> np.ndarray:
        return (np.abs(part.astype(np.int16) - color).max(axis=2) <= TOLERANCE).mean(axis=1)

    if shares(rows[:THINNEST]).min() < UNIFORM:
        return 0
    share = shares(rows[: int(THICKEST * len(rows)) + BLUR + 1])
    below = np.flatnonzero(share < PRINTED)
    last = min(below[0] if len(below) else len(share), len(share) - 1 - BLUR)
    ends = [row for row in range(THINNEST, last + 1) if share[row - 1] >= UNIFORM and share[row + BLUR] <= BEGUN]
    if not ends:
        return 0
    begun = ends[-1] + int(np.argmax(share[ends[-1] :] <= BEGUN))
    return begun + 1  # a blurred row


def inside(strips: Sequence[Strip], width: int, height: int) -> tuple[int, int, int, int]:
    """The part of a picture of `width` x `height` pixels between its strips: left, top, right, bottom, as in Pillow."""
    thickness = Counter({strip.edge: strip.thickness for strip in strips})
    return thickness["left"], thickness["top"], width - thickness["right"], height - thickness["bottom"]


def patterns(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """What thumbnails, (h, w, 3) each, show: (N, h * w) brightnesses of zero mean and unit length."""
    brightness = np.array([thumbnail.mean(axis=2).ravel() for thumbnail in thumbnails])
    brightness -= brightness.mean(axis=1, keepdims=True)
    return brightness / np.maximum(np.linalg.norm(brightness, axis=1, keepdims=True), 1e-9)


def certain(found: Sequence[tuple[Strip, ...]], shown: np.ndarray) -> list[tuple[Strip, ...]]:
    """Those of the strips found in each photo that were certainly added.

    They have an equal one at the opposite edge, or recur in RECURS photos of other views: what ends as sharply by
    chance, a white sky above a level roof, does neither. shown: (N, P) `patterns` of what lies inside.
    """
    members = [number for number, strips in enumerate(found) if strips]

    def recurs(strip: Strip, number: int, other: int) -> bool:
        same = any(_same(strip, its) for its in found[other])
        return same and float(shown[number] @ shown[other]) < OTHER_VIEW

    def added(strip: Strip, number: int) -> bool:
        if any(_opposite(strip, other) for other in found[number]):
            return True
        recurring = (other for other in members if recurs(strip, number, other))
        return len(list(islice(recurring, RECURS))) == RECURS

    return [tuple(strip for strip in strips if added(strip, number)) for number, strips in enumerate(found)]


def _opposite(strip: Strip, other: Strip) -> bool:
    near = abs(strip.thickness - other.thickness) <= BLUR
    return other.edge == OPPOSITE[strip.edge] and near and _same_color(strip, other)


def _same(strip: Strip, other: Strip) -> bool:
    """Whether two photos have the same strip: as thick in pixels, or relative to the width, height or shorter side."""
    if strip.edge != other.edge or not _same_color(strip, other):
        return False
    units = (
        (1, 1),
        (strip.width, other.width),
        (strip.height, other.height),
        (min(strip.width, strip.height), min(other.width, other.height)),
    )
    limit = BLUR + SAME_THICKNESS * other.thickness
    return any(abs(strip.thickness * its / unit - other.thickness) <= limit for unit, its in units)


def _same_color(strip: Strip, other: Strip) -> bool:
    return max(abs(a - b) for a, b in zip(strip.color, other.color, strict=True)) <= TOLERANCE
