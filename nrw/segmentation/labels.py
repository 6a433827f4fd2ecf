"""Label maps of a scene's photos, and what classes they show."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nrw.core import ade20k
from nrw.core.io import read_image, write_image, write_json
from nrw.core.pieces import pending
from nrw.core.progress import progress
from nrw.segmentation.segmenter import Segmenter


def segment_photos(
    images_dir: Path | str,
    out_dir: Path | str,
    ids: Sequence[str],
    key_file: Path | str,
    *,
    model: str,
    max_size: int,
    device: str,
) -> None:
    """Write `<id>.png`, labels (H, W) uint8 of the size of `images_dir/<id>.jpg`, for a chunk of photos.

    Photos that are done are skipped (`core.pieces`; `key_file` belongs to this chunk), and where all are, the model is
    not even read. Raises UserError as Segmenter does.
    """
    images_dir, out_dir = Path(images_dir), Path(out_dir)
    photos = {photo: images_dir / f"{photo}.jpg" for photo in ids}
    fingerprint = {"model": model, "max_size": max_size, "photos": list(photos.values())}
    todo = pending(ids, key_file, fingerprint, lambda photo: [out_dir / f"{photo}.png"])
    if not todo:
        return
    segmenter = Segmenter(model, max_size, device)
    for photo in progress(todo, len(todo), "labelling photos"):
        with Image.open(photos[photo]) as image:
            pixels = np.array(image.convert("RGB"))
        write_image(out_dir / f"{photo}.png", segmenter(pixels))


def write_classes(
    segmentation_dir: Path | str,
    path: Path | str,
    ids: Iterable[str],
    *,
    model: str,
    transient: Iterable[str],
    sky: Iterable[str],
) -> None:
    """Write classes.json: what the label maps of all photos show.

    model: as configured. license: a reminder. photos: their number. transient, sky: the configured names. classes: by
    falling share, each with label 1–150, name, share of all pixels, photos that show it, and role (transient, sky, or
    scene). Raises UserError for a name that ADE20K does not have.
    """
    roles = dict.fromkeys(ade20k.labels_of(sky), "sky") | dict.fromkeys(ade20k.labels_of(transient), "transient")
    pixels, photos, count = np.zeros(256, np.int64), np.zeros(256, np.int64), 0
    for photo in ids:
        found = np.bincount(read_image(Path(segmentation_dir, f"{photo}.png")).ravel(), minlength=256)
        pixels += found
        photos += found > 0
        count += 1
    classes = [
        {
            "label": int(label),
            "name": ade20k.ADE20K_NAMES[label - 1] if label else "unknown",
            "share": round(float(pixels[label] / pixels.sum()), 6),
            "photos": int(photos[label]),
            "role": roles.get(int(label), "scene"),
        }
        for label in np.argsort(-pixels, kind="stable")
        if pixels[label]
    ]
    summary = {
        "model": model,
        "license": f"The labels were made by {model}; its model card states its licence, and ADE20K's photos, on which "
        "it was trained, are for non-commercial research and education.",
        "photos": count,
        "transient": list(transient),
        "sky": list(sky),
        "classes": classes,
    }
    write_json(path, summary)
