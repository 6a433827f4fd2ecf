"""Contents of the page, section by section, from the files of a finished scene; photos are opened one at a time."""

import json
import os
import platform
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import yaml
from PIL import Image

from nrw.config.choices import TRAINING_STAGES, VIDEO_KINDS
from nrw.config.resolve import complete_preset
from nrw.core import ade20k
from nrw.core.io import read_image, read_json
from nrw.core.progress import duration
from nrw.evaluation.scores import METHODS, PROTOCOLS
from nrw.framebuffers.aligned import aligned_paths
from nrw.jobs.records import Cost
from nrw.report import figures
from nrw.report.pictures import data_uri, side_by_side
from nrw.scene.files import SceneFiles

SAMPLE = 60  # photos from which coverage is measured
EXAMPLE = 720  # pixels, width of a row of pictures
EXAMPLES = 6  # label maps
SHEET = 1100  # pixels, width of the sheet of a validation photo
SHEETS = 12
STAGE_TEXTS = {  # title, caption
    "appearance": ("Stage 1: appearance", "The encoder learns which photos look alike. The triplet loss should fall."),
    "rerender": (
        "Stage 2: rerendering, appearance fixed",
        "The loss should fall and the validation score rise; both flatten towards the end of the stage.",
    ),
    "finetune": (
        "Stage 3: everything together",
        "As in stage 2. A validation score that falls together with the loss is a sign of overfitting.",
    ),
    "completion": (
        "Labels of novel views",
        "The completion network learns to predict the labels of views without a photo. The accuracy should rise.",
    ),
}
VIDEO_TEXTS = {  # title, caption
    "flythrough": ("Fly-through", "Past the cameras, in the most typical light."),
    "appearance": ("Appearance", "One view in the light of several photos."),
    "joint": ("Both together", "Viewpoint and light change from photo to photo."),
}
METRICS = {  # title, format
    "psnr": ("PSNR, dB", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "l1": ("L1", ".3f"),
    "flip": ("FLIP", ".3f"),
    "perceptual": ("perceptual", ".3f"),
    "lpips": ("LPIPS", ".3f"),
    "sharpness": ("sharpness", ".2f"),
}
VIRIDIS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]])
NOTHING = 236  # gray of pixels without a point


def videos(files: SceneFiles) -> list[dict]:
    """List the videos, those of the workflow first: [{title, caption, source, poster, width, height}]."""
    kinds = [path.stem for path in files.videos]
    found = []
    for kind in sorted(kinds, key=lambda kind: ([*VIDEO_KINDS, kind].index(kind), kind)):
        title, caption = VIDEO_TEXTS.get(kind, (kind, "A camera path of your own."))
        with Image.open(files.poster(kind)) as poster:
            width, height = poster.size
            address = data_uri(poster, 640)
        found.append(
            {
                "title": title,
                "caption": caption,
                "source": f"videos/{quote(kind)}.mp4",
                "poster": address,
                "width": width,
                "height": height,
            }
        )
    return found


def covered(aligned_dir: Path, ids: Sequence[str], masked: Sequence[int]) -> dict[str, float]:
    """Measure the share of pixels that show a point, by photo id, for up to SAMPLE photos.

    masked: labels (1–150) whose pixels do not count; photos without any other pixel are left out.
    """
    shares = {}
    for photo_id in _some(ids, SAMPLE):
        paths = aligned_paths(aligned_dir, photo_id)
        hit = read_image(paths["color"])[..., 3] > 0
        keep = ~np.isin(read_image(paths["seg"]), masked) if masked else np.ones_like(hit)
        if keep.any():
            shares[photo_id] = float(hit[keep].mean())
    return shares


