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

LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")


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
    """Read a painted label map (H, W) uint8.

    It is gray, with ADE20K labels 0–150 as values (8 or 16 bits, also stored as RGB or with a palette), or in the
    colours of `_seg_rgb` (RGB or a palette).

    shape: (H, W) of the view. Raises UserError where the file is missing, cannot be read, is compressed with loss, has
    another size, is transparent, has values or colours that stand for no class, or could mean both.
    """
    try:
        with Image.open(path) as image:
            if image.format not in LOSSLESS:
                raise UserError(f"label map {path} is {image.format}, which may change values; save it as PNG")
            image.load()
    except FileNotFoundError:
        raise UserError(f"label map {path} does not exist") from None
    except OSError as error:
        raise UserError(f"label map {path} cannot be read: {error}") from error
    if image.size != shape[::-1]:
        raise UserError(
            f"label map {path} is {image.width}x{image.height}, its view {shape[1]}x{shape[0]}: start from the view's "
            "own map, aligned/NNNN_seg_rgb.png of the scene"
        )
    if image.mode == "L" or image.mode.startswith("I"):
        return _labels_of_values(np.array(image), path)
    if image.mode not in ("RGB", "RGBA", "LA", "P", "PA", "1"):
        raise UserError(f"label map {path} has pixels of kind {image.mode}; save it as a gray or RGB PNG")
    pixels = np.array(image.convert("RGBA"))
    if (pixels[..., 3] < 255).any():
        raise UserError(f"label map {path} is transparent in places, which stands for no class; flatten and save it")
    return _labels_of_colors(pixels[..., :3], path)


def _labels_of_values(values: np.ndarray, path: Path | str) -> np.ndarray:
    """The labels of a gray map (H, W) of any integer type. Raises UserError for other values than 0 to 150."""
    wrong = values[(values < 0) | (values > ade20k.N_LABELS)]
    if wrong.size:
        raise UserError(f"label map {path} has the value {wrong.max()}; ADE20K labels are 0 to {ade20k.N_LABELS}")
    return values.astype(np.uint8)


def _labels_of_colors(colors: np.ndarray, path: Path | str) -> np.ndarray:
    """The labels of a map (H, W, 3) uint8, by its colours, or by its values where all are gray.

    Raises UserError for colours that stand for no class, and for grays that are labels and colours of other classes.
    """
    distance, by_color, values = ade20k.palette_distance(colors), ade20k.labels_from_colors(colors), colors[..., 0]
    if (colors == values[..., None]).all():
        if distance.any():
            return _labels_of_values(values, path)
        if values.max() <= ade20k.N_LABELS and (values != by_color).any():
            raise UserError(
                f"label map {path} is gray, and its values are ADE20K labels as well as colours of _seg_rgb: save it "
                "with a single channel (gray PNG) if they are labels; paint something in colour if they are colours"
            )
        return by_color
    strange = colors[distance > ade20k.COLOR_TOLERANCE]
    if strange.size:
        found, counts = np.unique(strange, axis=0, return_counts=True)
        raise UserError(
            f"label map {path} has {len(strange)} pixels in colours of no class, most of them "
            f"{tuple(found[counts.argmax()].tolist())}: take the colours from the view's own map, "
            "aligned/NNNN_seg_rgb.png of the scene, and paint with a hard brush"
        )
    return by_color


def _alike(label: int) -> list[int]:
    """List the labels of the same group; a class without a group of its own stands alone."""
    group = ade20k.GROUPS[label]
    return [label] if group == ade20k.OTHER_GROUP else np.flatnonzero(group == ade20k.GROUPS).tolist()


def _names(groups: Iterable[int]) -> str:
    """Name the classes of these groups."""
    members = [name for group in sorted(groups) for name in ade20k.GROUP_MEMBERS[group]]
    return ", ".join(members) or "none of the named classes"
