"""The summary of a reconstruction: its models, and for each photo that is left out the reason."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sized
from pathlib import Path

import pycolmap

from nrw.core.limits import MIN_PHOTOS
from nrw.sfm.database import opened
from nrw.sfm.matching import MIN_INLIERS
from nrw.sfm.upright import UNIT

FEW_FEATURES = 100  # fewer in a photo are a reason to be left out


def photos_left_out(
    photos: dict[str, dict[str, str]], database: Path | str, models: list[pycolmap.Reconstruction]
) -> list[dict[str, str]]:
    """{id, file, reason} of every photo that is not in the first (largest) model.

    photos: rows of photos.csv by id. database: with features, matches and verified geometries.
    """
    with opened(database) as connection:
        image_ids = {Path(image.name).stem: image.image_id for image in connection.read_all_images()}
        features = {photo_id: connection.num_keypoints_for_image(image_id) for photo_id, image_id in image_ids.items()}
        matches = _by_image(*connection.read_num_matches())
        inliers = _by_image(*connection.read_two_view_geometry_num_inliers())
    members = [{Path(model.images[image_id].name).stem for image_id in model.reg_image_ids()} for model in models]
    registered = {image_ids[photo_id] for photo_id in members[0]} if members else set()

    left_out = []
    for photo_id, photo in photos.items():
        image_id = image_ids[photo_id]
        if image_id in registered:
            continue
        other_model = next((model for model in members[1:] if photo_id in model), None)
        reason = _reason(features[photo_id], matches[image_id], inliers[image_id], registered, other_model)
        left_out.append({"id": photo_id, "file": photo["file"], "reason": reason})
    return left_out


def _reason(
    features: int,
    matches: Mapping[int, int],
    inliers: Mapping[int, int],
    registered: Collection[int],
    other_model: Sized | None,
) -> str:
    """The reason why a photo is not in the largest model.

    matches, inliers: their numbers by the other photo's image id. registered: image ids of the largest model.
    other_model: a smaller model that has the photo.
    """
    verified = {other: count for other, count in inliers.items() if count >= MIN_INLIERS}
    placed = [count for other, count in verified.items() if other in registered]
    if not verified and features < FEW_FEATURES:
        return f"{features or 'no'} features: blurred, or without texture"
    if not verified and not matches:
        return "no verified matches: no other photo shares a feature with it; does it show the place?"
    if not verified:
        return (
            f"no verified matches: of {len(matches)} photos compared the best shares {max(matches.values())} features "
            f"with it, but not {MIN_INLIERS} that agree on a geometry"
        )
    if other_model:
        return f"matched, but in another model of {len(other_model)} photos"
    if not placed:
        return f"matched with {_number(verified, 'photo')}, none of which was registered"
    return (
        f"matched with {_number(placed, 'registered photo')}, but its pose was not found "
        f"({max(placed)} inlier matches with the best of them)"
    )


def summary_of(
    models: list[pycolmap.Reconstruction], photos: Sized, left_out: list[dict[str, str]], scale: float
) -> dict:
    """The content of summary.json. models: largest first. scale: units of the world per unit of the mapper."""
    return {
        "photos": len(photos),
        "registered": len(photos) - len(left_out),
        "models": [
            {
                "photos": model.num_reg_images(),
                "points": model.num_points3D(),
                "mean_reprojection_error": round(model.compute_mean_reprojection_error(), 4),
                "mean_track_length": round(model.compute_mean_track_length(), 3),
            }
            for model in models
        ],
        "left_out": left_out,
        "scale": scale,
        "unit": UNIT,
    }


def summary_table(summary: dict) -> str:
    """summary.json as text."""
    lines = [f"{summary['registered']} of {summary['photos']} photos registered", ""]
    lines.append(f"{'model':>5} {'photos':>7} {'points':>8} {'error/px':>9} {'track':>6}")
    for number, model in enumerate(summary["models"]):
        lines.append(
            f"{number:>5} {model['photos']:>7} {model['points']:>8} {model['mean_reprojection_error']:>9.2f} "
            f"{model['mean_track_length']:>6.1f}{'  kept' if number == 0 else ''}"
        )
    lines += ["", f"world: z up, 1 unit = {summary['unit']}"]
    if summary["left_out"]:
        lines += ["", "left out:", *(_reason_line(photo) for photo in summary["left_out"])]
    return "\n".join(lines) + "\n"


def too_few(photos: Sized, left_out: list[dict[str, str]], mapper: str) -> str:
    """The message for fewer than MIN_PHOTOS registered photos: the first 20 reasons and what to try."""
    advice = [
        "add photos that overlap: every part of the landmark on 3 or more, neighbours taken a few steps apart",
        "look at the verdicts in photos/photos.csv for photos that were left out before",
        "set sfm.rescue to true, if it is not: it also matches what differs in light or direction",
        "raise sfm.max_features and sfm.max_size",
    ]
    if mapper != "incremental":
        advice.append("set sfm.mapper to incremental")
    shown = [_reason_line(photo) for photo in left_out[:20]]
    if len(left_out) > 20:
        shown.append(f"  and {len(left_out) - 20} more")
    return "\n".join(
        [
            f"sfm: {len(photos) - len(left_out)} of {len(photos)} photos registered; a scene needs {MIN_PHOTOS}.",
            *shown,
            "What to try:",
            *(f"  - {line}" for line in advice),
        ]
    )


def _reason_line(photo: dict[str, str]) -> str:
    return f"  {photo['id']}  {photo['file']!r}: {photo['reason']}"


def _number(items: Sized, noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _by_image(pair_ids: list[int], counts: list[int]) -> dict[int, dict[int, int]]:
    """The counts of pairs as image id -> {other image id: count}."""
    table: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for pair_id, count in zip(pair_ids, counts, strict=True):
        a, b = pycolmap.pair_id_to_image_pair(pair_id)
        table[a][b] = table[b][a] = count
    return table
