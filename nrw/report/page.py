"""The page: what the sections gathered, judged and put into the template."""

import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import jinja2
import numpy as np
from plotly.offline import get_plotlyjs

from nrw.core.io import atomic_path, read_csv, read_json
from nrw.dataset.packed import PackedDataset
from nrw.geometry.cameras import read_cameras
from nrw.jobs.records import costs
from nrw.report import figures, sections, verdict
from nrw.report.photos import photos_of, wall

logger = logging.getLogger(__name__)


def write_report(scene_dir: Path | str, config: Mapping, out_html: Path | str) -> None:
    """Write the page of a finished scene: one file, beside which only the videos have to lie.

    config: the complete configuration. The scene, named after its folder, began with photos or came aligned as
    config["scenes"] says. Photos stream; the page holds at most `WALL` thumbnails of them and a few pictures a section.
    """
    scene_dir = Path(scene_dir)
    content = gather(scene_dir, config)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nrw.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html")
    with atomic_path(out_html) as temporary:
        template.stream(plotly=get_plotlyjs(), **content).dump(str(temporary), encoding="utf-8")
    logger.info("%s: %s", content["headline"], Path(out_html))
    for finding in content["findings"]:
        logger.info("  %s: %s. %s", finding.level, finding.title, finding.text)


def gather(scene_dir: Path, config: Mapping) -> dict:
    """What the template shows."""
    source = config["scenes"][scene_dir.name]
    from_photos = "photos" in source
    dataset = PackedDataset(scene_dir / "dataset")
    labelled = bool(dataset.meta["classes"])
    photos = photos_of(scene_dir, from_photos)
    index = aligned_index(scene_dir)
    ignored = sorted(dataset.meta["sky"] + dataset.meta["transient"]) if labelled else []
    shares = sections.covered(scene_dir / "aligned", [row["id"] for row in index], ignored)
    scores = read_json(scene_dir / "evaluation" / "metrics.json")
    protocol = "half" if "half" in scores["protocols"] else "full"
    sfm = read_json(scene_dir / "sfm" / "summary.json") if from_photos else None
    mvs = read_json(scene_dir / "mvs" / "summary.json") if from_photos else None
    shown_labels = sections.labels(scene_dir, dataset.ids) if labelled else None

    findings = []
    if from_photos:
        findings.append(verdict.registration(sfm, sum(photo.fate == "unusable" for photo in photos)))
    dropped = sum(photo.fate == "dropped" for photo in photos)
    covered = float(np.median(list(shares.values())))
    findings.append(verdict.coverage(mvs and mvs["points"], covered, dropped, len(index), labelled))
    if from_photos:
        findings.append(verdict.labels(config["segmentation"]["model"], shown_labels["roles"] if shown_labels else {}))
    findings.append(verdict.against_baseline(scores["protocols"][protocol], len(scores["photos"])))
    findings.append(verdict.generalisation(sections.validation_curve(scene_dir), len(dataset.train_ids)))
    level, headline = verdict.headline(findings)

    timing = sections.timing(costs(scene_dir))
    groups = wall(photos, scene_dir, Path(source["photos"]) if from_photos else None)
    ours = scores["protocols"][protocol]["ours"]
    return {
        "scene": scene_dir.name,
        "made": datetime.now().astimezone().strftime("%-d %B %Y, %H:%M"),
        "preset": config["preset"],
        "device": config["device"],
        "level": level,
        "headline": headline,
        "findings": findings,
        "tiles": [
            (f"{sfm['registered']} of {sfm['photos']}", "photos registered")
            if from_photos
            else (str(len(index)), "aligned photos"),
            *([(f"{mvs['points']:,}", "points in the cloud")] if from_photos else []),
            (f"{covered:.0%}", "covered in the typical photo"),
            (f"{ours['psnr']:.1f} dB", "PSNR on unseen photos"),
            (timing["total"], "computing time"),
        ],
        "videos": sections.videos(scene_dir),
        "groups": groups,
        "wall_total": len(photos),
        "wall_shown": sum(len(group["tiles"]) for group in groups),
        "sfm": sfm,
        "mvs": mvs,
        "scene_figure": scene_figure(scene_dir, dataset, photos, config["seed"]) if from_photos else None,
        "cloud_points": figures.CLOUD_POINTS,
        "density_figure": figures.densities(index, depth_shares(mvs), config["dataset"]["min_density"]),
        "coverage_examples": sections.coverage_examples(scene_dir / "aligned", index),
        "labels": shown_labels,
        "training": sections.training(scene_dir),
        "metrics": sections.metrics(scores),
        "scores": scores,
        "sheets": sections.sheets(scene_dir),
        "timing": timing,
        "versions": sections.versions(),
        "configuration": sections.configuration(config),
    }


def aligned_index(scene_dir: Path) -> list[dict]:
    """{id, file, density, split} of every aligned photo."""
    split = {row["id"]: row["split"] for row in read_csv(scene_dir / "aligned" / "split.csv")}
    return [
        {"id": row["id"], "file": row["file"], "density": float(row["density"]), "split": split[row["id"]]}
        for row in read_csv(scene_dir / "aligned" / "index.csv")
    ]


def depth_shares(mvs: Mapping | None) -> dict[str, float] | None:
    return mvs and {photo: entry["coverage"] for photo, entry in mvs["photos"].items()}


def scene_figure(scene_dir: Path, dataset: PackedDataset, photos: list, seed: int) -> str:
    """The cloud in the colours gathered from the training photos, and the cameras."""
    colors = np.load(scene_dir / "framebuffers" / "colors.npy", mmap_mode="r", allow_pickle=False)
    cameras = read_cameras(scene_dir / "mvs" / "sparse")
    cloud = figures.thinned(scene_dir / "mvs" / "cloud.ply", colors, seed)
    files = {photo.id: photo.file for photo in photos}
    split = {photo: dataset.split.get(photo, "dropped") for photo in cameras}
    return figures.scene(cloud, cameras, files, split)
