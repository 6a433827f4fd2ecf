"""The whole workflow at its smallest: a dozen demo photos, tiny pictures and networks."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from photo_folder import odd_names
from tiny_segmenter import train_segmenter

from nrw.core.folder import SOURCE

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = 12
TINY = [
    "--config",
    "scenes={place: {photos: photos}}",
    "ingest={min_size: 200}",
    "sfm={max_size: 640, max_features: 3000, reproducible: true}",
    "segmentation={model: segmenter, max_size: 256}",
    "mvs={max_size: 256, sources: 4}",
    "framebuffers={max_size: 128}",
    "dataset={min_density: 0.05}",
    "network={base_width: 8, max_width: 32, stages: 3}",
    "training={threads: 1, crop_size: 64, tick_kimg: 0.02, "
    "appearance: {kimg: 0.05, style_size: 64}, rerender: {kimg: 0.06}, finetune: {kimg: 0.06}, "
    "completion: {kimg: 0.04}}",
    "evaluation={refine_steps: 2}",
    "videos={size: 128, fps: 8, flythrough: {seconds: 2}, appearance: {seconds: 1, photos: 2}, "
    "joint: {seconds: 1, photos: 2}}",
]
SAME = ["--set-threads", "fuse_depths=1"]  # with several threads COLMAP orders the points another way each time
ALL = ["--cores", "2", "all", *SAME, *TINY]


def command(*arguments: str) -> list[str]:
    return [
        str(Path(sys.executable).parent / "snakemake"),
        *("--configfile", str(ROOT / "config" / "config.yaml"), "--snakefile", str(ROOT / "Snakefile")),
        *arguments,
    ]


def make_folder(folder: Path) -> None:
    """Fill a working directory: a dirty photo folder (nested, odd names, a broken file, a duplicate), a segmenter."""
    photos = folder / "photos"
    (photos / "Tag 1").mkdir(parents=True)
    sources = chosen_photos()
    for number, source in enumerate(sources):
        name = os.fsdecode(odd_names(number)[number])
        shutil.copy(source, (photos / "Tag 1" if number % 2 else photos) / name)
    shutil.copy(sources[0], photos / "again.jpg")
    (photos / "broken.jpg").write_bytes(sources[1].read_bytes()[:2000])
    demo = ROOT / "resources" / "demo"
    train_segmenter(demo, {source.relative_to(demo / "photos").as_posix() for source in sources}, folder / "segmenter")


def chosen_photos() -> list[Path]:
    """Photos by day, from neighbouring places: the nearest to their common centre."""
    truth = json.loads((ROOT / "resources" / "demo" / "truth" / "cameras.json").read_text())["photos"]
    places = {
        name: -np.array(photo["R"]).T @ photo["t"]
        for name, photo in truth.items()
        if photo["appearance"]["kind"] in ("noon", "overcast", "golden") and not photo["selfie"]
    }
    centre = np.median(list(places.values()), axis=0)
    nearest = sorted(places, key=lambda name: np.linalg.norm(places[name] - centre))[:PHOTOS]
    return [ROOT / "resources" / "demo" / "photos" / name for name in sorted(nearest)]


def content(results):
    """Hash of every result by path, None where it holds times, the order of rows or the place of the photos."""
    skipped = {"logs", "benchmarks", "checkpoints"}
    undetermined = {".key", ".db", ".jsonl"}
    timed = {"summary.json", "report.html", SOURCE}
    found = {}
    for path in sorted(results.rglob("*")):
        relative = path.relative_to(results)
        if path.is_dir() or skipped & set(relative.parts) or "tfevents" in path.name:
            continue
        found[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
        if path.suffix in undetermined or path.parent.name == "reports" or path.name in timed:
            found[relative] = None
    return found
