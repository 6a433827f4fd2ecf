"""What the page shows of each stage, read from a finished scene's folder; photos are opened one by one."""

import json
import os
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

import numpy as np
import yaml
from PIL import Image

from nrw.config.resolve import complete_preset
from nrw.core import ade20k
from nrw.core.io import read_image, read_json
from nrw.core.progress import duration
from nrw.framebuffers.aligned import aligned_paths
from nrw.jobs.records import Cost
from nrw.report import figures
from nrw.report.pictures import data_uri, side_by_side

SAMPLE = 60  # photos from which coverage and examples are taken
EXAMPLE = 720  # pixels, width of a row of pictures
EXAMPLES = 6  # label maps
SHEET = 1100  # pixels, width of a validation photo's sheet
SHEETS = 12
STAGES = {
    "appearance": ("Stage 1: appearance", "The encoder learns which photos look alike. The triplet loss should fall."),
    "rerender": (
        "Stage 2: rerendering, appearance fixed",
        "The loss should fall and the validation score rise; both flatten when the stage is done.",
    ),
    "finetune": (
        "Stage 3: everything together",
        "As in stage 2. A loss that falls while the validation score falls too means photos learnt by heart.",
    ),
    "completion": (
        "Labels of novel views",
        "What a new view's labels will be, learnt from the photos' own. The accuracy should rise.",
    ),
}
KINDS = {
    "flythrough": ("Fly-through", "Past the cameras, in the most typical light."),
    "appearance": ("Appearance", "One view in the light of several photos."),
    "joint": ("Both together", "Viewpoint and light change from photo to photo."),
}
METHODS = {"raw": "render of the cloud", "R": "cloud, holes filled, colours fitted (R)", "ours": "nrw"}
PROTOCOLS = {
    "full": "Appearance from the whole photo",
    "half": "Appearance from the left half, scored on the right",
    "half_refined": "The same, appearance refined on the left half",
}
SCORES = {"psnr": ("PSNR, dB", ".2f"), "ssim": ("SSIM", ".3f"), "l1": ("L1", ".3f"), "lpips": ("LPIPS", ".3f")}
VIRIDIS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]])


def videos(scene_dir: Path) -> list[dict]:
    """The videos, the three usual ones first: {title, caption, source, poster, width, height}."""
    files = {path.stem: path for path in sorted((scene_dir / "videos").glob("*.mp4"))}
    found = []
    for kind in sorted(files, key=lambda kind: ([*KINDS, kind].index(kind), kind)):
        title, caption = KINDS.get(kind, (kind, "A camera path of your own."))
        with Image.open(files[kind].with_suffix(".png")) as poster:
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


def covered(aligned_dir: Path, ids: Sequence[str], ignored: Sequence[int]) -> dict[str, float]:
    """Of some of the photos, the share of the pixels with none of the `ignored` labels (1–150) that show a point."""
    shares = {}
    for photo in _some(ids, SAMPLE):
        paths = aligned_paths(aligned_dir, photo)
        hit = read_image(paths["color"])[..., 3] > 0
        could = ~np.isin(read_image(paths["seg"]), ignored) if ignored else np.ones_like(hit)
        if could.any():
            shares[photo] = float(hit[could].mean())
    return shares


