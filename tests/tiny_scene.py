"""A tiny scene as the workflow leaves it, with untrained networks, and the command line that works on it."""

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
from PIL import Image
from typer.testing import CliRunner

from nrw.cli import app
from nrw.core import ade20k
from nrw.core.io import write_csv, write_image, write_json
from nrw.dataset.pack import pack_dataset
from nrw.dataset.packed import PackedDataset
from nrw.dataset.split import write_split
from nrw.framebuffers.aligned import INDEX_FIELDS, POSE_FIELDS, aligned_paths, read_channels
from nrw.framebuffers.levels import finest_level, level_path, save_level
from nrw.framebuffers.rasters import save_buffer
from nrw.geometry.cameras import Camera, look_at
from nrw.geometry.pointcloud import Cloud, read_cloud, write_cloud
from nrw.geometry.rasterize import Geometry, rasterize
from nrw.models.build import build_networks
from nrw.models.completion import CompletionNet, completion_spec
from nrw.models.inputs import BufferSpec
from nrw.scene.files import SceneFiles
from nrw.training.stage import finish

WIDTH, HEIGHT = 64, 48
SCALE = 2  # of the pictures over the networks' buffer
PHOTOS = 6
BUILDING, SKY = (ade20k.label_of(name) for name in ("building", "sky"))
CONFIG = {
    "seed": 1,
    "segmentation": {"model": "a model"},
    "buffer": {
        "representation": "corrected",
        "levels": 2,
        "view_direction": True,
        "lighting": 2,
        "point_channels": 2,
        "detail": False,
    },
    "network": {"architecture": "film", "base_width": 4, "max_width": 8, "stages": 2, "z_dim": 4},
    "perceptual": {"weights": "none"},
    "training": {"losses": {"adversarial": 0.0}},
}
SETTINGS = {  # of the section `videos`
    "size": 64,
    "fps": 8,
    "side_by_side": False,
    "edit": {},
    "flythrough": {"seconds": 1, "max_speed": 0.5, "max_turn": 20},
    "appearance": {"seconds": 1, "photos": 3},
    "joint": {"seconds": 1, "photos": 3},
    "extra": {},
}


