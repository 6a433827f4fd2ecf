"""Rescue of sets that fall apart: learned matches between the models of a first mapping and the photos outside them.

SIFT loses photos that differ much in light or direction; ALIKED and LightGlue often match them. They are slow, so they
compare only photos of different parts. Their keypoints stand in the database behind those of SIFT. Where parts match,
the photos are matched with others of their own part, too: the learned keypoints of a part have points only then, and
without points no photo can be registered with it.
"""

import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import pycolmap

from nrw.core.io import atomic_path, read_json
from nrw.core.limits import RESCUE_PAIRS
from nrw.sfm.database import copied, estimated_geometry, image_ids, opened, replace_matches
from nrw.sfm.learned import LearnedMatcher
from nrw.sfm.matching import verification
from nrw.sfm.pairs import similar_photos
from nrw.sfm.stationary import Picture, printed_features, unprinted

logger = logging.getLogger(__name__)

Pair = tuple[int, int]  # of image ids, the smaller first

CANDIDATES = 300  # most similar photos of a photo; those of its own part are left out
SUPPORT = 3  # photos of its own part that a photo is matched with
MIN_INLIERS = 30  # matches that agree on a geometry, of a pair of different parts: LightGlue matches look-alikes, too


def join_parts(
    images_dir: Path | str,
    database: Path | str,
    parts_json: Path | str,
    database_out: Path | str,
    *,
    device: str,
    threads: int,
    reproducible: bool,
    seed: int,
) -> None:
    """Write the scene's database, with learned keypoints and matches between parts where there are any.

    parts_json: of `reconstruction.find_parts`. threads: of the retrieval; one where `reproducible` is set.
    Raises UserError where the weights are not installed, or the device is missing.
    """
    ids = image_ids(database)
    parts = [{ids[name] for name in model} for model in read_json(parts_json)]
    outside = sorted({*ids.values()}.difference(*parts[:1]))
    with copied(database) as copy:
        with opened(copy) as connection:
            workers = 1 if reproducible else threads
            similar = similar_photos(connection, outside, CANDIDATES, workers, seed) if outside else {}
            pairs = pairs_between(similar, parts, RESCUE_PAIRS)
            logger.info("rescue: %d photos outside the largest model, %d pairs to match", len(outside), len(pairs))
            if pairs:
                _match_parts(connection, LearnedMatcher(images_dir, device), pairs, parts, seed)
        with atomic_path(database_out) as path:
            shutil.copyfile(copy, path)


def pairs_between(similar: Mapping[int, Sequence[int]], parts: Sequence[set[int]], most: int) -> list[Pair]:
    """At most `most` pairs of photos of different parts: the most similar one of each photo first, then the second.

    similar: photos by photo, the most similar first. parts: image ids of each model; models may share photos.
    """
    ranked = [
        [_pair(photo, other) for other in others if not _together(photo, other, parts)]
        for photo, others in sorted(similar.items())
    ]
    turns = chain.from_iterable(zip_longest(*ranked))
    return [pair for pair in dict.fromkeys(turns) if pair][:most]


def supporting_pairs(
    photos: Collection[int], inliers: Mapping[Pair, int], parts: Sequence[set[int]], each: int
) -> list[Pair]:
    """Pairs of each photo and the `each` others of its part that share the most verified matches with it.

    inliers: number of verified matches by pair.
    """
    chosen: list[Pair] = []
    for photo in sorted(photos):
        own = [pair for pair, count in inliers.items() if count and photo in pair and _together(*pair, parts)]
        chosen += sorted(own, key=lambda pair: -inliers[pair])[:each]
    return list(dict.fromkeys(chosen))


def append_features(database: pycolmap.Database, image: int, points: np.ndarray) -> int:
    """Append keypoints at points (N, 2), in pixels, to those of a photo; return the index of the first of them."""
    known = database.read_keypoints(image).reshape(-1, 6)
    added = np.zeros((len(points), 6), np.float32)  # x, y, and a shape: a circle of one pixel
    added[:, :2], added[:, [2, 5]] = points, 1
    database.update_keypoints(image, np.concatenate([known, added]))
    return len(known)


def append_matches(
    database: pycolmap.Database, pair: Pair, matches: np.ndarray, options: pycolmap.TwoViewGeometryOptions
) -> None:
    """Add matches (M, 2) to those of a pair that are verified already, and verify them together."""
    if database.exists_two_view_geometry(*pair):
        matches = np.concatenate([database.read_two_view_geometry(*pair).inlier_matches, matches])
    replace_matches(database, pair, matches.astype(np.uint32), options)


def without_print(pictures: Mapping[int, Picture], found: Mapping[Pair, np.ndarray]) -> dict[Pair, np.ndarray]:
    """The matches (M, 2) of the pairs, but for those of features that are printed on photos (`sfm.stationary`)."""
    printed = printed_features(pictures, found)
    return {pair: unprinted(printed, pair, matches) for pair, matches in found.items()}


def _match_parts(
    database: pycolmap.Database,
    matcher: LearnedMatcher,
    pairs: Sequence[Pair],
    parts: Sequence[set[int]],
    seed: int,
) -> None:
    """Match the pairs; support those that are verified; write the matches of both into the database."""
    names = {image.image_id: image.name for image in database.read_all_images()}
    options = verification(seed)
    found = _matched(matcher, names, pairs, "rescue, pairs of different parts")
    pictures = _pictures(matcher, names, pairs)
    joining = []
    for pair, matches in without_print(pictures, found).items():
        points = [pictures[image].points for image in pair]
        if len(estimated_geometry(database, pair, points, matches, options).inlier_matches) >= MIN_INLIERS:
            joining.append(pair)
    support = supporting_pairs(_photos(joining), _inliers(database), parts, SUPPORT)
    logger.info("rescue: %d pairs verified, %d pairs support them", len(joining), len(support))

    found = {pair: found[pair] for pair in joining} | _matched(matcher, names, support, "rescue, supporting pairs")
    pictures = _pictures(matcher, names, found)
    first = {image: append_features(database, image, picture.points) for image, picture in pictures.items()}
    for (a, b), matches in without_print(pictures, found).items():
        append_matches(database, (a, b), matches + np.array([first[a], first[b]]), options)


def _matched(
    matcher: LearnedMatcher, names: Mapping[int, str], pairs: Sequence[Pair], what: str
) -> dict[Pair, np.ndarray]:
    return dict(zip(pairs, matcher.match([(names[a], names[b]) for a, b in pairs], what), strict=True))


def _pictures(matcher: LearnedMatcher, names: Mapping[int, str], pairs: Collection[Pair]) -> dict[int, Picture]:
    return {image: matcher.picture(names[image]) for image in _photos(pairs)}


def _inliers(database: pycolmap.Database) -> dict[Pair, int]:
    """The number of verified matches by pair."""
    numbers, counts = database.read_two_view_geometry_num_inliers()
    return dict(zip(map(pycolmap.pair_id_to_image_pair, numbers), counts, strict=True))


def _photos(pairs: Collection[Pair]) -> list[int]:
    """Their image ids, each once."""
    return sorted({image for pair in pairs for image in pair})


def _pair(a: int, b: int) -> Pair:
    return min(a, b), max(a, b)


def _together(a: int, b: int, parts: Sequence[set[int]]) -> bool:
    return any(part.issuperset((a, b)) for part in parts)
