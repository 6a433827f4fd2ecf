"""What became of each photo: which model took it, or why none did."""

from collections import defaultdict
from collections.abc import Sized
from pathlib import Path

import pycolmap

from nrw.core.limits import MIN_PHOTOS
from nrw.sfm.matching import MIN_INLIERS

FEW_FEATURES = 100


def photos_left_out(
    photos: dict[str, dict[str, str]], database: Path | str, models: list[pycolmap.Reconstruction]
) -> list[dict[str, str]]:
    """For every photo that is not in the first (largest) model: {id, file, reason}."""
    connection = pycolmap.Database.open(database)
    image_ids = {Path(image.name).stem: image.image_id for image in connection.read_all_images()}
    features = {id: connection.num_keypoints_for_image(image_id) for id, image_id in image_ids.items()}
    matches = _by_image(*connection.read_num_matches())
    inliers = _by_image(*connection.read_two_view_geometry_num_inliers())
    connection.close()
    models = [{Path(model.images[id].name).stem for id in model.reg_image_ids()} for model in models]
    largest = {image_ids[id] for id in models[0]} if models else set()

    left_out = []
    for id, photo in photos.items():
        if id in image_ids and image_ids[id] in largest:
            continue
        raw = matches[image_ids[id]]
        verified = {other: count for other, count in inliers[image_ids[id]].items() if count >= MIN_INLIERS}
        placed = [count for other, count in verified.items() if other in largest]
        other_model = next((model for model in models[1:] if id in model), None)
        if not verified and features[id] < FEW_FEATURES:
            reason = f"{features[id] or 'no'} features: blurred, or without texture"
        elif not verified and not raw:
            reason = "no verified matches: no other photo shares a feature with it; does it show the place?"
        elif not verified:
            reason = (
                f"no verified matches: of {len(raw)} photos compared the best shares {max(raw.values(), default=0)} "
                f"features with it, but not {MIN_INLIERS} that agree on a geometry"
            )
        elif other_model:
            reason = f"matched, but in another model of {len(other_model)} photos"
        elif not placed:
            reason = f"matched with {_number(verified, 'photo')}, none of which was registered"
        else:
            reason = (
                f"matched with {_number(placed, 'registered photo')}, but its pose was not found "
                f"({max(placed)} inlier matches with the best of them)"
            )
        left_out.append({"id": id, "file": photo["file"], "reason": reason})
    return left_out


def _number(items: Sized, noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _by_image(pair_ids: list[int], counts: list[int]) -> dict[int, dict[int, int]]:
    """Counts of pairs as image id -> {other image id: count}."""
    table = defaultdict(dict)
    for pair_id, count in zip(pair_ids, counts, strict=True):
        a, b = pycolmap.pair_id_to_image_pair(pair_id)
        table[a][b] = table[b][a] = count
    return table


def summary_table(summary: dict) -> str:
    """`summary.json` as a text for people."""
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


def _reason_line(photo: dict[str, str]) -> str:
    return f"  {photo['id']}  {photo['file']!r}: {photo['reason']}"


def too_few(photos: dict, left_out: list[dict[str, str]], mapper: str) -> str:
    advice = [
        "add photos that overlap: every part of the landmark on 3 or more, neighbours taken a few steps apart",
        "look at the verdicts in photos/photos.csv for photos that were left out before",
        "raise sfm: max_features and sfm: max_size",
    ]
    if mapper != "incremental":
        advice.append("set sfm: mapper to incremental")
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
