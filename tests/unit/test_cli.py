import csv
import json
import shutil
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from nrw.cli import app
from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import read_image, write_csv, write_image, write_json
from nrw.dataset.pack import pack
from nrw.dataset.packed import PackedDataset
from nrw.dataset.split import write_split
from nrw.framebuffers.aligned import INDEX_FIELDS, POSE_FIELDS
from nrw.framebuffers.rasters import save_buffer
from nrw.geometry.cameras import Camera, look_at
from nrw.geometry.pointcloud import Cloud, spacing, write_cloud
from nrw.geometry.rasterize import pyramid, rasterize, reaching, shade
from nrw.models.build import build_networks
from nrw.models.completion import CompletionNet, completion_spec
from nrw.models.inputs import BufferSpec
from nrw.scene import files
from nrw.scene.model import SceneModel
from nrw.training.stage import finish
from nrw.videos import shots
from nrw.videos.camera_paths import CameraPath, write_path

WIDTH, HEIGHT = 64, 48
PHOTOS = 6
BUILDING, SKY = (ade20k.label_of(name) for name in ("building", "sky"))
CONFIG = {
    "seed": 1,
    "segmentation": {"model": "a model"},
    "buffer": {"representation": "corrected", "levels": 2, "view_direction": True, "lighting": 2, "point_channels": 2},
    "network": {"architecture": "film", "base_width": 4, "max_width": 8, "stages": 2, "z_dim": 4},
    "perceptual": {"weights": "none"},
    "training": {"losses": {"adversarial": 0.0}},
}
SETTINGS = {
    "size": 64,
    "fps": 8,
    "side_by_side": False,
    "edit": {},
    "flythrough": {"seconds": 1},
    "appearance": {"seconds": 1, "photos": 3},
    "joint": {"seconds": 1, "photos": 3},
    "extra": {},
}


def make_scene(scene: Path) -> None:
    """The folder of a scene as the workflow leaves it, with untrained networks: a tower and a ring of cameras."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    points = np.concatenate(
        [rng.uniform([-0.1, -0.3, -0.2], [0.1, 0.3, 0.4], (4000, 3)), rng.uniform(-1, 1, (2000, 3)) * [0.6, 0.6, 0]]
    ).astype(np.float32)
    points[4000:, 2] = -0.2
    colors = rng.integers(0, 256, points.shape, dtype=np.uint8)
    write_cloud(
        scene / "mvs/cloud.ply", Cloud(points, np.zeros_like(colors), np.tile(np.float32([0, 0, 1]), (6000, 1)))
    )
    aligned, buffers = scene / "aligned", scene / "framebuffers"
    buffers.mkdir()
    np.save(buffers / "colors.npy", colors)
    np.save(buffers / "lighting.npy", rng.integers(1, 256, (len(points), 2), np.uint8))
    rows = []
    for number, azimuth in enumerate(np.radians(np.linspace(-50, 50, PHOTOS))):
        photo = f"{number:04d}"
        position = np.array([np.cos(azimuth), np.sin(azimuth), 0.05])
        camera = Camera(WIDTH, HEIGHT, 60, 60, WIDTH / 2, HEIGHT / 2, look_at(position, np.zeros(3)))
        raster = reaching(rasterize([points], camera), spacing(points), camera)
        splatted = pyramid(raster, 1, 3)[0]
        save_buffer(buffers, photo, raster)
        color = shade([points], colors, camera, raster, splat=3)
        write_image(aligned / f"{photo}_color.png", np.dstack([color, np.where(splatted.hit, 255, 0).astype(np.uint8)]))
        write_image(aligned / f"{photo}_depth.png", (splatted.depth * 10_000).astype(np.uint16))
        light = (np.array([1.0, 0.9, 0.8]) * (0.4 + 0.1 * number))[None, None]
        seen = np.where(splatted.hit[..., None], color, [200, 220, 255]) + rng.normal(0, 5, color.shape)
        write_image(aligned / f"{photo}_reference.png", (seen * light).clip(0, 255).astype(np.uint8))
        labels = np.where(splatted.hit, BUILDING, SKY).astype(np.uint8)
        write_image(aligned / f"{photo}_seg.png", labels)
        write_image(aligned / f"{photo}_seg_rgb.png", ade20k.colorize(labels))
        lens = {key: getattr(camera, key) for key in ("width", "height", "fx", "fy", "cx", "cy")}
        pose = dict(zip(POSE_FIELDS, camera.cam_from_world.ravel(), strict=True))
        rows.append({"id": photo, "file": "", "density": 0.5, "max_depth": 6.5535, **lens, **pose})
    write_csv(aligned / "index.csv", rows, INDEX_FIELDS)
    split = [{"id": f"{i:04d}", "density": 0.5, "split": "val" if i in (1, 4) else "train"} for i in range(PHOTOS)]
    write_split(aligned / "split.csv", [{**row, "reason": ""} for row in split])
    pack(
        aligned, buffers, aligned / "split.csv", scene / "dataset",
        levels=2, splat=3, transient=["person"], sky=["sky"], colors_npy=buffers / "colors.npy",
        cloud_ply=scene / "mvs/cloud.ply", lighting_npy=buffers / "lighting.npy",
    )  # fmt: skip

    save_networks(scene, CONFIG)
    (scene / "appearance").mkdir()
    (scene / "appearance" / "model.safetensors").write_bytes(b"")
    np.save(scene / "appearance/style_distances.npy", np.arange(16, dtype=np.float32).reshape(4, 4))
    write_json(scene / "appearance/style_distances.json", PackedDataset(scene / "dataset").train_ids)


def save_networks(scene: Path, config: dict) -> None:
    dataset = PackedDataset(scene / "dataset")
    spec = BufferSpec.from_config(config, dataset.meta)
    networks = build_networks(config, spec)
    if spec.lighting:
        networks.lighting.table.copy_(torch.tensor(dataset.point_lighting))
    for parameter in networks.encoder.parameters():  # so that photos differ visibly in their codes
        parameter.data *= 2
    finish(
        scene / "finetune", scene / "checkpoints", "finetune", dict(networks.named_children()), config,
        spec=spec, transient=dataset.meta["transient"], splat=dataset.meta["splat"],
    )  # fmt: skip
    labels_spec = completion_spec(spec)
    network = CompletionNet(labels_spec, 2)
    finish(
        scene / "completion", scene / "checkpoints", "completion", {"network": network}, config,
        spec=labels_spec, labels=[BUILDING, SKY],
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads cost more than they bring on pictures this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "tower"
    make_scene(folder)
    return folder


def run(*arguments: object, code: int = 0) -> str:
    """What a command printed; it must end with status `code`."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    assert code == 0 or isinstance(result.exception, SystemExit)
    return result.output


