"""The folder that `benchmarks.gpu` is fed from, and what stands in for packages that the machine with the GPU lacks.

It holds a few photos of a finished scene, small enough to be carried there: undistorted photos, labels, the sparse
model as arrays, the cloud with colors and lighting, both GPU presets complete, and what the CPU computed from them.
"""

import shutil
import sys
import types
from pathlib import Path

import numpy as np

VALIDATION = 2
PRESETS = ("standard", "paper")
MODEL = "model.npz"


class Reconstruction:
    """A sparse model of arrays (`cut_model`) with what nrw reads of pycolmap's."""

    def __init__(self, folder: str):
        with np.load(Path(folder) / MODEL) as found:
            model = dict(found)
        self.images = {
            number: types.SimpleNamespace(
                name=f"{name}.jpg",
                has_pose=True,
                camera=types.SimpleNamespace(
                    model=PINHOLE, width=int(lens[0]), height=int(lens[1]), focal_length_x=lens[2],
                    focal_length_y=lens[3], principal_point_x=lens[4], principal_point_y=lens[5],
                ),
                cam_from_world=lambda pose=pose: types.SimpleNamespace(matrix=lambda: pose),
            )
            for number, (name, lens, pose) in enumerate(zip(model["ids"], model["lenses"], model["poses"], strict=True))
        }  # fmt: skip
        tracks = np.split(model["seen_by"], np.cumsum(model["lengths"])[:-1])
        self.points3D = {
            number: types.SimpleNamespace(
                xyz=xyz,
                track=types.SimpleNamespace(
                    length=lambda track=track: len(track),
                    elements=[types.SimpleNamespace(image_id=int(image)) for image in track],
                ),
            )
            for number, (xyz, track) in enumerate(zip(model["points"], tracks, strict=True))
        }


PINHOLE = "PINHOLE"


def stand_in() -> None:
    """Put stand-ins in the place of packages that are missing, here too, so that both machines run the same."""
    pycolmap = types.ModuleType("pycolmap")
    pycolmap.Reconstruction = Reconstruction
    pycolmap.CameraModelId = types.SimpleNamespace(PINHOLE=PINHOLE, SIMPLE_PINHOLE="SIMPLE_PINHOLE")
    sys.modules["pycolmap"] = pycolmap
    sys.modules["imageio_ffmpeg"] = types.ModuleType("imageio_ffmpeg")  # no video is encoded
    for name in ("jsonschema", "open3d", "snakemake"):
        sys.modules[name] = None  # an import is an error


def prepare(results: Path, folder: Path, photos: int) -> None:
    """Write the folder from a finished scene. Needs all packages."""
    from nrw.config.resolve import resolve
    from nrw.core.io import read_csv, write_csv, write_json
    from nrw.geometry.cameras import read_cameras
    from nrw.mvs.sources import read_sparse, select_sources
    from nrw.scene.files import SceneFiles

    source, target = SceneFiles(results), SceneFiles(folder / "scene")
    cameras = read_cameras(source.sparse)
    sparse = read_sparse(source.sparse, cameras)
    first = max(cameras, key=lambda photo_id: len(sparse.seen_by(photo_id)))
    ids = sorted([first, *select_sources(sparse, first, photos - 1)])
    shutil.rmtree(folder, ignore_errors=True)
    for photo_id in ids:
        for path in (
            source.undistorted_photos / f"{photo_id}.jpg",
            source.segmentation / f"{photo_id}.png",
            source.detailed_photos / f"{photo_id}.jpg",
        ):
            copy(path, target.root / path.relative_to(source.root))
    for path in (source.cloud, source.colors, source.lighting):
        copy(path, target.root / path.relative_to(source.root))
    rows = [row for row in read_csv(source.photos_csv) if row["id"] in ids]
    write_csv(target.photos_csv, rows, list(rows[0]))
    target.sparse.mkdir(parents=True)
    np.savez_compressed(target.sparse / MODEL, **cut_model(sparse, ids))
    for preset in PRESETS:
        chosen = {"photos": "photos", "preset": preset, "perceptual": {"weights": "random"}}  # no network there
        write_json(folder / f"{preset}.json", resolve(chosen))


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def cut_model(sparse, ids: list[str]) -> dict[str, np.ndarray]:
    """The cameras of some photos, and the points that at least two of them see, as arrays for `Reconstruction`."""
    kept = [sparse.ids.index(photo_id) for photo_id in ids]
    cameras = [sparse.cameras[index] for index in kept]
    visible = sparse.visible[:, kept].tocsr()
    lengths = np.diff(visible.indptr)
    rows = np.flatnonzero(lengths >= 2)
    return {
        "ids": np.array(ids),
        "lenses": np.array([[c.width, c.height, c.fx, c.fy, c.cx, c.cy] for c in cameras]),
        "poses": np.array([camera.cam_from_world for camera in cameras]),
        "points": sparse.points[rows],
        "lengths": lengths[rows],
        "seen_by": visible[rows].indices,
    }


