import csv
import json
import shutil
import sys

import numpy as np
import pytest
from tiny_scene import (
    CONFIG,
    HEIGHT,
    PHOTOS,
    SCALE,
    SETTINGS,
    SKY,
    WIDTH,
    frames_of,
    run,
    save_networks,
)

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import read_image, write_image
from nrw.dataset.pack import pack_dataset
from nrw.dataset.packed import PackedDataset
from nrw.scene.files import SceneFiles
from nrw.scene.model import SceneModel
from nrw.videos import shots
from nrw.videos.camera_paths import CameraPath, write_path


@pytest.fixture(scope="module")
def scene(tower):
    return tower


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
    assert "does not exist" in run("video", scene, tmp_path / "p.json", tmp_path / "clip.mp4", code=1)


def test_an_output_that_cannot_be_written_is_said_before_anything_is_drawn(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(shots, "draw", lambda *args, **options: pytest.fail("a frame was drawn"))
    monkeypatch.setattr(SceneModel, "render_view", lambda *args, **options: pytest.fail("a view was drawn"))
    (tmp_path / "file").touch()
    write_path(tmp_path / "path.json", CameraPath(6, [PackedDataset(scene / "dataset").view("0003").camera], [None]))
    inside = tmp_path / "file" / "clip.mp4"
    assert "cannot be written" in run("video", scene, tmp_path / "path.json", inside, code=1)
    assert "cannot be written" in run("interpolate", scene, "0002", "0000", "0005", tmp_path / "file", code=1)
    assert "cannot be written" in run("render", scene, scene / "aligned", tmp_path / "file", code=1)
    assert "cannot be written" in run("evaluate", scene, tmp_path / "file", code=1)
    assert "ends in .mp4" in run("video", scene, tmp_path / "path.json", tmp_path / "clip.avi", code=1)
    assert ".csv or .npy" in run("appearance-vectors", scene, tmp_path / "table.txt", code=1)


def test_a_film_named_after_the_hour_is_made(scene, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_path(tmp_path / "path.json", CameraPath(6, [PackedDataset(scene / "dataset").view("0003").camera], [None]))
    run("video", scene, "path.json", "18:30.mp4")
    assert frames_of(tmp_path / "18:30.mp4")[0] == 1


def test_evaluate_writes_metrics_and_sheets(scene, tmp_path):
    printed = run("evaluate", scene, tmp_path, "--refine-steps", 1)
    assert "half_refined" in printed and "ours - R" in printed
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["photos"] == ["0001", "0004"]
    assert metrics["views"]["size"] == SCALE * WIDTH and "as views of 128 pixels" in printed
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["0001.png", "0004.png", "overview.png"]


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
    write_image(folder / "0000_seg.png", np.full((HEIGHT, WIDTH, 3), SKY, np.uint8))  # as painting programs save gray
    run("render", scene, folder, tmp_path / "rgb", "--photo", "0000")
    assert np.array_equal(read_image(tmp_path / "rgb/0000.png"), read_image(tmp_path / "changed/0000.png"))
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

    views, _ = SceneFiles(scene).open_views("cpu")
    camera = dataset.view("0003").camera
    z = model.encode(dataset.view("0001"))
    expected = views.draw(views.see(camera, everywhere[::2, ::2]), z, skies={"0001": 1.0})
    run("joint", scene, "0001", "0004", tmp_path / "joint", "--frames", 2, "--size", 64, "--edit", "building=sky")
    run("joint", scene, "0001", "0004", tmp_path / "plain", "--frames", 2, "--size", 64)
    assert not np.array_equal(read_image(tmp_path / "joint/0000.png"), read_image(tmp_path / "plain/0000.png"))
    write_path(tmp_path / "path.json", CameraPath(6, [camera] * 2, [{"0001": 1.0}] * 2))
    run("video", scene, tmp_path / "path.json", tmp_path / "clip.mp4", "--edit", "building=sky")
    poster = read_image(tmp_path / "clip.png")
    assert np.array_equal(poster, expected)
    settings = {**SETTINGS, "edit": {"building": "sky"}, "extra": {"dusk": {"path": str(tmp_path / "path.json")}}}
    shots.film("dusk", model, dataset, views, settings, tmp_path / "dusk.mp4")
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
    pack_dataset(
        unlabelled / "aligned", scene / "framebuffers", scene / "aligned/split.csv", unlabelled / "dataset",
        levels=2, splat=3, colors_npy=scene / "framebuffers/colors.npy",
        lighting_npy=scene / "framebuffers/lighting.npy",
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
    pack_dataset(imported / "aligned", None, imported / "aligned/split.csv", imported / "dataset", levels=2, splat=1)
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
    shots.film("appearance", model, dataset, None, SETTINGS, tmp_path / "appearance.mp4")
    assert frames_of(tmp_path / "appearance.mp4")[0] == 8
    with pytest.raises(UserError, match="no point cloud"):
        shots.film("flythrough", model, dataset, None, SETTINGS, tmp_path / "flythrough.mp4")
    for command in (("joint", imported, "0000", "0001", tmp_path / "joint"), ("view", imported)):
        assert "without a point cloud" in run(*command, code=1)


def test_view_names_what_is_missing(scene, tmp_path, monkeypatch):
    half_made = tmp_path / "results" / "half"
    half_made.mkdir(parents=True)
    (half_made / "dataset").symlink_to(scene / "dataset")
    assert "results/half/finetune/model.safetensors" in run("view", half_made, code=1)
    save_networks(half_made, CONFIG)
    assert "results/half/mvs/cloud.ply" in run("view", half_made, code=1)
    monkeypatch.setitem(sys.modules, "viser", None)
    monkeypatch.delitem(sys.modules, "nrw.viewer.page", raising=False)
    message = run("view", scene, code=1)
    assert "extra `viewer`" in message and "pip install -e '.[viewer]'" in message