def frames_of(video: Path) -> tuple[int, tuple[int, int]]:
    reader = imageio_ffmpeg.read_frames(str(video))
    size = next(reader)["size"]
    reader.close()
    return imageio_ffmpeg.count_frames_and_secs(str(video))[0], size


@pytest.mark.parametrize(
    "command",
    ["render", "evaluate", "interpolate", "joint", "video", "view", "appearance-vectors", "style-distances",
     "import-aligned", "export-aligned"],
)  # fmt: skip
def test_every_command_explains_itself(command):
    assert command in run("--help")
    assert "Usage" in run(command, "--help")


def test_a_scene_that_is_not_trained_names_the_target_to_run(scene, tmp_path):
    half_made = tmp_path / "results" / "half"
    shutil.copytree(scene / "dataset", half_made / "dataset")
    message = " ".join(run("evaluate", half_made, tmp_path / "out", code=1).split())
    assert "snakemake --cores all results/half/finetune/model.safetensors" in message
    assert "Traceback" not in message
    message = run("style-distances", half_made, tmp_path / "out.csv", code=1)
    assert "results/half/appearance/model.safetensors" in message
    assert "is not a folder" in run("evaluate", tmp_path / "none", tmp_path / "out", code=1)
    assert not (tmp_path / "out").exists()


def test_unknown_photos_and_file_types_are_user_errors(scene, tmp_path):
    assert "photo 0099 is not in the data set" in run("interpolate", scene, "0000", "0099", "0001", tmp_path, code=1)
    assert ".csv or .npy" in run("style-distances", scene, tmp_path / "table.txt", code=1)
    assert "ends in .mp4" in run("video", scene, tmp_path / "p.json", tmp_path / "clip.avi", code=1)
    assert "does not exist" in run("video", scene, tmp_path / "p.json", tmp_path / "clip.mp4", code=1)


def test_evaluate_writes_metrics_and_sheets(scene, tmp_path):
    printed = run("evaluate", scene, tmp_path, "--refine-steps", 1)
    assert "half_refined" in printed and "ours - R" in printed
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["photos"] == ["0001", "0004"]
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["0001.png", "0004.png", "overview.png"]


