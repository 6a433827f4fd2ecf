"""The folder of a finished scene without the hour that it takes.

What needs no learning is made by the stages themselves; training curves, scores and videos as the stages write them.
"""

import json
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image

from nrw.config.resolve import resolve
from nrw.core import ade20k
from nrw.core.io import write_csv, write_image, write_json
from nrw.core.pictures import row
from nrw.dataset.format2019 import export_aligned, import_aligned
from nrw.dataset.pack import pack_dataset
from nrw.dataset.split import split_photos, write_split
from nrw.evaluation.scores import COLUMNS, METHODS
from nrw.framebuffers.aligned import compose_aligned, index_aligned
from nrw.framebuffers.rasters import rasterize_photos
from nrw.geometry.cameras import look_at
from nrw.geometry.pointcloud import Cloud, write_cloud
from nrw.photos.table import FIELDS
from nrw.segmentation.labels import gather_classes
from nrw.sfm.summary import summary_table
from nrw.videos.writer import write_video

WIDTH, HEIGHT = 160, 112
RECORD = "s\tmax_rss\tcpu_time\n{s}\t250\t{s}\n"


def finish_scene(root: Path, photos: int = 8, labelled: bool = True) -> tuple[Path, dict]:
    """A scene `place` of this many registered photos and four others in `root`: its folder and its configuration."""
    scene, originals = root / "results" / "place", root / "photos"
    config = resolve(
        {
            "scenes": {"place": {"photos": str(originals)}},
            "segmentation": {"model": "some/model" if labelled else "none"},
            "framebuffers": {"max_size": WIDTH},
            "dataset": {"min_density": 0.05},
        }
    )
    ids = [f"{number:04d}" for number in range(photos)]
    _photos(scene, originals, ids)
    points, colors = _geometry(scene, ids)
    if labelled:
        _labels(scene, ids, config["segmentation"])
    _aligned(scene, ids, points, colors, config, labelled)
    _trained(scene, [*(["completion"] if labelled else []), "appearance", "rerender", "finetune"])
    _scored_and_filmed(scene, ["flythrough", "appearance", "joint"])
    return scene, config


def finish_aligned_scene(root: Path, source: Path) -> tuple[Path, dict]:
    """A scene `old` that came in the format of 2019: `source`'s aligned pictures, exported and imported again."""
    scene, exported = root / "results" / "old", root / "exported"
    export_aligned(source / "aligned", exported)
    config = resolve(
        {
            "scenes": {"old": {"aligned": str(exported)}},
            "buffer": {"lighting": 0, "point_channels": 0, "view_direction": False, "detail": False},
            "dataset": {"min_density": 0.05},
        }
    )
    import_aligned(exported, scene / "aligned", seed=1, **config["dataset"])
    pack_dataset(
        scene / "aligned", None, scene / "aligned" / "split.csv", scene / "dataset", levels=2, splat=3, sky=["sky"]
    )
    _trained(scene, ["appearance", "rerender", "finetune"])
    _scored_and_filmed(scene, ["appearance"])
    return scene, config


def _photos(scene: Path, originals: Path, ids: list[str]) -> None:
    """The folder and photos.csv: usable photos, one that cannot be placed, a duplicate and a broken file."""
    images = scene / "photos" / "images"
    originals.mkdir(parents=True)
    images.mkdir(parents=True)
    rows = []
    for number, photo_id in enumerate([*ids, f"{len(ids):04d}"]):
        picture = Image.fromarray(_picture(number))
        file = f'<{number}> été & "so".jpg' if number == 1 else f"IMG_{number}.jpg"
        picture.save(originals / file)
        picture.save(images / f"{photo_id}.jpg")
        rows.append({"id": photo_id, "file": file, "verdict": "ok", "width": WIDTH, "height": HEIGHT})
    Image.fromarray(_picture(0)).save(originals / "again.jpg")
    (originals / "broken.jpg").write_bytes(b"no")
    rows.append({"id": "", "file": "again.jpg", "verdict": "duplicate of IMG_0.jpg"})
    rows.append({"id": "", "file": "broken.jpg", "verdict": "unreadable: not an image, or damaged from its start"})
    write_csv(scene / "photos" / "photos.csv", rows, FIELDS)
    summary = {
        "photos": len(ids) + 1,
        "registered": len(ids),
        "models": [{"photos": len(ids), "points": 321, "mean_reprojection_error": 0.61, "mean_track_length": 3.4}],
        "left_out": [{"id": f"{len(ids):04d}", "file": f"IMG_{len(ids)}.jpg", "reason": "12 features: blurred"}],
        "unit": "the median distance from camera to scene",
        "checks": {
            "pairs": 20,
            "stationary": 0.0,
            "exif": 3,
            "exif_off": 0.0,
            "implausible": 0.0,
            "one_spot": 0.0,
            "errors": {"2": 0.4, "3": 0.5, "4 or more": 0.6},
        },
    }
    write_json(scene / "sfm" / "summary.json", summary)
    (scene / "sfm" / "summary.txt").write_text(summary_table(summary))


