"""The page: gathers the contents of the sections, judges them, and fills the template."""

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
from nrw.report.photos import PhotoFate, fates_of, wall
from nrw.scene.files import SceneFiles

logger = logging.getLogger(__name__)


def write_report(files: SceneFiles, config: Mapping, out_html: Path | str) -> None:
    """Write the page of a finished scene: one HTML file that needs only the videos beside it.

    config: the complete configuration; its section `scenes` says whether the scene was made from photos or came
    aligned. Photos are opened one at a time, and the page holds a bounded number of pictures.
    """
    content = gather(files, config)
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


def gather(files: SceneFiles, config: Mapping) -> dict:
    """Collect what the template shows."""
    source = config["scenes"][files.name]
    from_photos = "photos" in source
    dataset = PackedDataset(files.dataset)
    labelled = bool(dataset.meta["classes"])
    photos = fates_of(files, from_photos)
    index = aligned_index(files)
    masked = sorted(dataset.meta["sky"] + dataset.meta["transient"]) if labelled else []
    covered = float(np.median(list(sections.covered(files.aligned, [row["id"] for row in index], masked).values())))
    scores = read_json(files.metrics)
    protocol = "half" if "half" in scores["protocols"] else "full"
    sfm: Mapping | None = read_json(files.sfm_summary) if from_photos else None
    mvs: Mapping | None = read_json(files.mvs_summary) if from_photos else None
    shown_labels = sections.labels(files, dataset.ids) if labelled else None

    findings = []
    if sfm:
        unusable = sum(photo.fate == "unusable" for photo in photos)
        findings.append(verdict.registration(sfm, unusable, config["sfm"]["rescue"]))
        if "checks" in sfm:  # reconstructions of 0.1.0 have none
            findings.append(verdict.geometry(sfm["checks"], mvs.get("unconfirmed") if mvs else None))
    dropped = sum(photo.fate == "dropped" for photo in photos)
    findings.append(verdict.coverage(mvs["points"] if mvs else None, covered, dropped, len(index), labelled))
    if from_photos:
        findings.append(verdict.labels(config["segmentation"]["model"], shown_labels["roles"] if shown_labels else {}))
    findings.append(verdict.against_baseline(scores["protocols"][protocol], len(scores["photos"])))
    findings.append(verdict.generalisation(sections.validation_curve(files), len(dataset.train_ids)))
    level, headline = verdict.headline(findings)

    timing = sections.timing(costs(files.records))
    groups = wall(photos, files, Path(source["photos"]) if from_photos else None)
    ours = scores["protocols"][protocol]["ours"]
    return {
        "scene": files.name,
        "made": datetime.now().astimezone().strftime("%-d %B %Y, %H:%M"),
        "preset": config["preset"],
        "device": config["device"],
        "level": level,
        "headline": headline,
        "findings": findings,
        "tiles": [
            (f"{sfm['registered']} of {sfm['photos']}", "photos registered")
            if sfm
            else (str(len(index)), "aligned photos"),
            *([(f"{mvs['points']:,}", "points in the cloud")] if mvs else []),
            (f"{covered:.0%}", "covered in the typical photo"),
            (f"{ours['psnr']:.1f} dB", "PSNR on unseen photos"),
            (timing["total"], "computing time"),
        ],
        "videos": sections.videos(files),
        "groups": groups,
        "bordered": sum(bool(row.get("border")) for row in read_csv(files.photos_csv)) if from_photos else 0,
        "wall_total": len(photos),
        "wall_shown": sum(len(group["tiles"]) for group in groups),
        "sfm": sfm,
        "mvs": mvs,
        "scene_figure": scene_figure(files, dataset, photos, config["seed"]) if from_photos else None,
        "cloud_points": figures.CLOUD_POINTS,
        "density_figure": figures.densities(index, depth_shares(mvs), config["dataset"]["min_density"]),
        "coverage_examples": sections.coverage_examples(files.aligned, index),
        "labels": shown_labels,
        "training": sections.training(files),
        "metrics": sections.metrics(scores),
        "scores": scores,
        "sheets": sections.sheets(files),
        "timing": timing,
        "versions": sections.versions(),
        "configuration": sections.configuration(config),
    }


def aligned_index(files: SceneFiles) -> list[dict]:
    """Read {id, file, density, split} of every aligned photo."""
    split = {row["id"]: row["split"] for row in read_csv(files.split)}
    return [
        {"id": row["id"], "file": row["file"], "density": float(row["density"]), "split": split[row["id"]]}
        for row in read_csv(files.index)
    ]


def depth_shares(mvs: Mapping | None) -> dict[str, float] | None:
    """Share of the pixels with a depth by photo id, from mvs/summary.json; None for a scene that came aligned."""
    return {photo_id: entry["coverage"] for photo_id, entry in mvs["photos"].items()} if mvs else None


def scene_figure(files: SceneFiles, dataset: PackedDataset, photos: list[PhotoFate], seed: int) -> str:
    """Draw the cloud in the colours gathered from the training photos, and the cameras."""
    colors = np.load(files.colors, mmap_mode="r", allow_pickle=False)
    cameras = read_cameras(files.sparse)
    cloud = figures.thinned(files.cloud, colors, seed)
    names = {photo.photo_id: photo.file for photo in photos}
    split = {photo_id: dataset.split.get(photo_id, "dropped") for photo_id in cameras}
    return figures.scene(cloud, cameras, names, split)