def coverage_examples(aligned_dir: Path, rows: Sequence[Mapping]) -> list[dict]:
    """Show the best, the median and the least covered photo in use: [{caption, picture}] of photo | render | depth."""
    used = sorted((row for row in rows if row["split"] != "dropped"), key=lambda row: -row["density"])
    places = dict.fromkeys([0, len(used) // 2, len(used) - 1])
    examples = []
    for name, place in zip(("best", "typical", "least"), places, strict=False):
        row = used[place]
        paths = aligned_paths(aligned_dir, row["id"])
        color = read_image(paths["color"])
        shown = np.where(color[..., 3:] > 0, color[..., :3], NOTHING).astype(np.uint8)
        pictures = [read_image(paths["reference"]), shown, _depth_colors(read_image(paths["depth"]))]
        examples.append(
            {
                "caption": f"{name}: {row['file']}, {row['density']:.0%} of the picture covered",
                "picture": side_by_side(pictures, EXAMPLE),
            }
        )
    return examples


def _depth_colors(depth: np.ndarray) -> np.ndarray:
    """Colour a depth map (H, W): (H, W, 3) uint8, near yellow, far violet, none gray."""
    hit = depth > 0
    if not hit.any():
        return np.full((*depth.shape, 3), NOTHING, np.uint8)
    near, far = np.percentile(depth[hit], [2, 98])
    place = 1 - np.clip((depth - near) / max(far - near, 1e-9), 0, 1)
    steps = np.linspace(0, 1, len(VIRIDIS))
    colors = np.stack([np.interp(place, steps, VIRIDIS[:, channel]) for channel in range(3)], axis=-1)
    return np.where(hit[..., None], colors, NOTHING).astype(np.uint8)


def labels(files: SceneFiles, ids: Sequence[str]) -> dict:
    """Show the label maps: {examples [{caption, picture}] of photo | labels, classes, roles, model}.

    classes: [{label, name, share, photos, role, color}] of at least 0.2 % of the pixels. roles: share of the pixels by
    role. classes, roles and model are empty for a scene that came aligned: its labels have no record.
    """
    examples = []
    for photo_id in _some(ids, EXAMPLES):
        paths = aligned_paths(files.aligned, photo_id)
        pictures = [read_image(paths["reference"]), read_image(paths["seg_rgb"])]
        examples.append({"caption": f"photo {photo_id}", "picture": side_by_side(pictures, EXAMPLE)})
    summary: Mapping[str, Any] = read_json(files.classes) if files.classes.is_file() else {"classes": [], "model": ""}
    classes = [
        {**entry, "color": "rgb({},{},{})".format(*ade20k.colorize(np.array(entry["label"], np.uint8)).tolist())}
        for entry in summary["classes"]
        if entry["share"] >= 0.002
    ]
    roles: defaultdict[str, float] = defaultdict(float)
    for entry in summary["classes"]:
        roles[entry["role"]] += entry["share"]
    return {"examples": examples, "classes": classes, "roles": roles, "model": summary["model"]}


def training(files: SceneFiles) -> list[dict]:
    """Show the stages that ran: [{title, caption, figure, facts, sheet}]; sheet: the last samples, or None."""
    stages = []
    for stage in TRAINING_STAGES:
        rows = stats(files, stage)
        if not rows:
            continue
        title, caption = STAGE_TEXTS[stage]
        samples = files.sample_sheets(stage)
        sheet = None
        if samples:
            with Image.open(samples[-1]) as image:
                sheet = data_uri(image, EXAMPLE)
        last = rows[-1]
        facts = f"{last['kimg']:g} kimg in {duration(last['seconds'])}, {last['images_per_s']:.1f} crops per second"
        stages.append(
            {"title": title, "caption": caption, "figure": figures.curves(rows), "facts": facts, "sheet": sheet}
        )
    return stages


def stats(files: SceneFiles, stage: str) -> list[dict]:
    """Read the rows of a stage's stats.jsonl; none if the stage did not run."""
    file = files.stats(stage)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def validation_curve(files: SceneFiles) -> list[tuple[str, float, float]]:
    """Collect (stage, kimg, PSNR in dB) of each tick with a validation PSNR: those of stages 2 and 3."""
    return [
        (stage, row["kimg"], row["val_psnr"])
        for stage in TRAINING_STAGES
        for row in stats(files, stage)
        if "val_psnr" in row
    ]


def metrics(summary: Mapping) -> list[dict]:
    """Make the tables of metrics.json, one per size and protocol.

    Returns [{title, columns, rows [(method, [text], ours: bool)]}]. A metric that no method has is left out.
    """
    views = summary.get("views", {"size": 0, "protocols": {}})
    large = [(f", {views['size']} pixels", *scored) for scored in views["protocols"].items()]
    tables = []
    for size, protocol, methods in [*large, *(("", *scored) for scored in summary["protocols"].items())]:
        columns = [metric for metric in METRICS if any(means.get(metric) is not None for means in methods.values())]
        rows = [
            (METHODS[method], [_text(means[metric], METRICS[metric][1]) for metric in columns], method == "ours")
            for method, means in methods.items()
        ]
        ours, r = methods["ours"], methods["R"]
        gains = [_text(_difference(ours[metric], r[metric]), "+" + METRICS[metric][1]) for metric in columns]
        rows.append(("nrw − R", gains, False))
        titles = [METRICS[metric][0] for metric in columns]
        tables.append({"title": PROTOCOLS[protocol].title + size, "columns": titles, "rows": rows})
    return tables


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _text(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def sheets(files: SceneFiles) -> dict:
    """Show the sheets of validation photos, an even selection of at most SHEETS: {total, pictures [...]}."""
    paths = [path for path in sorted(files.sheets.glob("[!.]*.png")) if path.stem != "overview"]
    pictures = []
    for path in _some(paths, SHEETS):
        with Image.open(path) as image:
            pictures.append({"caption": path.stem, "picture": data_uri(image, SHEET, quality=82)})
    return {"total": len(paths), "pictures": pictures}


def timing(rows: Sequence[Cost]) -> dict:
    """Format the costs: {rows [{rule, jobs, time, cpu, memory, share}], total, memory}.

    share: of the time of the longest rule, for a bar. total: time. memory: that of the largest job.
    """
    longest = max((row.seconds for row in rows), default=0.0) or 1.0
    return {
        "rows": [
            {
                "rule": row.rule,
                "jobs": row.jobs,
                "time": duration(row.seconds),
                "cpu": duration(row.cpu_seconds),
                "memory": f"{row.memory / 1000:.1f} GB",
                "share": row.seconds / longest,
            }
            for row in rows
        ],
        "total": duration(sum(row.seconds for row in rows)),
        "memory": f"{max((row.memory for row in rows), default=0.0) / 1000:.1f} GB",
    }


def versions() -> list[tuple[str, str]]:
    """List nrw, Python, the machine, and the packages that nrw requires, each with its version."""
    found = [("nrw", metadata.version("nrw")), ("Python", platform.python_version())]
    found.append(("machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"))
    for requirement in metadata.requires("nrw") or []:
        name = re.split(r"[^\w.-]", requirement)[0]
        if "extra ==" not in requirement:
            try:
                found.append((name, metadata.version(name)))
            except metadata.PackageNotFoundError:  # required on another platform only
                continue
    return found


def configuration(config: Mapping) -> dict:
    """Compare with the preset: {preset, changed [(key, value, value of the preset)], text}.

    text: the whole configuration as YAML.
    """
    defaults = dict(_leaves(complete_preset(config["preset"])))
    changed = [
        (key, _short(value), _short(defaults.get(key)))
        for key, value in _leaves(config)
        if not key.startswith("scenes.") and key != "preset" and defaults.get(key) != value
    ]
    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return {"preset": config["preset"], "changed": changed, "text": text}


def _leaves(config: Mapping, prefix: str = "") -> list[tuple[str, object]]:
    leaves = []
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            leaves += _leaves(value, f"{prefix}{key}.")
        else:
            leaves.append((f"{prefix}{key}", value))
    return leaves


def _short(value: object) -> str:
    return "–" if value is None else json.dumps(value, ensure_ascii=False)


def _some(items: Sequence, count: int) -> list:
    """Select at most `count` items, evenly spaced."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]