def _picture(number: int) -> np.ndarray:
    """(H, W, 3) uint8: a wall before a sky, in a light of its own."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    wall = (y > HEIGHT // 3)[..., None]
    bricks = 120 + 60 * ((x // 12 + y // 8) % 2)[..., None]
    picture = np.where(wall, bricks * [1.0, 0.9, 0.75], [110, 150, 220]) * (0.6 + 0.05 * (number % 9))
    return np.clip(picture, 0, 255).astype(np.uint8)


def _geometry(scene: Path, ids: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Cameras in an arc before a wall, and the wall as a cloud: points (N, 3) float32, colours (N, 3) uint8."""
    rng = np.random.default_rng(0)
    model = pycolmap.Reconstruction()
    lens = pycolmap.Camera(camera_id=1, model="PINHOLE", width=WIDTH, height=HEIGHT, params=[150, 150, 80, 56])
    model.add_camera_with_trivial_rig(lens)
    (scene / "mvs" / "sparse").mkdir(parents=True)
    (scene / "mvs" / "images").mkdir()
    for number, (photo_id, azimuth) in enumerate(zip(ids, np.linspace(-0.7, 0.7, len(ids)), strict=True)):
        pose = look_at(np.array([np.sin(azimuth), -np.cos(azimuth), 0.1]), np.zeros(3))
        image = pycolmap.Image(name=f"{photo_id}.jpg", camera_id=1, image_id=number + 1)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pose))
        Image.fromarray(_picture(number)).save(scene / "mvs" / "images" / f"{photo_id}.jpg", quality=95)
    model.write(scene / "mvs" / "sparse")
    points = (rng.uniform(-1, 1, (30_000, 3)) * [0.5, 0.02, 0.2] - [0, 0, 0.15]).astype(np.float32)
    colors = np.clip(rng.normal(150, 25, (len(points), 1)) * [1.0, 0.9, 0.75], 0, 255).astype(np.uint8)
    write_cloud(scene / "mvs" / "cloud.ply", Cloud(points, colors, np.tile(np.float32([0, -1, 0]), (len(points), 1))))
    summary = {
        "points": len(points),
        "triangles": 1000,
        "surface_points": len(points) - 600,
        "loose_points": 100,
        "sparse_points": 500,
        "mean_coverage": 0.41,
        "unconfirmed": 0.35,
        "photos_without_depth": [],
        "photos": {photo_id: {"coverage": 0.4 + 0.01 * number} for number, photo_id in enumerate(ids)},
    }
    write_json(scene / "mvs" / "summary.json", summary)
    return points, colors


