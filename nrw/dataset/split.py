"""The split of the photos: which train, which validate, and which are too sparse for either."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

import numpy as np

from nrw.core.errors import UserError
from nrw.core.io import read_csv, write_csv
from nrw.core.limits import MIN_PHOTOS

SPLIT_FIELDS = ("id", "density", "split", "reason")


class SplitRow(TypedDict):
    """A row of split.csv. split: train, val or dropped. reason: why it is dropped, else empty."""

    id: str
    density: float
    split: str
    reason: str


def split_photos(
    densities: Mapping[str, float], *, min_density: float, validation_share: float, min_validation: int, seed: int
) -> list[SplitRow]:
    """Choose at random which photos train and which validate, and drop those whose render is sparse.

    densities: share of the pixels that show a point, by photo id; photos at or below `min_density` are dropped.
    Validation takes `validation_share` of the rest, at least `min_validation` photos, but never more than half.
    The choice depends on the seed and on the set of usable ids alone. Returns a row of SPLIT_FIELDS for each id, in
    order of id; `split` is train, val or dropped.
    Raises UserError when fewer than 3 photos are usable.
    """
    usable = sorted(photo_id for photo_id, density in densities.items() if density > min_density)
    if len(usable) < MIN_PHOTOS:
        listed = ", ".join(f"{photo_id}: {density:.3f}" for photo_id, density in sorted(densities.items()))
        raise UserError(
            f"Only {len(usable)} of {len(densities)} photos have a render that covers more than {min_density:g} of the "
            f"picture; at least {MIN_PHOTOS} are needed. Densities: {listed or 'none'}. Make the cloud denser (more "
            "photos, a larger mvs.max_size, a smaller mvs.min_views or mvs.voxel_size), its points larger "
            "(framebuffers.splat), or lower dataset.min_density."
        )
    count = min(max(min_validation, round(validation_share * len(usable))), len(usable) // 2)
    validation = set(np.random.default_rng(seed).permutation(usable)[:count].tolist())
    rows: list[SplitRow] = []
    for photo_id, density in sorted(densities.items()):
        dropped = density <= min_density
        rows.append(
            {
                "id": photo_id,
                "density": round(float(density), 4),
                "split": "dropped" if dropped else "val" if photo_id in validation else "train",
                "reason": f"density is not above {min_density:g}" if dropped else "",
            }
        )
    return rows


def write_split(path: Path | str, rows: Iterable[SplitRow]) -> None:
    """Write the rows of `split_photos` as CSV."""
    write_csv(path, rows, SPLIT_FIELDS)


def read_split(path: Path | str) -> dict[str, str]:
    """train, val or dropped, by photo id, in order of id."""
    return {row["id"]: row["split"] for row in sorted(read_csv(path), key=lambda row: row["id"])}