def make_scene(root: Path) -> None:
    """Write the folder of a scene: a tower in the middle of a ring of cameras, and untrained networks."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    files = SceneFiles(root)
    points = np.concatenate(
        [rng.uniform([-0.1, -0.3, -0.2], [0.1, 0.3, 0.4], (4000, 3)), rng.uniform(-1, 1, (2000, 3)) * [0.6, 0.6, 0]]
    ).astype(np.float32)
    points[4000:, 2] = -0.2
    colors = rng.integers(0, 256, points.shape, dtype=np.uint8)
    write_cloud(files.cloud, Cloud(points, np.zeros_like(colors), np.tile(np.float32([0, 0, 1]), (6000, 1))))
    files.framebuffers.mkdir()
    files.detailed_photos.mkdir(parents=True)
    np.save(files.colors, colors)
    lighting = rng.integers(1, 256, (len(points), 2), np.uint8)
    np.save(files.lighting, lighting)
    geometry, channels = Geometry.of(read_cloud(files.cloud)), read_channels(files.colors, files.lighting)
    rows = []
    for number, azimuth in enumerate(np.radians(np.linspace(-50, 50, PHOTOS))):
        photo_id = f"{number:04d}"
        paths = aligned_paths(files.aligned, photo_id)
        position = np.array([np.cos(azimuth), np.sin(azimuth), 0.05])
        camera = Camera(WIDTH, HEIGHT, 60, 60, WIDTH / 2, HEIGHT / 2, look_at(position, np.zeros(3)))
        buffer = rasterize(geometry, camera.resized(SCALE * WIDTH, SCALE * HEIGHT), splat=3)
        save_buffer(files.framebuffers, photo_id, buffer)
        level, _ = finest_level(geometry, channels, camera.resized(SCALE * WIDTH, SCALE * HEIGHT), buffer, SCALE)
        save_level(level_path(files.framebuffers, photo_id), level)
        color, hit = level.color[..., :3].numpy(), level.depth.numpy() > 0
        write_image(paths["color"], np.dstack([color, level.coverage.numpy()]))
        write_image(paths["depth"], (level.depth.numpy() * 10_000).astype(np.uint16))
        light = (np.array([1.0, 0.9, 0.8]) * (0.4 + 0.1 * number))[None, None]
        seen = np.where(hit[..., None], color, [200, 220, 255]) + rng.normal(0, 5, color.shape)
        photo = (seen * light).clip(0, 255).astype(np.uint8)
        write_image(paths["reference"], photo)
        large = Image.fromarray(photo).resize((SCALE * WIDTH, SCALE * HEIGHT))
        large.save(files.detailed_photos / f"{photo_id}.jpg", quality=95)
        labels = np.where(hit, BUILDING, SKY).astype(np.uint8)
        write_image(paths["seg"], labels)
        write_image(paths["seg_rgb"], ade20k.colorize(labels))
        lens = {key: getattr(camera, key) for key in ("width", "height", "fx", "fy", "cx", "cy")}
        pose = dict(zip(POSE_FIELDS, camera.cam_from_world.ravel(), strict=True))
        rows.append({"id": photo_id, "file": "", "density": 0.5, "max_depth": 6.5535, **lens, **pose})
    write_csv(files.index, rows, INDEX_FIELDS)
    split = [{"id": f"{i:04d}", "density": 0.5, "split": "val" if i in (1, 4) else "train"} for i in range(PHOTOS)]
    write_split(files.split, [{**row, "reason": ""} for row in split])
    pack_dataset(
        files.aligned, files.framebuffers, files.split, files.dataset,
        levels=2, scale=SCALE, splat=3, transient=["person"], sky=["sky"],
        colors_npy=files.colors, lighting_npy=files.lighting,
    )  # fmt: skip

    save_networks(root, CONFIG)
    files.stage("appearance").mkdir()
    files.model("appearance").write_bytes(b"")
    np.save(files.style_distances, np.arange(16, dtype=np.float32).reshape(4, 4))
    write_json(files.style_distances_ids, PackedDataset(files.dataset).train_ids)


def save_networks(root: Path, config: dict) -> None:
    """Write untrained networks of stage 3 and of completion for the scene's data set."""
    files = SceneFiles(root)
    dataset = PackedDataset(files.dataset)
    spec = BufferSpec.from_config(config, dataset.meta)
    networks = build_networks(config, spec)
    if spec.lighting:
        networks.lighting.table.copy_(torch.tensor(dataset.point_lighting))
    for parameter in networks.encoder.parameters():  # so that photos differ visibly in their codes
        parameter.data *= 2
    finish(
        files.stage("finetune"), root / "checkpoints", "finetune", dict(networks.named_children()), config,
        spec=spec, transient=dataset.meta["transient"],
    )  # fmt: skip
    labels_spec = completion_spec(spec)
    network = CompletionNet(labels_spec, 2)
    finish(
        files.stage("completion"), root / "checkpoints", "completion", {"network": network}, config,
        spec=labels_spec, labels=[BUILDING, SKY],
    )  # fmt: skip


def run(*arguments: object, code: int = 0) -> str:
    """Run a command of `nrw`, which must exit with status `code`, and return what it printed."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    assert code == 0 or isinstance(result.exception, SystemExit)
    return result.output


def frames_of(video: Path) -> tuple[int, tuple[int, int]]:
    """Count the frames of a video, and read their size."""
    reader = imageio_ffmpeg.read_frames(str(video))
    size = next(reader)["size"]
    reader.close()
    return imageio_ffmpeg.count_frames_and_secs(str(video))[0], size