def _labels(scene: Path, ids: list[str], settings: dict) -> None:
    y = np.arange(HEIGHT)[:, None] * np.ones((1, WIDTH))
    labels = np.where(y > HEIGHT // 3, ade20k.label_of("building"), ade20k.label_of("sky")).astype(np.uint8)
    for photo_id in ids:
        write_image(scene / "segmentation" / f"{photo_id}.png", labels)
    names = {key: settings[key] for key in ("model", "transient", "sky")}
    gather_classes(scene / "segmentation", scene / "segmentation" / "classes.json", ids, **names)


def _aligned(scene: Path, ids: list[str], points: np.ndarray, colors: np.ndarray, config: dict, labelled: bool) -> None:
    framebuffers, aligned, mvs = scene / "framebuffers", scene / "aligned", scene / "mvs"
    framebuffers.mkdir()
    np.save(framebuffers / "colors.npy", colors)
    reports = rasterize_photos(
        mvs / "cloud.ply", mvs, framebuffers, ids, framebuffers / "a.key", **config["framebuffers"], device="cpu"
    )
    densities = {report["id"]: report["density"] for report in reports}
    write_split(aligned / "split.csv", split_photos(densities, seed=1, **config["dataset"]))
    depth = max(report["max_depth"] for report in reports)
    segmentation = scene / "segmentation" if labelled else None
    compose_aligned(
        mvs / "cloud.ply", framebuffers, mvs, segmentation, framebuffers / "colors.npy", None, aligned, ids,
        framebuffers / "b.key", scale=config["framebuffers"]["scale"], max_depth=depth,
    )  # fmt: skip
    index_aligned(aligned, scene / "framebuffers", mvs, scene / "photos" / "photos.csv", reports, max_depth=depth)
    pack_dataset(
        aligned, framebuffers, aligned / "split.csv", scene / "dataset", levels=2, scale=2, splat=3,
        transient=["person"], sky=["sky"], colors_npy=framebuffers / "colors.npy",
    )  # fmt: skip


def _trained(scene: Path, stages: list[str]) -> None:
    """Curves that fall, validation scores that rise and settle, and a last sheet of samples."""
    measured = {"rerender": "val_psnr", "finetune": "val_psnr", "completion": "val_accuracy"}
    losses = {"appearance": ["triplet"], "completion": ["cross_entropy"]}
    for stage in stages:
        rows = []
        for tick in range(1, 7):
            row = {"step": 100 * tick, "kimg": 0.2 * tick, "seconds": 30.0 * tick, "images_per_s": 6.5}
            row |= {name: 1 / tick for name in losses.get(stage, ["l1", "dssim", "total"])}
            if stage in measured:
                row[measured[stage]] = 17 - 2 / tick if measured[stage] == "val_psnr" else 1 - 0.5 / tick
                write_image(scene / stage / "samples" / f"{row['kimg']:09.3f}.png", _picture(tick))
            rows.append({**row, "learning_rate": 0.001})
        (scene / stage).mkdir(parents=True, exist_ok=True)
        (scene / stage / "stats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _scored_and_filmed(scene: Path, kinds: list[str]) -> None:
    figures = {"raw": (9.0, 0.2, 0.4), "R": (15.0, 0.4, 0.5), "ours": (16.5, 0.5, 0.75)}
    means = {
        method: dict.fromkeys(COLUMNS)
        | {"psnr": psnr, "ssim": ssim, "l1": 0.1, "flip": 0.2, "sharpness": sharpness}
        | {"photos": dict.fromkeys(COLUMNS, 2)}
        for method, (psnr, ssim, sharpness) in figures.items()
    }
    assert set(means) == set(METHODS)
    result = {"photos": ["0001", "0003"], "refine_steps": 2}
    result |= {"perceptual_unavailable": "no package", "lpips_unavailable": "no weights"}
    result["protocols"] = {name: means for name in ("full", "half", "half_refined")}
    result["views"] = {"size": 640, "detailed": 0.87, "protocols": {name: means for name in ("full", "half")}}
    write_json(scene / "evaluation" / "metrics.json", result)
    for photo_id in result["photos"]:
        sheet = row([_picture(number) for number in range(4)], ["render", "labels", "output", f"photo {photo_id}"])
        write_image(scene / "evaluation" / "sheets" / f"{photo_id}.png", sheet)
    write_image(scene / "evaluation" / "sheets" / "overview.png", sheet)
    for kind in kinds:
        write_video(scene / "videos" / f"{kind}.mp4", (np.roll(_picture(3), shift, 1) for shift in range(0, 96, 2)), 12)
    for rule in (
        *("import_photos", "photometric_depths/1-of-2", "photometric_depths/2-of-2"),
        *("train_finetune", "film/appearance"),
    ):
        file = scene / "benchmarks" / f"{rule}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(RECORD.format(s=len(rule)))
