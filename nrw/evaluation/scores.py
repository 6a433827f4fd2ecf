"""Scores of a trained scene on its validation photos, beside what no learning gives.

Three protocols, which differ in the part of the photo that the appearance is taken from and the part that is scored:
`full`: the whole photo, scored whole (2019); `half`: the left half, scored on the right (NeRF-W);
`half_refined`: as `half`, with gradient steps on the appearance vector, on the left half only (NeRF-W, section 4.4).

Three methods: `raw`, the render of the recoloured cloud; `R`, that render with its holes filled and its colours fitted
(nrw.evaluation.baselines); `ours`, the network.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import atomic_path, write_csv, write_image, write_json
from nrw.core.pictures import Overview, row
from nrw.core.progress import progress
from nrw.dataset.packed import PackedDataset, View
from nrw.evaluation.baselines import columns, recoloured
from nrw.evaluation.metrics import compare, lpips_unavailable

if TYPE_CHECKING:
    from nrw.scene.model import SceneModel

PROTOCOLS = {  # name: (columns the appearance is taken from, columns scored), shares of the width
    "full": ((0.0, 1.0), (0.0, 1.0)),
    "half": ((0.0, 0.5), (0.5, 1.0)),
    "half_refined": ((0.0, 0.5), (0.5, 1.0)),
}
METHODS = ("raw", "R", "ours")
FIGURES = ("l1", "psnr", "ssim")
COLUMNS = (*FIGURES, "lpips", *(f"{mask}_{figure}" for mask in ("static", "hit") for figure in FIGURES))

logger = logging.getLogger(__name__)


def evaluate(model: "SceneModel", dataset: PackedDataset, out_dir: Path | str, *, refine_steps: int) -> dict:
    """Score the validation photos; write metrics.csv, metrics.json and sheets/ into `out_dir`, and return the means.

    metrics.csv has a row per photo, protocol and method: l1, psnr (dB), ssim and lpips over all pixels, and the first
    three over `static` pixels (no transient class in the photo's labels) and `hit` pixels (the cloud covers them).
    metrics.json has the means, how many photos entered each, and why LPIPS is missing where it is. sheets/<id>.png
    shows render | labels | output | photo under `full`; sheets/overview.png shows up to 24 of them. refine_steps: 0
    leaves `half_refined` out. Photos are worked on one by one. Raises UserError where there are none.
    """
    if not dataset.val_ids:
        raise UserError(f"{dataset.path} has no validation photos: raise dataset.min_validation and split it anew")
    out_dir = Path(out_dir)
    protocols = [name for name in PROTOCOLS if name != "half_refined" or refine_steps > 0]
    rows, overview = [], Overview()
    with atomic_path(out_dir / "sheets") as sheets:
        sheets.mkdir(parents=True)
        for photo in progress(dataset.val_ids, len(dataset.val_ids), "evaluation"):
            view = dataset.view(photo)
            outputs = {name: output(model, view, name, refine_steps) for name in protocols}
            rows += score(view, outputs, dataset.meta["transient"])
            figures = next(row for row in rows[::-1] if (row["protocol"], row["method"]) == ("full", "ours"))
            captions = [
                "render",
                "labels",
                f"output {figures['psnr']:.1f} dB, SSIM {figures['ssim']:.3f}",
                f"photo {photo}",
            ]
            pictures = [view.color[0], ade20k.colorize(view.labels), outputs["full"], view.photo]
            sheet = row([np.asarray(picture) for picture in pictures], captions)
            write_image(sheets / f"{photo}.png", sheet)
            overview.add(sheet)
        overview.write(sheets / "overview.png")
    means = summarize(rows, protocols)
    result = {"photos": dataset.val_ids, "refine_steps": refine_steps, "protocols": means}
    result["lpips_unavailable"] = lpips_unavailable()
    write_csv(out_dir / "metrics.csv", rows, ["id", "protocol", "method", *COLUMNS])
    write_json(out_dir / "metrics.json", result)
    logger.info("%s", table(means))
    return result


def output(model: "SceneModel", view: View, protocol: str, refine_steps: int) -> np.ndarray:
    """The network's picture (H, W, 3) uint8 of a photo's view.

    Under the half protocols nothing of the right half is known: its labels too are predicted, where the model can.
    """
    seen, scored = PROTOCOLS[protocol]
    z = model.encode(view, seen)
    if protocol == "half_refined":
        z = model.refine(view, z, seen, refine_steps)
    return model.render_view(view, z, predict_labels=seen != scored)


def score(view: View, outputs: Mapping[str, np.ndarray], transient: Sequence[int]) -> list[dict]:
    """Rows of metrics.csv for one photo. outputs: protocol -> the network's picture (H, W, 3) uint8."""
    photo, color, hit = np.asarray(view.photo), np.asarray(view.color[0]), view.depth[0] > 0
    masks = {"static": ~np.isin(view.labels, transient), "hit": hit}
    rows, known = [], {}
    for protocol, ours in outputs.items():
        seen, scored = PROTOCOLS[protocol]
        part = columns(photo.shape[1], scored)
        if (seen, scored) not in known:  # the two half protocols share their baselines
            pictures = {"raw": color, "R": recoloured(color, hit, photo, seen)}
            known[seen, scored] = {name: _compare(picture, photo, masks, part) for name, picture in pictures.items()}
        figures = {**known[seen, scored], "ours": _compare(ours, photo, masks, part)}
        rows += [{"id": view.id, "protocol": protocol, "method": name, **figures[name]} for name in METHODS]
    return rows


def summarize(rows: Sequence[Mapping], protocols: Sequence[str]) -> dict:
    """protocol -> method -> {figure: mean or None, ..., "photos": {figure: number of photos that have it}}."""
    means = {}
    for protocol in protocols:
        means[protocol] = {}
        for method in METHODS:
            chosen = [row for row in rows if (row["protocol"], row["method"]) == (protocol, method)]
            values = {figure: [row[figure] for row in chosen if row[figure] is not None] for figure in COLUMNS}
            means[protocol][method] = {
                figure: float(np.mean(found)) if found else None for figure, found in values.items()
            } | {"photos": {figure: len(found) for figure, found in values.items()}}
    return means


def table(means: Mapping) -> str:
    """The means as text, with what the network adds to R."""
    lines = [
        f"{'protocol':13} {'method':9} {'PSNR':>6} {'SSIM':>6} {'L1':>6} {'LPIPS':>6} | {'static PSNR':>11} {'SSIM':>6}"
    ]
    for protocol, methods in means.items():
        for method in METHODS:
            lines.append(_line(protocol, method, methods[method]))
        gain = {
            figure: None if methods["ours"][figure] is None else methods["ours"][figure] - methods["R"][figure]
            for figure in COLUMNS
        }
        lines.append(_line(protocol, "ours - R", gain))
    return "\n".join(lines)


def _line(protocol: str, method: str, figures: Mapping) -> str:
    def text(figure: str, width: int, digits: int) -> str:
        value = figures[figure]
        return f"{'-' if value is None else format(value, f'.{digits}f'):>{width}}"

    whole = f"{text('psnr', 6, 2)} {text('ssim', 6, 3)} {text('l1', 6, 3)} {text('lpips', 6, 3)}"
    return f"{protocol:13} {method:9} {whole} | {text('static_psnr', 11, 2)} {text('static_ssim', 6, 3)}"


def _compare(picture: np.ndarray, photo: np.ndarray, masks: Mapping[str, np.ndarray], part: slice) -> dict:
    return compare(picture[:, part], photo[:, part], {name: mask[:, part] for name, mask in masks.items()})