def build_scene(folder: Path, out: Path, config: dict, threads: int) -> None:
    """Make of a prepared folder the scene that the stages work on, in out: rasters, packed set, detail. On the CPU."""
    from nrw.dataset.pack import pack_dataset
    from nrw.dataset.split import write_split
    from nrw.detail.residuals import measure_residuals
    from nrw.detail.training import pack_detail
    from nrw.framebuffers.aligned import compose_aligned, index_aligned
    from nrw.framebuffers.rasters import rasterize_photos
    from nrw.geometry.cameras import read_cameras
    from nrw.scene.files import SceneFiles
    from nrw.training import appearance

    files = SceneFiles(out)
    shutil.copytree(folder / "scene", out)
    (files.workspace / "stereo").mkdir()
    ids = list(read_cameras(files.sparse))
    reports = rasterize_photos(
        files.cloud, files.workspace, files.framebuffers, ids, out / "rasters.key", **config["framebuffers"],
        device="cpu",
    )  # fmt: skip
    depth = max(report["max_depth"] for report in reports)
    compose_aligned(
        files.cloud, files.framebuffers, files.workspace, files.segmentation, files.colors, files.lighting,
        files.aligned, ids, out / "aligned.key", scale=config["framebuffers"]["scale"], max_depth=depth,
    )  # fmt: skip
    index_aligned(files.aligned, files.framebuffers, files.workspace, files.photos_csv, reports, max_depth=depth)
    parts = ["val"] * VALIDATION + ["train"] * (len(ids) - VALIDATION)
    write_split(
        files.split,
        [{"id": i, "density": 1.0, "split": part, "reason": ""} for i, part in zip(ids, parts, strict=True)],
    )
    segmentation = config["segmentation"]
    pack_dataset(
        files.aligned, files.framebuffers, files.split, files.dataset, levels=config["buffer"]["levels"],
        scale=config["framebuffers"]["scale"], splat=config["framebuffers"]["splat"],
        transient=segmentation["transient"], sky=segmentation["sky"], colors_npy=files.colors,
        lighting_npy=files.lighting, threads=threads,
    )  # fmt: skip
    # what is measured in a photo needs no training, only what is usual among the photos
    stage = {**config["training"]["appearance"], "kimg": 0}
    untrained = {**config, "device": "cpu", "training": {**config["training"], "threads": threads, "appearance": stage}}
    appearance.train(files.dataset, files.stage("appearance"), files.checkpoints("appearance"), untrained)
    training_ids = [photo_id for photo_id, part in zip(ids, parts, strict=True) if part == "train"]
    measure_residuals(
        files.dataset, files.stage("appearance"), files.cloud, files.colors, files.lighting, files.framebuffers,
        files.workspace, files.detailed_photos, files.segmentation, files.detail, training_ids, out / "residuals.key",
        z_dim=config["network"]["z_dim"], device="cpu",
    )  # fmt: skip
    pack_detail(files.dataset, files.detail, files.framebuffers, files.training_detail, device="cpu", threads=threads)


def shrunk(config: dict) -> dict:
    """The configuration with everything tiny, to try the benchmark on a CPU."""
    training = {**config["training"], "batch_size": 2, "crop_size": 64}
    training["appearance"] = {**training["appearance"], "batch_size": 2, "style_size": 64}
    network = {**config["network"], "base_width": 4, "max_width": 8, "stages": 3}
    framebuffers = {**config["framebuffers"], "max_size": 128}
    segmentation = {**config["segmentation"], "max_size": 64}
    return {
        **config, "training": training, "network": network, "framebuffers": framebuffers, "segmentation": segmentation
    }  # fmt: skip
