"""Scores of a trained scene on its validation photos, beside baselines that need no learning.

A protocol says which part of a photo the appearance is taken from and which part is scored: `full` takes and scores
the whole photo, as in 2019; `half` takes the left half and scores the right one (NeRF-W); `half_refined` also refines
the appearance vector by gradient descent on the left half (NeRF-W, section 4.4).

A method makes the picture that is scored: `raw` is the render of the recoloured cloud; `R` is that render with its
holes filled and its colours fitted (`evaluation.baselines`), which with a surface is a mean-coloured mesh; `ours` is
the network.

Photos are scored at the networks' size and, where the scene has cameras, as views at the size of the photos that lend
their detail: drawn like the frames of a video, with labels predicted and detail from training photos alone.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import atomic_path, write_csv, write_image, write_json
from nrw.core.pictures import Overview, row
from nrw.core.progress import progress
from nrw.dataset.packed import PackedDataset, View
from nrw.evaluation.baselines import columns, fitted, renders
from nrw.evaluation.feature_distance import perceptual_unavailable
from nrw.evaluation.large_views import large_view
from nrw.evaluation.metrics import compare, lpips_unavailable

if TYPE_CHECKING:
    from torch import Tensor

    from nrw.scene.model import SceneModel
    from nrw.scene.views import Views


@dataclass(frozen=True)
class Protocol:
    """A way of scoring a photo.

    seen: columns the appearance is taken from. scored: columns scored. Both (first, last) as shares of the width.
    """

    seen: tuple[float, float]
    scored: tuple[float, float]
    title: str


PROTOCOLS = {  # by the name used in metrics.csv and metrics.json
    "full": Protocol((0.0, 1.0), (0.0, 1.0), "Appearance from the whole photo"),
    "half": Protocol((0.0, 0.5), (0.5, 1.0), "Appearance from the left half, scored on the right"),
    "half_refined": Protocol((0.0, 0.5), (0.5, 1.0), "The same, appearance refined on the left half"),
}
METHODS = {"raw": "render of the cloud", "R": "cloud, holes filled, colours fitted (R)", "ours": "nrw"}
METRICS = ("l1", "psnr", "ssim", "flip", "sharpness")  # over all pixels and over each mask
COLUMNS = (*METRICS, "perceptual", "lpips", *(f"{mask}_{metric}" for mask in ("static", "hit") for metric in METRICS))
TABLE = {  # of the log: title, width, format
    "psnr": ("PSNR", 6, ".2f"),
    "ssim": ("SSIM", 6, ".3f"),
    "l1": ("L1", 6, ".3f"),
    "flip": ("FLIP", 6, ".3f"),
    "perceptual": ("perceptual", 10, ".3f"),
    "lpips": ("LPIPS", 6, ".3f"),
    "sharpness": ("sharpness", 9, ".2f"),
    "static_psnr": ("static PSNR", 11, ".2f"),
    "static_ssim": ("static SSIM", 11, ".3f"),
}

logger = logging.getLogger(__name__)


def evaluate(
    model: "SceneModel",
    dataset: PackedDataset,
    views: "Views | None",
    photos_dir: Path | None,
    out_dir: Path | str,
    *,
    refine_steps: int,
) -> dict:
    """Score the validation photos, write metrics.csv, metrics.json and sheets/ to `out_dir`, and return the means.

    views, photos_dir: of a scene with cameras, and its undistorted photos at the size at which views are scored; None
    for an aligned data set, which is scored at the networks' size alone.

    metrics.csv has one row per photo, size, protocol and method: COLUMNS, as `metrics.compare` defines them, over all
    pixels, `static` pixels (no transient class in the photo's labels) and `hit` pixels (covered by the cloud).
    metrics.json has the means by protocol at the networks' size (`protocols`) and at the views' (`views`, with their
    median longer side and the share of the surface that has detail), the number of photos in each mean, and why
    perceptual or LPIPS is missing if it is. sheets/<id>.png shows render | labels | output | photo under `full` at the
    networks' size; sheets/overview.png shows up to 24 of these rows.
    refine_steps: 0 skips `half_refined`. Photos are processed one at a time. Raises UserError where there are none.
    """
    if not dataset.val_ids:
        raise UserError(
            f"{dataset.path} has no validation photos: raise dataset.min_validation and split the photos again"
        )
    out_dir = Path(out_dir)
    protocols = [name for name in PROTOCOLS if name != "half_refined" or refine_steps > 0]
    rows, overview = [], Overview()
    large, detailed = [], []
    with atomic_path(out_dir / "sheets") as sheets:
        sheets.mkdir(parents=True)
        for photo_id in progress(dataset.val_ids, len(dataset.val_ids), "evaluation"):
            view = dataset.view(photo_id)
            codes = {name: code(model, view, name, refine_steps) for name in protocols}
            outputs = {name: output(model, view, name, z) for name, z in codes.items()}
            rows += score(view, outputs, dataset.meta["transient"])
            if views is not None and photos_dir is not None:
                shown, seen = large_view(views, view, photos_dir / f"{photo_id}.jpg")
                drawn = {name: views.draw(seen, z) for name, z in codes.items()}
                large += score(shown, drawn, dataset.meta["transient"])
                detailed.append(seen.detailed)
            ours = next(row for row in rows[::-1] if (row["protocol"], row["method"]) == ("full", "ours"))
            captions = [
                "render",
                "labels",
                f"output {ours['psnr']:.1f} dB, SSIM {ours['ssim']:.3f}",
                f"photo {photo_id}",
            ]
            pictures = [view.color[0], ade20k.colorize(view.labels), outputs["full"], view.pixels]
            sheet = row([np.asarray(picture) for picture in pictures], captions)
            write_image(sheets / f"{photo_id}.png", sheet)
            overview.add(sheet)
        overview.write(sheets / "overview.png")
    means = summarize(rows, protocols)
    result = {"photos": dataset.val_ids, "refine_steps": refine_steps, "protocols": means}
    result |= {"perceptual_unavailable": perceptual_unavailable(), "lpips_unavailable": lpips_unavailable()}
    if large:
        sizes = [row["size"] for row in large]
        result["views"] = {
            "size": int(np.median(sizes)),
            "detailed": float(np.mean(detailed)),
            "protocols": summarize(large, protocols),
        }
    write_csv(out_dir / "metrics.csv", rows + large, ["id", "size", "protocol", "method", *COLUMNS])
    write_json(out_dir / "metrics.json", result)
    logger.info("%s", report(result))
    return result


def report(result: Mapping) -> str:
    """Format the means of metrics.json as text."""
    parts = [table(result["protocols"])]
    if "views" in result:
        views = result["views"]
        parts += [f"as views of {views['size']} pixels:", table(views["protocols"])]
    return "\n".join(parts)


def code(model: "SceneModel", view: View, protocol: str, refine_steps: int) -> "Tensor":
    """Compute the appearance code (Z,) of a photo under a protocol."""
    seen = PROTOCOLS[protocol].seen
    z = model.encode(view, seen)
    return model.refine(view, z, seen, refine_steps) if protocol == "half_refined" else z


def output(model: "SceneModel", view: View, protocol: str, z: "Tensor") -> np.ndarray:
    """Draw a photo's view with the network under a protocol: (H, W, 3) uint8. z: its `code`.

    The half protocols use nothing of the right half: its labels are predicted too, where the scene has completion.
    """
    return model.render_view(view, z, predict_labels=PROTOCOLS[protocol].seen != PROTOCOLS[protocol].scored)


def score(view: View, outputs: Mapping[str, np.ndarray], transient: Sequence[int]) -> list[dict]:
    """Compute the rows of metrics.csv for one photo. outputs: protocol -> the network's picture (H, W, 3) uint8."""
    pixels, baselines = np.asarray(view.pixels), renders(view)
    masks = {"static": ~np.isin(view.labels, transient), "hit": view.depth[0] > 0}
    rows, known = [], {}
    for name, ours in outputs.items():
        seen, scored = PROTOCOLS[name].seen, PROTOCOLS[name].scored
        part = columns(pixels.shape[1], scored)
        if (seen, scored) not in known:  # the two half protocols share their baselines
            pictures = {"raw": np.asarray(view.color[0])}
            pictures |= {method: fitted(render, pixels, seen) for method, render in baselines.items()}
            known[seen, scored] = {
                method: _compare(picture, pixels, masks, part) for method, picture in pictures.items()
            }
        scores = {**known[seen, scored], "ours": _compare(ours, pixels, masks, part)}
        about = {"id": view.id, "size": max(pixels.shape), "protocol": name}
        rows += [{**about, "method": method, **figures} for method, figures in scores.items()]
    return rows


def summarize(rows: Sequence[Mapping], protocols: Sequence[str]) -> dict:
    """Average the rows: protocol -> method -> {metric: mean or None, ..., "photos": {metric: photos that have it}}.

    Methods come in the order of METHODS, and only those that have rows.
    """
    means: dict[str, dict[str, dict]] = {}
    for protocol in protocols:
        means[protocol] = {}
        made = {row["method"] for row in rows if row["protocol"] == protocol}
        for method in [method for method in METHODS if method in made]:
            chosen = [row for row in rows if (row["protocol"], row["method"]) == (protocol, method)]
            values = {metric: [row[metric] for row in chosen if row[metric] is not None] for metric in COLUMNS}
            means[protocol][method] = {
                metric: float(np.mean(found)) if found else None for metric, found in values.items()
            } | {"photos": {metric: len(found) for metric, found in values.items()}}
    return means


def table(means: Mapping) -> str:
    """Format the means as text, with the difference between the network and R."""
    titles = " ".join(f"{title:>{width}}" for title, width, _ in TABLE.values())
    lines = [f"{'protocol':13} {'method':9} {titles}"]
    for protocol, methods in means.items():
        lines += [_line(protocol, method, scores) for method, scores in methods.items()]
        gain = {
            metric: None if methods["ours"][metric] is None else methods["ours"][metric] - methods["R"][metric]
            for metric in COLUMNS
        }
        lines.append(_line(protocol, "ours - R", gain))
    return "\n".join(lines)


def _line(protocol: str, method: str, scores: Mapping) -> str:
    texts = [
        f"{'-' if scores[metric] is None else format(scores[metric], form):>{width}}"
        for metric, (_, width, form) in TABLE.items()
    ]
    return f"{protocol:13} {method:9} {' '.join(texts)}"


def _compare(picture: np.ndarray, pixels: np.ndarray, masks: Mapping[str, np.ndarray], part: slice) -> dict:
    return compare(picture[:, part], pixels[:, part], {name: mask[:, part] for name, mask in masks.items()})
