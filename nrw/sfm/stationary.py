"""Features of what is printed on photos: captions, date stamps, watermarks.

Their matches lie at one place of the picture in photos that see different things. As geometry they say that no camera
moved, so they join photos of different places and bend models. Photos of one view, such as those from a tripod, match
at one place too, but all over the picture; their matches stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pycolmap
from scipy.spatial import cKDTree

from nrw.sfm.database import replace_matches

SAME_PLACE = 0.003  # of the longer side: how far matches at one place of the picture may be apart
FEW = 5  # fewer matches at one place are chance
CELLS = 8  # the picture is cut into CELLS x CELLS parts to see how far matches spread
ONE_VIEW = 0.3  # share of these parts with matches at one place from which on two photos show one view
DENSE = 2.0  # matches per such part in print; those of one view in other light are fewer and scattered
RECURS = 2  # pairs in which a printed feature is at least matched at one place; it is not more often elsewhere
AROUND = 0.01  # of the longer side: features that near to a printed one are of the print too
ANCHORS = np.array([0.0, 0.5, 1.0])  # of the picture's width and height


@dataclass(frozen=True)
class Picture:
    """A photo's features: points (N, 2) float64 in pixels, and the size (2,), width and height."""

    points: np.ndarray
    size: np.ndarray


def read_pictures(database: pycolmap.Database) -> dict[int, Picture]:
    """The features of all photos of a database, by image id."""
    pictures = {}
    for image in database.read_all_images():
        camera = database.read_camera(image.camera_id)
        points = database.read_keypoints(image.image_id)[:, :2].astype(np.float64)
        pictures[image.image_id] = Picture(points, np.array([camera.width, camera.height], np.float64))
    return pictures


def drop_print(database: pycolmap.Database, verification: pycolmap.TwoViewGeometryOptions) -> tuple[int, int]:
    """Remove the matches of printed features, and verify the pairs that had any anew.

    Returns the number of photos with print and of pairs that have changed.
    """
    pictures = read_pictures(database)
    numbers, found = database.read_all_matches()
    pairs = dict(zip(map(pycolmap.pair_id_to_image_pair, numbers), found, strict=True))
    printed = printed_features(pictures, pairs)
    changed = 0
    for pair, matches in pairs.items():
        kept = unprinted(printed, pair, matches)
        if len(kept) < len(matches):
            replace_matches(database, pair, kept, verification)
            changed += 1
    return sum(bool(features.any()) for features in printed.values()), changed


def unprinted(printed: Mapping[int, np.ndarray], pair: tuple[int, int], matches: np.ndarray) -> np.ndarray:
    """The matches (M, 2) of a pair whose features are not printed. printed: of `printed_features`."""
    a, b = pair
    return matches[~(printed[a][matches[:, 0]] | printed[b][matches[:, 1]])]


def printed_features(
    pictures: Mapping[int, Picture], pairs: Mapping[tuple[int, int], np.ndarray]
) -> dict[int, np.ndarray]:
    """Which features of each photo are printed on it: (N,) bool by image id.

    pairs: matches (M, 2) of pairs of image ids.
    """
    fixed, moving = ({image: np.zeros(len(its.points), int) for image, its in pictures.items()} for _ in range(2))
    for (a, b), matches in pairs.items():
        still = printed_matches(pictures[a], pictures[b], matches)
        for side, image in enumerate((a, b)):
            np.add.at(fixed[image], matches[still, side], 1)
            np.add.at(moving[image], matches[~still, side], 1)
    printed = {}
    for image, picture in pictures.items():
        sure = (fixed[image] >= RECURS) & (fixed[image] >= moving[image])
        printed[image] = _with_surroundings(picture, sure)
    return printed


def printed_matches(a: Picture, b: Picture, matches: np.ndarray) -> np.ndarray:
    """(M,) bool: which of the matches (M, 2) of two photos of different views lie at one place; none for one view."""
    still = at_one_place(a, b, matches)
    if not still.any() or any(_one_view(picture, matches[still, side]) for side, picture in enumerate((a, b))):
        return np.zeros(len(matches), bool)
    return still


def at_one_place(a: Picture, b: Picture, matches: np.ndarray) -> np.ndarray:
    """(M,) bool: which of the matches (M, 2) lie at one place of both pictures.

    A place is counted from a corner, the middle of an edge or the centre, in pixels or relative to the width, height or
    shorter side; only those of these count that fit at least FEW matches.
    """
    first, second = a.points[matches[:, 0]], b.points[matches[:, 1]]
    still = np.zeros(len(matches), bool)
    for scale in {1.0, *_units(a.size) / _units(b.size)}:
        beyond = (first - scale * second)[:, None] - ANCHORS[:, None] * (a.size - scale * b.size)  # (M, anchor, axis)
        near = np.abs(beyond) < SAME_PLACE * a.size.max()
        for across in near[:, :, 0].T:
            for along in near[:, :, 1].T:
                if np.count_nonzero(across & along) >= FEW:
                    still |= across & along
    return still


def _units(size: np.ndarray) -> np.ndarray:
    """What print may be scaled with: width, height, shorter side."""
    return np.array([*size, size.min()])


def _one_view(picture: Picture, features: np.ndarray) -> bool:
    """Whether features (n,) that match at one place are spread over the picture as in photos from a tripod."""
    cells = np.clip(picture.points[features] / picture.size * CELLS, 0, CELLS - 1).astype(int)
    occupied = len(np.unique(cells, axis=0))
    return occupied >= ONE_VIEW * CELLS**2 or len(features) < DENSE * occupied


def _with_surroundings(picture: Picture, sure: np.ndarray) -> np.ndarray:
    """The features (N,) bool that are printed for sure, and those around them."""
    if not sure.any():
        return sure
    distance, _ = cKDTree(picture.points[sure]).query(picture.points)
    return distance <= AROUND * picture.size.max()
