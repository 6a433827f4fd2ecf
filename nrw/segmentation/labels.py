"""Label maps of a scene's photos, and the classes that they show."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from nrw.core import ade20k
from nrw.core.io import read_image, write_image, write_json
from nrw.core.pieces import pending, remove_others
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

    Finished photos are skipped (`core.pieces`; `key_file` belongs to this chunk); where all are finished, the model is
    not loaded. Raises UserError as Segmenter does.
    """
    images_dir, out_dir = Path(images_dir), Path(out_dir)
    paths = {photo_id: images_dir / f"{photo_id}.jpg" for photo_id in ids}
    fingerprint = {"model": model, "max_size": max_size, "photos": list(paths.values())}
    todo = pending(ids, key_file, fingerprint, lambda photo_id: [out_dir / f"{photo_id}.png"])
    if not todo:
        return
    segmenter = Segmenter(model, max_size, device)
    for photo_id in progress(todo, len(todo), "labelling photos"):
        with Image.open(paths[photo_id]) as image:
            pixels = np.array(image.convert("RGB"))
        write_image(out_dir / f"{photo_id}.png", segmenter(pixels))


def gather_classes(
    segmentation_dir: Path | str,
    path: Path | str,
    ids: Iterable[str],
    *,
    model: str,
    transient: Iterable[str],
    sky: Iterable[str],
) -> None:
    """Write classes.json: the classes that the label maps of all photos show. Label maps of other photos are deleted.

    Its keys: model, as configured; license, a reminder; photos, their number; transient and sky, the configured names;
    classes, by decreasing share, each with label (1–150; 0: unknown), name, share of all pixels, photos (the number
    that show it) and role (transient, sky or scene). Raises UserError for a name that ADE20K does not have.
    """
    ids = list(ids)
    remove_others(ids, lambda photo_id: [Path(segmentation_dir, f"{photo_id}.png")])
    roles = dict.fromkeys(ade20k.labels_of(sky), "sky") | dict.fromkeys(ade20k.labels_of(transient), "transient")
    pixels, photos, count = np.zeros(256, np.int64), np.zeros(256, np.int64), 0  # pixels and photos of each label
    for photo_id in ids:
        found = np.bincount(read_image(Path(segmentation_dir, f"{photo_id}.png")).ravel(), minlength=256)
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