def coverage_examples(aligned_dir: Path, rows: Sequence[Mapping]) -> list[dict]:
    """The best, the middle and the worst covered of the photos in use: {caption, picture} of photo | render | depth."""
    used = sorted((row for row in rows if row["split"] != "dropped"), key=lambda row: -row["density"])
    places = dict.fromkeys([0, len(used) // 2, len(used) - 1])
    examples = []
    for name, place in zip(("best", "typical", "least"), places, strict=False):
        row = used[place]
        paths = aligned_paths(aligned_dir, row["id"])
        color = read_image(paths["color"])
        shown = np.where(color[..., 3:] > 0, color[..., :3], 236).astype(np.uint8)
        pictures = [read_image(paths["reference"]), shown, _depth_colors(read_image(paths["depth"]))]
        examples.append(
            {
                "caption": f"{name}: {row['file']}, {row['density']:.0%} of the picture covered",
                "picture": side_by_side(pictures, EXAMPLE),
            }
        )
    return examples


def _depth_colors(depth: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of a depth map (H, W): near yellow, far violet, none grey."""
    seen = depth > 0
    if not seen.any():
        return np.full((*depth.shape, 3), 236, np.uint8)
    near, far = np.percentile(depth[seen], [2, 98])
    place = 1 - np.clip((depth - near) / max(far - near, 1e-9), 0, 1)
    steps = np.linspace(0, 1, len(VIRIDIS))
    colors = np.stack([np.interp(place, steps, VIRIDIS[:, channel]) for channel in range(3)], axis=-1)
    return np.where(seen[..., None], colors, 236).astype(np.uint8)


def labels(scene_dir: Path, ids: Sequence[str]) -> dict:
    """{examples [{caption, picture}] of photo | labels, classes [{name, share, photos, role, color}], roles, model}.

    classes and model are empty for a scene that came aligned: what made its labels is not recorded.
    """
    aligned_dir = scene_dir / "aligned"
    examples = []
    for photo in _some(ids, EXAMPLES):
        paths = aligned_paths(aligned_dir, photo)
        pictures = [read_image(paths["reference"]), read_image(paths["seg_rgb"])]
        examples.append({"caption": f"photo {photo}", "picture": side_by_side(pictures, EXAMPLE)})
    found = scene_dir / "segmentation" / "classes.json"
    summary = read_json(found) if found.is_file() else {"classes": [], "model": ""}
    classes = [
        {**entry, "color": "rgb({},{},{})".format(*ade20k.colorize(np.uint8(entry["label"])).tolist())}
        for entry in summary["classes"]
        if entry["share"] >= 0.002
    ]
    roles = Counter()
    for entry in summary["classes"]:
        roles[entry["role"]] += entry["share"]
    return {"examples": examples, "classes": classes, "roles": roles, "model": summary["model"]}


def training(scene_dir: Path) -> list[dict]:
    """The stages that ran: {title, caption, figure, facts, sheet}; sheet: the last sample pictures, where there are."""
    stages = []
    for stage, (title, caption) in STAGES.items():
        rows = stats(scene_dir, stage)
        if not rows:
            continue
        samples = sorted((scene_dir / stage / "samples").glob("*.png"))
        sheet = None
        if samples:
            with Image.open(samples[-1]) as image:
                sheet = data_uri(image, EXAMPLE)
        last = rows[-1]
        facts = f"{last['kimg']:g} kimg in {duration(last['seconds'])}, {last['images_per_s']:.1f} crops a second"
        stages.append(
            {"title": title, "caption": caption, "figure": figures.curves(rows), "facts": facts, "sheet": sheet}
        )
    return stages


def stats(scene_dir: Path, stage: str) -> list[dict]:
    """The rows of a stage's stats.jsonl; none where the stage did not run."""
    file = scene_dir / stage / "stats.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def validation_curve(scene_dir: Path) -> list[tuple[str, float, float]]:
    """(stage, kimg, PSNR in dB) of each tick of stages 2 and 3."""
    return [
        (stage, row["kimg"], row["val_psnr"])
        for stage in ("rerender", "finetune")
        for row in stats(scene_dir, stage)
        if "val_psnr" in row
    ]


def metrics(summary: Mapping) -> list[dict]:
    """Tables of metrics.json, one a protocol: {title, columns, rows [(method, [text], whether it is ours)]}."""
    columns = [score for score in SCORES if score != "lpips" or not summary["lpips_unavailable"]]
    tables = []
    for protocol, methods in summary["protocols"].items():
        rows = [
            (METHODS[method], [_text(means[score], SCORES[score][1]) for score in columns], method == "ours")
            for method, means in methods.items()
        ]
        gains = [
            _text(_difference(methods["ours"][score], methods["R"][score]), "+" + SCORES[score][1]) for score in columns
        ]
        rows.append(("nrw − R", gains, False))
        tables.append({"title": PROTOCOLS[protocol], "columns": [SCORES[score][0] for score in columns], "rows": rows})
    return tables


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _text(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def sheets(scene_dir: Path) -> dict:
    """{total, pictures [{caption, picture}]}: sheets of validation photos, an even selection of SHEETS."""
    files = [path for path in sorted((scene_dir / "evaluation" / "sheets").glob("*.png")) if path.stem != "overview"]
    pictures = []
    for path in _some(files, SHEETS):
        with Image.open(path) as image:
            pictures.append({"caption": path.stem, "picture": data_uri(image, SHEET, quality=82)})
    return {"total": len(files), "pictures": pictures}


def timing(rows: Sequence[Cost]) -> dict:
    """{rows [{rule, jobs, time, cpu, memory, share}], total}; share: of the longest rule, for a bar."""
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
    """nrw, Python, the machine, and the packages that nrw asks for."""
    found = [("nrw", metadata.version("nrw")), ("Python", platform.python_version())]
    found.append(("machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"))
    for requirement in metadata.requires("nrw") or []:
        name = re.match(r"[\w.-]+", requirement)[0]
        if "extra ==" not in requirement:
            try:
                found.append((name, metadata.version(name)))
            except metadata.PackageNotFoundError:  # for another platform
                continue
    return found


def configuration(config: Mapping) -> dict:
    """{preset, changed [(key, value, the preset's)], text}: text is the whole configuration as YAML."""
    usual = dict(_leaves(complete_preset(config["preset"])))
    changed = [
        (key, _short(value), _short(usual.get(key)))
        for key, value in _leaves(config)
        if not key.startswith("scenes.") and key != "preset" and usual.get(key) != value
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
    """An even selection of at most `count`."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]