def test_the_scored_half_of_the_photo_does_not_reach_the_appearance(scene):
    """Neither photo nor labels of the right half change the code from the left, plain or refined."""
    from dataclasses import replace

    model = SceneModel.load(scene / "finetune", scene / "completion")
    view = PackedDataset(scene / "dataset").view("0001")
    photo, labels = view.photo.copy(), view.labels.copy()
    photo[:, WIDTH // 2 :], labels[:, WIDTH // 2 :] = 0, 0
    spoiled = replace(view, photo=photo, labels=labels)
    left = (0.0, 0.5)
    z, other = model.encode(view, left), model.encode(spoiled, left)
    assert torch.equal(z, other)
    assert torch.equal(model.refine(view, z, left, 2), model.refine(spoiled, z, left, 2))
    assert not torch.equal(model.encode(view), model.encode(spoiled))


def test_interpolate_goes_from_one_appearance_to_the_other(scene, tmp_path):
    run("interpolate", scene, "0002", "0000", "0005", tmp_path, "--frames", 5, "--fps", 5)
    assert frames_of(tmp_path / "video.mp4") == (5, (WIDTH, HEIGHT))
    model = SceneModel.load(scene / "finetune", scene / "completion")
    dataset = PackedDataset(scene / "dataset")
    for frame, photo in (("0000", "0000"), ("0004", "0005")):
        z = model.encode(dataset.view(photo))
        expected = model.render_view(dataset.view("0002"), z, predict_labels=True)
        assert np.array_equal(read_image(tmp_path / f"{frame}.png"), expected)
    assert not np.array_equal(read_image(tmp_path / "0000.png"), read_image(tmp_path / "0004.png"))


def test_joint_moves_view_and_appearance(scene, tmp_path):
    run("joint", scene, "0000", "0005", tmp_path, "--frames", 4, "--size", 64, "--side-by-side")
    assert frames_of(tmp_path / "video.mp4") == (4, (128, 32))
    assert (tmp_path / "video.png").exists() and (tmp_path / "0003.png").exists()


def test_video_films_a_path_file(scene, tmp_path):
    camera = PackedDataset(scene / "dataset").view("0003").camera
    write_path(tmp_path / "path.json", CameraPath(6, [camera] * 3, [None, {"0000": 1.0}, {"0000": 0.5, "0005": 0.5}]))
    run("video", scene, tmp_path / "path.json", tmp_path / "clip.mp4")
    assert frames_of(tmp_path / "clip.mp4") == (3, (WIDTH, HEIGHT))
    write_path(tmp_path / "bad.json", CameraPath(6, [camera], [{"0077": 1.0}]))
    assert "0077 are not in the data set" in run("video", scene, tmp_path / "bad.json", tmp_path / "no.mp4", code=1)


def test_appearance_vectors_and_style_distances_are_exported(scene, tmp_path):
    run("appearance-vectors", scene, tmp_path / "z.csv")
    run("appearance-vectors", scene, tmp_path / "z.npy")
    with open(tmp_path / "z.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    vectors, z_size = np.load(tmp_path / "z.npy"), SceneModel.load(scene / "finetune", None).networks.encoder.z_size
    assert [row["id"] for row in rows] == [f"{i:04d}" for i in range(PHOTOS)] and vectors.shape == (PHOTOS, z_size)
    assert float(rows[2]["z1"]) == pytest.approx(float(vectors[2, 1]))
    run("style-distances", scene, tmp_path / "style.csv")
    with open(tmp_path / "style.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (rows[1]["id"], float(rows[1]["0003"])) == ("0002", 6.0)


def test_render_takes_photos_and_edited_labels_from_a_folder(scene, tmp_path):
    folder = tmp_path / "edited"
    shutil.copytree(scene / "aligned", folder)
    write_image(folder / "0000_seg.png", np.full((HEIGHT, WIDTH), SKY, np.uint8))
    shutil.copy(folder / "0005_reference.png", folder / "0001_reference.png")
    run("render", scene, scene / "aligned", tmp_path / "plain")
    run("render", scene, folder, tmp_path / "changed")
    run("render", scene, folder, tmp_path / "one", "--appearance", "0005")
    painted = folder / "0000_seg.png"
    run("render", scene, scene / "aligned", tmp_path / "painted", "--photo", "0000", "--labels", painted)
    assert len(list((tmp_path / "plain").iterdir())) == PHOTOS
    changed = [
        not np.array_equal(
            read_image(tmp_path / "plain" / f"{i:04d}.png"), read_image(tmp_path / "changed" / f"{i:04d}.png")
        )
        for i in range(PHOTOS)
    ]
    assert changed == [True, True, False, False, False, False]
    same = [np.array_equal(read_image(tmp_path / which / "0005.png"), read_image(tmp_path / "plain" / "0005.png"))
            for which in ("one", "changed")]  # fmt: skip
    assert same == [True, True]
    assert [path.name for path in (tmp_path / "painted").iterdir()] == ["0000.png"]
    assert not np.array_equal(read_image(tmp_path / "painted/0000.png"), read_image(tmp_path / "plain/0000.png"))
    assert "name its photo" in run("render", scene, folder, tmp_path / "x", "--labels", painted, code=1)
    assert "has no photo 0009" in run("render", scene, folder, tmp_path / "x", "--photo", "0009", code=1)
    (tmp_path / "empty").mkdir()
    assert "has no NNNN_reference.png" in run("render", scene, tmp_path / "empty", tmp_path / "x", code=1)


def test_an_edit_on_the_command_line_is_the_same_as_edited_label_maps(scene, tmp_path):
    folder = tmp_path / "edited"
    shutil.copytree(scene / "aligned", folder)
    model, dataset = SceneModel.load(scene / "finetune", scene / "completion"), PackedDataset(scene / "dataset")
    everywhere = np.full((HEIGHT, WIDTH), SKY, np.uint8)
    run("render", scene, scene / "aligned", tmp_path / "one", "--edit", "building=sky", "--appearance", "0000")
    write_image(folder / "0002_seg.png", everywhere)
    run("render", scene, folder, tmp_path / "other", "--appearance", "0000", "--photo", "0002")
    assert np.array_equal(read_image(tmp_path / "one/0002.png"), read_image(tmp_path / "other/0002.png"))

    write_image(tmp_path / "sky.png", ade20k.colorize(everywhere))
    interpolate = ("interpolate", scene, "0002", "0000", "0005")
    run(*interpolate, tmp_path / "edit", "--frames", 2, "--edit", "building=sky")
    run(*interpolate, tmp_path / "paint", "--frames", 2, "--labels", tmp_path / "sky.png")
    for frame in ("0000.png", "0001.png"):
        assert np.array_equal(read_image(tmp_path / "edit" / frame), read_image(tmp_path / "paint" / frame))

    cloud = files.read_colored_cloud(scene / "mvs/cloud.ply", scene / "framebuffers/colors.npy")
    camera = dataset.view("0003").camera
    expected, _ = model.novel_view(cloud, camera, model.encode(dataset.view("0001")), everywhere)
    run("joint", scene, "0001", "0004", tmp_path / "joint", "--frames", 2, "--size", 64, "--edit", "building=sky")
    run("joint", scene, "0001", "0004", tmp_path / "plain", "--frames", 2, "--size", 64)
    assert not np.array_equal(read_image(tmp_path / "joint/0000.png"), read_image(tmp_path / "plain/0000.png"))
    write_path(tmp_path / "path.json", CameraPath(6, [camera] * 2, [{"0001": 1.0}] * 2))
    run("video", scene, tmp_path / "path.json", tmp_path / "clip.mp4", "--edit", "building=sky")
    poster = read_image(tmp_path / "clip.png")
    assert np.array_equal(poster, expected)
    settings = {**SETTINGS, "edit": {"building": "sky"}, "extra": {"dusk": {"path": str(tmp_path / "path.json")}}}
    shots.make("dusk", model, dataset, cloud, settings, tmp_path / "dusk.mp4")
    assert np.array_equal(read_image(tmp_path / "dusk.png"), expected)


def test_an_edit_that_cannot_be_is_an_error_that_says_why(scene, tmp_path):
    for edit, message in (
        ("buildin=sky", "the nearest is 'building'"),
        ("building=water", "not trained on water"),
        ("building", "grass=sidewalk is expected"),
    ):
        for command in (
            ("render", scene, scene / "aligned", tmp_path / "out"),
            ("interpolate", scene, "0002", "0000", "0005", tmp_path / "out"),
            ("joint", scene, "0000", "0005", tmp_path / "out"),
        ):
            assert message in run(*command, "--edit", edit, code=1)
    assert "no predicted label map" in run("joint", scene, "0000", "0005", tmp_path, "--edit", "person=sky", code=1)
    unlabelled = tmp_path / "results" / "unlabelled"
    for photo in scene.glob("aligned/*"):
        if "_seg" not in photo.name:
            (unlabelled / "aligned").mkdir(parents=True, exist_ok=True)
            shutil.copy(photo, unlabelled / "aligned")
    pack(
        unlabelled / "aligned", scene / "framebuffers", scene / "aligned/split.csv", unlabelled / "dataset",
        levels=2, splat=3, colors_npy=scene / "framebuffers/colors.npy",
        cloud_ply=scene / "mvs/cloud.ply", lighting_npy=scene / "framebuffers/lighting.npy",
    )  # fmt: skip
    save_networks(unlabelled, CONFIG)
    shutil.rmtree(unlabelled / "completion")
    render = ("render", unlabelled, unlabelled / "aligned", tmp_path / "out")
    assert "not segmented" in run(*render, "--edit", "building=sky", code=1)
    painted = ("--photo", "0000", "--labels", scene / "aligned/0000_seg.png")
    assert "not segmented" in run(*render, *painted, code=1)
    assert not (tmp_path / "out").exists()


def test_a_set_in_the_2019_format_goes_out_comes_in_and_is_rendered(scene, tmp_path):
    run("export-aligned", scene, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train", "val"}
    imported = tmp_path / "results" / "imported"
    run("import-aligned", tmp_path / "out", imported / "aligned")
    pack(imported / "aligned", None, imported / "aligned/split.csv", imported / "dataset", levels=2, splat=1)
    plain = {**CONFIG["buffer"], "view_direction": False, "lighting": 0, "point_channels": 0}
    save_networks(imported, {**CONFIG, "buffer": plain})
    run("render", imported, tmp_path / "out", tmp_path / "pictures")
    assert len(list((tmp_path / "pictures").iterdir())) == PHOTOS
    model = SceneModel.load(imported / "finetune", imported / "completion")
    view = PackedDataset(imported / "dataset").view("0003")
    expected = model.render_view(view, model.encode(view))
    assert np.array_equal(read_image(tmp_path / "pictures" / "0003.png"), expected)
    # such a set has no cloud: only the appearance can be filmed
    dataset = PackedDataset(imported / "dataset")
    shots.make("appearance", model, dataset, None, SETTINGS, tmp_path / "appearance.mp4")
    assert frames_of(tmp_path / "appearance.mp4")[0] == 8
    with pytest.raises(UserError, match="no point cloud"):
        shots.make("flythrough", model, dataset, None, SETTINGS, tmp_path / "flythrough.mp4")
    for command in (("joint", imported, "0000", "0001", tmp_path / "joint"), ("view", imported)):
        assert "without a point cloud" in run(*command, code=1)


def test_the_three_videos_and_one_more_are_made(scene, tmp_path):
    dataset = PackedDataset(scene / "dataset")
    model = SceneModel.load(scene / "finetune", scene / "completion")
    cloud = files.read_colored_cloud(scene / "mvs/cloud.ply", scene / "framebuffers/colors.npy")
    write_path(tmp_path / "dusk.json", CameraPath(4, [dataset.view("0000").camera] * 2, [{"0001": 1.0}] * 2))
    settings = {**SETTINGS, "extra": {"dusk": {"path": str(tmp_path / "dusk.json")}}}
    for kind, frames, size in (
        ("flythrough", 8, (64, 32)), ("appearance", 8, (64, 48)), ("joint", 8, (64, 32)), ("dusk", 2, (64, 48)),
    ):  # fmt: skip
        shots.make(kind, model, dataset, cloud, settings, tmp_path / f"{kind}.mp4")
        assert frames_of(tmp_path / f"{kind}.mp4") == (frames, size)
        assert read_image(tmp_path / f"{kind}.png").shape == (size[1], size[0], 3)
    with pytest.raises(UserError, match="neither one of"):
        shots.make("dawn", model, dataset, cloud, settings, tmp_path / "dawn.mp4")


def test_the_appearance_video_ends_where_it_began(scene):
    dataset = PackedDataset(scene / "dataset")
    model = SceneModel.load(scene / "finetune", scene / "completion")
    cloud = files.read_colored_cloud(scene / "mvs/cloud.ply", scene / "framebuffers/colors.npy")
    loop = shots.appearance(model, dataset, cloud, SETTINGS)
    assert len({id(shot.camera) for shot in loop}) == 1
    assert torch.equal(loop[0].appearance, loop[-1].appearance)
    assert not torch.equal(loop[0].appearance, loop[len(loop) // 2].appearance)


def test_colours_of_another_cloud_are_refused(scene, tmp_path):
    np.save(tmp_path / "colors.npy", np.zeros((5, 3), np.uint8))
    with pytest.raises(UserError, match="different runs"):
        files.read_colored_cloud(scene / "mvs/cloud.ply", tmp_path / "colors.npy")
