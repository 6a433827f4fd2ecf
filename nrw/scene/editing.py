"""Semantic editing: replace one class of a label map by another, or read a painted label map.

The networks draw what the labels say: a lawn that is labelled pavement becomes pavement (Meshry et al. 2019). They can
only draw classes that they were trained on.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from nrw.core import ade20k
from nrw.core.errors import UserError


def parse(edits: Iterable[str]) -> dict[str, str]:
    """Parse ["grass=sidewalk"] to {"grass": "sidewalk"}.

    Raises UserError for an entry that is not a pair, and for a class that is given twice.
    """
    replacements: dict[str, str] = {}
    for edit in edits:
        source, _, target = (part.strip() for part in edit.partition("="))
        if not source or not target:
            raise UserError(f"edit {edit!r}: a pair of ADE20K names such as grass=sidewalk is expected")
        if source in replacements:
            raise UserError(f"edit {edit!r}: {source} is replaced by {replacements[source]} already")
        replacements[source] = target
    return replacements


def table(replacements: Mapping[str, str], meta: Mapping, predicted: Iterable[int] | None = None) -> np.ndarray | None:
    """Build the table of replacements: (256,) uint8, to be indexed with a label map; None without replacements.

    Classes that the networks cannot tell apart (`core.ade20k.GROUPS`: road, sidewalk and floor) are replaced together.
    All replacements apply at once, so that two classes can swap places.

    replacements: ADE20K name -> name. meta: of the packed data set that the networks were trained on. predicted: the
    labels that can occur, where label maps are predicted; None: all of them.
    Raises UserError for a scene without labels, an unknown name (suggesting the nearest), a pair that the networks
    cannot tell apart, a target that they were not trained on, and a source that no predicted label map shows.
    """
    if not replacements:
        return None
    require_labels(meta)
    trained = meta["classes"]
    edited = np.arange(256, dtype=np.uint8)
    for source, target in replacements.items():
        old, new = ade20k.label_of(source), ade20k.label_of(target)
        group = ade20k.GROUPS[new]
        if group == ade20k.OTHER_GROUP or group not in trained:
            raise UserError(
                f"edit {source}={target}: the networks of this scene were not trained on {target}; "
                f"they know {_names(trained)}"
            )
        members = _alike(old)
        if new in members:
            raise UserError(f"edit {source}={target}: the networks see {source} and {target} as the same class")
        if predicted is not None and not set(members) & set(predicted):
            raise UserError(
                f"edit {source}={target}: no predicted label map of this scene shows {source}; they show "
                f"{_names({int(ade20k.GROUPS[label]) for label in predicted})}"
            )
        taken = [label for label in members if edited[label] not in (label, new)]
        if taken:
            raise UserError(
                f"edit {source}={target}: to the networks {source} is the same class as another that is replaced by "
                f"{ade20k.ADE20K_NAMES[edited[taken[0]] - 1]}"
            )
        edited[members] = new
    return edited


def require_labels(meta: Mapping) -> None:
    """Raise UserError if the data set of the scene (`meta`) has no labels."""
    if not meta["classes"]:
        raise UserError(
            "there are no labels to edit: this scene's photos were not segmented (segmentation.model is none)"
        )


def read_painted(path: Path | str, shape: tuple[int, int]) -> np.ndarray:
    """Read a painted label map (H, W) uint8: a gray PNG of ADE20K labels 0–150, or a PNG in the colours of `_seg_rgb`.

    shape: (H, W) of the view. Raises UserError where the file is missing, cannot be read, has another size, or has
    other values.
    """
    try:
        with Image.open(path) as image:
            pixels = np.array(image if image.mode == "L" else image.convert("RGB"))
    except FileNotFoundError:
        raise UserError(f"label map {path} does not exist") from None
    except OSError as error:
        raise UserError(f"label map {path} cannot be read: {error}") from error
    if pixels.shape[:2] != shape:
        raise UserError(
            f"label map {path} is {pixels.shape[1]}x{pixels.shape[0]}, its view {shape[1]}x{shape[0]}: start from the "
            "view's own map, aligned/NNNN_seg_rgb.png of the scene"
        )
    if pixels.ndim == 3:
        return ade20k.labels_from_colors(pixels)
    if pixels.max() > ade20k.N_LABELS:
        raise UserError(f"label map {path} has the value {pixels.max()}; ADE20K labels are 0 to {ade20k.N_LABELS}")
    return pixels


def _alike(label: int) -> list[int]:
    """List the labels of the same group; a class without a group of its own stands alone."""
    group = ade20k.GROUPS[label]
    return [label] if group == ade20k.OTHER_GROUP else np.flatnonzero(group == ade20k.GROUPS).tolist()


def _names(groups: Iterable[int]) -> str:
    """Name the classes of these groups."""
    members = [name for group in sorted(groups) for name in ade20k.GROUP_MEMBERS[group]]
    return ", ".join(members) or "none of the named classes"
