"""The training stages on a small synthetic scene: a textured wall under a sky, photographed in different light."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import read_image, read_json, write_csv, write_image
from nrw.dataset.pack import pack
from nrw.dataset.packed import PackedDataset
from nrw.framebuffers.aligned import INDEX_FIELDS, POSE_FIELDS
from nrw.framebuffers.rasters import save_buffer
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import Cloud, write_cloud
from nrw.geometry.rasterize import rasterize, reaching, shade
from nrw.models import inputs, paper2019
from nrw.models.inputs import BufferSpec
from nrw.models.perceptual import VGGFeatures, gram_matrices, style_distance
from nrw.scene.model import SceneModel
from nrw.training import appearance, completion, rerender, sampler
from nrw.training.sampler import crops_for_one, jittered
from nrw.training.stage import Best, steps_of, update_average

BUILDING, SKY, PERSON = (ade20k.label_of(name) for name in ("building", "sky", "person"))
WALL_DEPTH = 5.0
BUFFER_OF_2019 = {
    "representation": "paper2019",
    "levels": 1,
    "view_direction": False,
    "lighting": 0,
    "point_channels": 0,
}


def make_scene(
    folder: Path, photos: int = 6, size: tuple[int, int] = (64, 48), n_points: int = 4000, labelled: bool = True
) -> tuple[Path, Cloud, list[Camera]]:
    """A packed data set of a wall in the plane z = 5 below y = -0.8 (y points down), sky above it, a person in front.

    Photo i is the wall's texture times a gain that grows with i; every other photo is upright.
    """
    rng = np.random.default_rng(0)
    points = np.column_stack(
        [rng.uniform(-4, 4, n_points), rng.uniform(-0.8, 3, n_points), np.full(n_points, WALL_DEPTH)]
    ).astype(np.float32)
    cloud = Cloud(points, texture(points[:, 0], points[:, 1]), np.tile(np.float32([0, 0, -1]), (n_points, 1)))
    aligned, buffers = folder / "aligned", folder / "framebuffers"
    buffers.mkdir(parents=True)
    np.save(buffers / "colors.npy", cloud.colors)
    cameras, rows, index = [], [], []
    for number in range(photos):
        photo = f"{number:04d}"
        width, height = size if number % 2 == 0 else size[::-1]
        pose = np.column_stack([np.eye(3), [0.3 * rng.normal(), 0.2 * rng.normal(), 0]])
        camera = Camera(width, height, 1.1 * size[0], 1.1 * size[0], width / 2, height / 2, pose)
        raster = reaching(rasterize([points], camera), cloud.spacing, camera)
        save_buffer(buffers, photo, raster)
        write_image(aligned / f"{photo}_color.png", shade([points], cloud.colors, camera, raster, splat=3))
        rays = camera.ray_directions()
        x, y = np.moveaxis(camera.center + rays * ((WALL_DEPTH - camera.center[2]) / rays[..., 2:]), -1, 0)[:2]
        gain = 0.3 + 0.7 * number / (photos - 1)
        picture = np.where((y < -0.8)[..., None], [120, 160, 220], texture(x, y)) * gain
        labels = np.where(y < -0.8, SKY, BUILDING).astype(np.uint8)
        person = slice(height // 2, height // 2 + 12), slice(8 + 4 * (number % 3), 20 + 4 * (number % 3))
        picture[person], labels[person] = rng.uniform(0, 255, (12, 12, 3)), PERSON
        write_image(aligned / f"{photo}_reference.png", picture.astype(np.uint8))
        if labelled:
            write_image(aligned / f"{photo}_seg.png", labels)
        cameras.append(camera)
        rows.append({"id": photo, "split": "val" if number in (2, 3) else "train"})
        lens = {name: getattr(camera, name) for name in ("width", "height", "fx", "fy", "cx", "cy")}
        index.append({"id": photo, **lens, **dict(zip(POSE_FIELDS, pose.ravel(), strict=True))})
    write_csv(folder / "split.csv", rows, ["id", "split"])
    write_csv(aligned / "index.csv", index, INDEX_FIELDS)
    options = {"levels": 2, "splat": 3, "transient": ["person"], "sky": ["sky"]}
    lighting = np.random.default_rng(1).integers(1, 256, (len(cloud.points), 2), np.uint8)
    np.save(buffers / "lighting.npy", lighting)
    write_cloud(folder / "cloud.ply", cloud)
    options |= {f"{name}_npy": buffers / f"{name}.npy" for name in ("colors", "lighting")}
    pack(aligned, buffers, folder / "split.csv", folder / "dataset", cloud_ply=folder / "cloud.ply", **options)
    return folder / "dataset", cloud, cameras


def texture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 colours of the wall."""
    waves = [np.sin(3 * x) * np.cos(2 * y), np.cos(2 * x + y), np.sin(2 * x - 3 * y)]
    return np.stack([150 + 80 * wave for wave in waves], axis=-1).astype(np.uint8)


def make_config(**training: object) -> dict:
    """A small configuration; `training` goes over its section, stages key by key."""
    stage = {"kimg": 0.012, "learning_rate": 0.002, "quarter_resolution_share": 0.0, "half_resolution_share": 0.5}
    stage["adversarial_share"] = 1.0
    config = {
        "device": "cpu",
        "seed": 1,
        "segmentation": {"model": "a model"},
        "buffer": {
            "representation": "corrected",
            "levels": 2,
            "view_direction": True,
            "lighting": 2,
            "point_channels": 2,
        },
        "network": {"architecture": "film", "base_width": 4, "max_width": 8, "stages": 2, "z_dim": 4},
        "perceptual": {"weights": "random"},
        "training": {
            "threads": 1,
            "batch_size": 2,
            "accumulate": 1,
            "crop_size": 32,
            "ema_decay": 0.999,
            "betas": [0.9, 0.99],
            "schedule": "cosine",
            "mask_transient": True,
            "colour_jitter": 0.0,
            "partial_appearance": 0.0,
            "tick_kimg": 0.004,
            "patience": 0,
            "appearance": {
                "kimg": 0.012, "batch_size": 2, "learning_rate": 0.001, "margin": 0.1, "positives": 5, "negatives": 13,
                "style_size": 32,
            },
            "rerender": {**stage, "encoder_learning_rate": 0.0},
            "finetune": {**stage, "encoder_learning_rate": 0.0005},
            "losses": {"l1": 1.0, "gradient": 0.5, "dssim": 0.2, "perceptual": 0.0, "adversarial": 0.0},
            "completion": {"kimg": 0.012, "learning_rate": 0.002},
        },
    }  # fmt: skip
    for key, value in training.items():
        known = config["training"][key]
        config["training"][key] = {**known, **value} if isinstance(value, dict) else value
    return config


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def trained(scene, tmp_path_factory):
    """The folder in which all stages ran once, uninterrupted."""
    out = tmp_path_factory.mktemp("trained")
    for stage in ("appearance", "rerender", "finetune", "completion"):
        run(stage, scene[0], out)
    return out


def run(stage: str, dataset: Path, out: Path, config: dict | None = None, init: Path | None = None) -> None:
    """Train one stage into out/<stage>, from the stage before in `init` or `out`."""
    config, folders = config or make_config(), (out / stage, out / "checkpoints" / stage)
    if stage == "appearance":
        appearance.train(dataset, *folders, config)
    elif stage == "completion":
        completion.train(dataset, *folders, config)
    else:
        before = {"rerender": "appearance", "finetune": "rerender"}[stage]
        rerender.train(dataset, (init or out) / before, *folders, config, stage=stage)


def weights(out: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_file(out / stage / "model.safetensors")


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


def untimed(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in ("seconds", "images_per_s")} for row in rows]


class Killed(BaseException):
    """Stands for a kill: nothing in the package catches it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, module: object, step: int) -> None:
    """Let the stage in `module` die when it begins `step`."""
    original = module.photos_of

    def photos_of(ids, seed, stage, at, batch_size):
        if at == step:
            raise Killed
        return original(ids, seed, stage, at, batch_size)

    monkeypatch.setattr(module, "photos_of", photos_of)


@pytest.mark.parametrize("stage", ["appearance", "rerender", "finetune", "completion"])
def test_a_killed_stage_resumes_and_gives_what_an_uninterrupted_one_gives(stage, scene, trained, tmp_path, monkeypatch):
    module = {"appearance": appearance, "completion": completion}.get(stage, rerender)
    with monkeypatch.context() as patch:
        kill_at(patch, module, 3)  # a step after the first checkpoint, at step 2: what it did is lost
        with pytest.raises(Killed):
            run(stage, scene[0], tmp_path, init=trained)
    assert len(rows_of(tmp_path / stage)) == 1
    assert not (tmp_path / stage / "model.safetensors").exists()
    started = []
    with monkeypatch.context() as patch:
        original = module.photos_of
        patch.setattr(module, "photos_of", lambda *args: started.append(args[3]) or original(*args))
        run(stage, scene[0], tmp_path, init=trained)
    assert started == [2, 3, 4, 5]
    assert_same(weights(tmp_path, stage), weights(trained, stage))
    assert untimed(rows_of(tmp_path / stage)) == untimed(rows_of(trained / stage))


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_training import make_config, run
config = make_config(rerender={{"kimg": 0.06}}, tick_kimg=0.02, patience=1000)
run("rerender", Path({dataset!r}), Path({out!r}), config, Path({init!r}))
"""


def test_a_process_that_was_killed_resumes_and_gives_what_an_uninterrupted_one_gives(scene, trained, tmp_path):
    folders = {"tests": Path(__file__).parent, "dataset": scene[0], "out": tmp_path / "killed", "init": trained}
    script = SCRIPT.format(**{name: str(path) for name, path in folders.items()})
    process = subprocess.Popen([sys.executable, "-c", script])
    while not (tmp_path / "killed" / "checkpoints" / "rerender" / "checkpoint.safetensors").exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "rerender" / "model.safetensors").exists()
    for out in ("killed", "whole"):
        run(
            "rerender",
            scene[0],
            tmp_path / out,
            make_config(rerender={"kimg": 0.06}, tick_kimg=0.02, patience=1000),
            trained,
        )
    assert_same(weights(tmp_path / "killed", "rerender"), weights(tmp_path / "whole", "rerender"))
    assert untimed(rows_of(tmp_path / "killed" / "rerender")) == untimed(rows_of(tmp_path / "whole" / "rerender"))


@pytest.mark.parametrize("stage", ["appearance", "finetune", "completion"])
def test_sigterm_saves_the_step_and_leaves(stage, scene, trained, tmp_path, monkeypatch):
    module = {"appearance": appearance, "completion": completion}.get(stage, rerender)
    with monkeypatch.context() as patch:
        original = module.photos_of
        patch.setattr(
            module,
            "photos_of",
            lambda *args: (args[3] == 2 and os.kill(os.getpid(), signal.SIGTERM)) or original(*args),
        )
        with pytest.raises(SystemExit) as left:
            run(stage, scene[0], tmp_path, init=trained)
    assert left.value.code == 128 + signal.SIGTERM
    with safe_open(tmp_path / "checkpoints" / stage / "checkpoint.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["nrw"])["step"] == 3  # in the middle of a tick
    run(stage, scene[0], tmp_path, init=trained)
    assert_same(weights(tmp_path, stage), weights(trained, stage))
    assert untimed(rows_of(tmp_path / stage)) == untimed(rows_of(trained / stage))


def test_a_checkpoint_of_another_configuration_is_not_used(scene, trained, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        kill_at(patch, rerender, 3)
        with pytest.raises(Killed):
            run("rerender", scene[0], tmp_path, make_config(rerender={"learning_rate": 0.1}), trained)
    with caplog.at_level(logging.INFO):
        run("rerender", scene[0], tmp_path, init=trained)
    assert "another configuration" in caplog.text
    assert_same(weights(tmp_path, "rerender"), weights(trained, "rerender"))


def test_stage_2_leaves_the_encoder_as_it_is_and_stage_3_does_not(trained):
    before, fixed, tuned = (weights(trained, stage) for stage in ("appearance", "rerender", "finetune"))
    encoder = [name for name in fixed if name.startswith("encoder.")]
    assert sorted(encoder) == sorted(before)
    assert all(torch.equal(before[name], fixed[name]) for name in encoder)
    assert not all(torch.equal(before[name], tuned[name]) for name in encoder)
    assert fixed["points.table"].abs().max() > 0  # they start at zero


def test_the_loss_goes_down(scene, tmp_path):
    """From the channels of 2019, of which no colours are measured: training starts from grey."""
    config = make_config(rerender={"kimg": 0.16, "half_resolution_share": 0.0}, tick_kimg=0.04)
    config["buffer"] = BUFFER_OF_2019
    run("appearance", scene[0], tmp_path, config)
    run("rerender", scene[0], tmp_path, config)
    rows = rows_of(tmp_path / "rerender")
    assert rows[-1]["total"] < 0.6 * rows[0]["total"]


def test_triplets_are_learned(scene, tmp_path):
    run("appearance", scene[0], tmp_path, make_config(appearance={"kimg": 0.2, "batch_size": 4}, tick_kimg=0.04))
    rows = rows_of(tmp_path / "appearance")
    assert rows[-1]["triplet"] < 0.5 * rows[0]["triplet"]


@pytest.mark.parametrize("stage", ["rerender", "finetune"])
def test_what_the_photo_shows_under_transient_labels_has_no_influence(stage, scene, trained, tmp_path, monkeypatch):
    original = PackedDataset.view

    def repainted(self, photo_id):
        view = original(self, photo_id)
        photo = np.where((view.labels == PERSON)[..., None], 255 - view.photo, view.photo)
        assert (photo != view.photo).any()
        return type(view)(**{**vars(view), "photo": photo})

    monkeypatch.setattr(PackedDataset, "view", repainted)
    run(stage, scene[0], tmp_path, init=trained)
    assert_same(weights(tmp_path, stage), weights(trained, stage))
    assert untimed(rows_of(tmp_path / stage)) == untimed(rows_of(trained / stage))


def test_the_photo_itself_has_influence(scene, trained, tmp_path, monkeypatch):
    original = PackedDataset.view
    monkeypatch.setattr(
        PackedDataset,
        "view",
        lambda self, photo: type(view := original(self, photo))(**{**vars(view), "photo": 255 - view.photo}),
    )
    run("rerender", scene[0], tmp_path, init=trained)
    assert untimed(rows_of(tmp_path / "rerender")) != untimed(rows_of(trained / "rerender"))


def test_pieces_of_a_batch_give_the_whole_batchs_gradient(scene, trained, tmp_path):
    # L1 over crops with the same number of lasting pixels would be the same to rounding; a mask makes the means differ
    # a little, so the steps agree closely but not exactly.
    for accumulate in (1, 2):
        config = make_config(accumulate=accumulate, rerender={"kimg": 0.002})
        run("rerender", scene[0], tmp_path / str(accumulate), config, trained)
    one, two = (rows_of(tmp_path / name / "rerender")[0]["total"] for name in ("1", "2"))
    assert one == pytest.approx(two, rel=0.05)


def test_all_losses_train_together(scene, trained, tmp_path):
    losses = {"l1": 0.0, "gradient": 0.0, "dssim": 0.0, "perceptual": 0.3, "adversarial": 1.0}
    config = make_config(
        losses=losses,
        crop_size=64,
        rerender={"kimg": 0.004, "half_resolution_share": 0.0},
    )
    dataset, _, _ = make_scene(tmp_path / "larger", 4, (80, 64))
    run("appearance", dataset, tmp_path, make_config(losses=losses, appearance={"kimg": 0}))
    run("rerender", dataset, tmp_path, config)
    row = rows_of(tmp_path / "rerender")[-1]
    assert {"perceptual", "adversarial", "discriminator", "total"} <= row.keys()
    assert "l1" not in row
    assert row["total"] == pytest.approx(0.3 * row["perceptual"] + row["adversarial"], rel=1e-5)
    assert any(name.startswith("discriminator.") for name in weights(tmp_path, "rerender"))


def test_networks_of_2019_train(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(paper2019, "MAX_FILTERS", 16)  # in place of 512
    config = make_config(
        appearance={"kimg": 0},
        crop_size=48,
        schedule="constant",
        rerender={"kimg": 0.002, "half_resolution_share": 0.0},
    )
    config["buffer"] = BUFFER_OF_2019
    config["network"] = {**config["network"], "architecture": "paper2019", "z_dim": 8}
    run("appearance", scene[0], tmp_path, config)
    run("rerender", scene[0], tmp_path, config)
    assert rows_of(tmp_path / "rerender")[-1]["learning_rate"] == 0.002


def test_a_tick_says_how_it_goes(scene, tmp_path, trained, caplog):
    with caplog.at_level(logging.INFO):
        run("rerender", scene[0], tmp_path, init=trained)
    lines = [record.message for record in caplog.records if record.message.startswith("rerender:")]
    assert len(lines) == 3
    for part in ("of 0.01 kimg", "l1 0.", "val_psnr", "images/s", "left"):
        assert part in lines[0]
    rows = rows_of(tmp_path / "rerender")
    assert [row["step"] for row in rows] == [2, 4, 6]
    expected = {"step", "kimg", "seconds", "images_per_s", "l1", "gradient", "dssim", "total", "val_l1", "val_psnr"}
    assert expected <= rows[0].keys()
    assert rows[-1]["kimg"] == pytest.approx(0.012)
    assert list((tmp_path / "rerender").glob("events.out.tfevents.*"))


def test_the_discriminator_judges_late_and_the_last_weights_are_kept(scene, tmp_path):
    config = make_config(
        losses={"l1": 1.0, "gradient": 0.0, "dssim": 0.0, "perceptual": 0.0, "adversarial": 0.1},
        rerender={"kimg": 0.016, "half_resolution_share": 0.0, "adversarial_share": 0.5},
        tick_kimg=0.004,
        crop_size=64,
        patience=8,
    )
    run("appearance", scene[0], tmp_path, config)
    run("rerender", scene[0], tmp_path, config)
    rows = rows_of(tmp_path / "rerender")
    assert (
        ["adversarial" in row for row in rows] == ["discriminator" in row for row in rows] == [False] * 2 + [True] * 2
    )
    facts = read_json(tmp_path / "rerender" / "config.json")
    assert facts["best_kimg"] == facts["kimg"] == 0.016


def test_the_sample_sheet_exists_from_step_0_and_shows_render_output_photo(trained, scene):
    for stage in ("rerender", "finetune", "completion"):
        sheets = sorted(path.name for path in (trained / stage / "samples").iterdir())
        assert sheets == ["00000.000.png", "00000.004.png", "00000.008.png", "00000.012.png"]
    sheet = read_image(trained / "rerender" / "samples" / "00000.000.png")
    view = PackedDataset(scene[0]).view("0002")  # the first validation photo, 64 wide
    np.testing.assert_array_equal(sheet[:48, :64], view.color[0])
    np.testing.assert_array_equal(sheet[:48, 128:192], view.photo)
    assert sheet.shape == (2 * 64 + 2 * 48, 3 * 64, 3)  # two validation photos, two training photos


def test_a_loss_that_is_not_finite_stops_the_stage(scene, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(rerender.losses, "l1", lambda output, target, keep: (output / 0).mean())
    with pytest.raises(UserError, match=r"rerender: the l1 loss is (nan|-?inf) at step 0 .*learning_rate"):
        run("rerender", scene[0], tmp_path, init=trained)
    assert not (tmp_path / "checkpoints").exists()


def test_weights_that_do_not_fit_name_the_file(scene, trained, tmp_path):
    config = make_config()
    config["network"] = {**config["network"], "z_dim": 5}
    with pytest.raises(UserError, match=r"model\.safetensors.*encoder.*another configuration"):
        run("rerender", scene[0], tmp_path, config, trained)
    with pytest.raises(UserError, match="is missing"):
        run("rerender", scene[0], tmp_path, init=tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_an_error(scene, tmp_path):
    with pytest.raises(UserError, match="device: cpu"):
        run("appearance", scene[0], tmp_path, make_config() | {"device": "cuda"})


class TestPretrain:
    def test_distances_are_those_of_the_gram_matrices_without_transients(self, trained, scene):
        dataset = PackedDataset(scene[0])
        ids = json.loads((trained / "appearance" / "style_distances.json").read_text())
        assert ids == dataset.train_ids
        vgg = VGGFeatures("random", 1)
        grams = []
        for photo in ids:
            view = dataset.view(photo)
            height, width = view.labels.shape
            part = slice(height // 2 - 16, height // 2 + 16), slice(width // 2 - 16, width // 2 + 16)
            pixels, people = view.photo[part].astype(np.float32), view.labels[part] == PERSON
            assert people.any()
            pixels[people] = pixels[~people].mean(axis=0)
            grams.append(gram_matrices(vgg, torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1))
        expected = [[style_distance(a, b).item() for b in grams] for a in grams]
        distances = np.load(trained / "appearance" / "style_distances.npy", allow_pickle=False)
        np.testing.assert_allclose(distances, expected, rtol=2e-3)
        assert distances[0].argmax() == 3  # the darkest photo differs most from the brightest

    def test_candidates_are_the_nearest_and_farthest_others(self):
        places = np.array([0.0, 1.0, 3.0, 7.0, 20.0])
        distances = np.abs(places[:, None] - places)
        near, far = appearance.candidates(distances, 1, 2)
        assert near.tolist() == [[1], [0], [1], [2], [3]]
        assert far[0].tolist() == [3, 4]
        near, far = appearance.candidates(distances, 5, 13)  # a set smaller than what is asked for
        assert near.shape == far.shape == (5, 2)
        assert not set(near[0]) & set(far[0])

    def test_squared_distances_of_near_neighbours_far_from_zero(self):
        rng = np.random.default_rng(0)
        vectors = (1000 + rng.normal(size=(5, 40_000)) * [[0.01], [0.01], [1], [1], [1]]).astype(np.float32)
        expected = ((vectors[:, None].astype(np.float64) - vectors) ** 2).sum(-1)
        np.testing.assert_allclose(appearance.squared_distances(vectors), expected, rtol=1e-5)

    def test_without_perceptual_weights_only_the_initial_encoder_can_be_had(self, scene, tmp_path):
        config = make_config() | {"perceptual": {"weights": "none"}}
        with pytest.raises(UserError, match=r"training\.appearance\.kimg to 0"):
            run("appearance", scene[0], tmp_path, config)
        config["training"]["appearance"]["kimg"] = 0
        run("appearance", scene[0], tmp_path, config)
        assert all(name.startswith("encoder.") for name in weights(tmp_path, "appearance"))


class TestSampler:
    def test_every_photo_is_seen_once_a_round(self):
        ids = [str(number) for number in range(7)]
        seen = [photo for step in range(7) for photo in sampler.photos_of(ids, 1, "rerender", step, 2)]
        assert sorted(seen[:7]) == sorted(seen[7:]) == ids
        assert seen[:7] != seen[7:]
        assert seen[:2] != sampler.photos_of(ids, 2, "rerender", 0, 2)

    def test_crops_hold_the_same_part_of_photo_and_every_level(self, scene):
        dataset = PackedDataset(scene[0])
        spec = BufferSpec.from_config(make_config(), dataset.meta)
        view = dataset.view("0000")
        rasters, index, photo, keep = inputs.crop(view, spec, [PERSON], (10, 4, 32, 16))
        whole, _, _, _ = inputs.crop(view, spec, [PERSON])
        torch.testing.assert_close(rasters[0], whole[0][:, 4:20, 10:42])
        torch.testing.assert_close(rasters[1], whole[1][:, 2:10, 5:21])
        assert (index[1].numpy() == view.index[1][2:10, 5:21]).all()
        np.testing.assert_allclose((photo.permute(1, 2, 0) + 1) * 127.5, view.photo[4:20, 10:42], atol=1e-3)
        assert (keep[0].numpy() == (view.labels[4:20, 10:42] != PERSON)).all()

    def test_half_resolution_shows_twice_the_field_of_view(self, scene):
        dataset = PackedDataset(scene[0])
        spec = BufferSpec.from_config(make_config(), dataset.meta)
        view = dataset.view("0000")
        rasters, index, photo, keep = inputs.crop(view, spec, [PERSON], (4, 2, 16, 12), shift=1)
        finer, _, _, _ = inputs.crop(view, spec, [PERSON])
        torch.testing.assert_close(rasters[0], finer[1][:, 2:14, 4:20])
        mean = view.photo[4:28, 8:40].reshape(12, 2, 16, 2, 3).mean(axis=(1, 3))
        np.testing.assert_allclose((photo.permute(1, 2, 0) + 1) * 127.5, mean, atol=1e-3)
        assert 0 < (keep == 0).sum() < keep.numel()
        # the coarsest level is not in the packed set: it shows the nearest of what the level above shows
        depth = np.where(view.depth[1] > 0, view.depth[1], np.inf)[2:14, 4:20].reshape(6, 2, 8, 2).min(axis=(1, 3))
        assert (index[1].numpy() >= 0).tolist() == np.isfinite(depth).tolist()

    def test_labels_become_the_channel_of_their_group(self, scene):
        dataset = PackedDataset(scene[0])
        spec = BufferSpec.from_config(make_config(), dataset.meta)
        view = dataset.view("0000")
        rasters, *_ = inputs.crop(view, spec, [PERSON])
        classes = dataset.meta["classes"]
        one_hot = rasters[0][8 : 8 + len(classes)].numpy()
        for channel, group in enumerate(classes):
            np.testing.assert_array_equal(one_hot[channel] == 1, ade20k.collapse(view.labels) == group)

    def test_a_share_of_the_photos_gives_its_appearance_in_part(self):
        regions = [sampler.random_region(np.random.default_rng(number), 0.5) for number in range(400)]
        parts = np.array([region for region in regions if region is not None])
        assert 150 < len(parts) < 250
        assert parts.min() >= 0 and parts.max() <= 1
        widths = parts[:, 1] - parts[:, 0]
        assert 0.4 <= widths.min() < 0.45 and 0.75 < widths.max() <= 0.8
        assert sampler.random_region(np.random.default_rng(0), 0) is None

    def test_the_encoder_sees_nothing_outside_its_region(self, scene):
        dataset = PackedDataset(scene[0])
        spec = BufferSpec.from_config(make_config(), dataset.meta)
        view = dataset.view("0000")
        x, keep = inputs.encoder_input(view, spec, [PERSON], (0, 0.5))
        whole, _ = inputs.encoder_input(view, spec, [PERSON])
        assert x.shape[1:] == keep.shape[1:] == (48, 32)
        torch.testing.assert_close(x, whole[:, :, :32])


def test_completion_learns_where_sky_and_wall_are_and_never_says_person(scene, tmp_path):
    run("completion", scene[0], tmp_path, make_config(completion={"kimg": 0.1}, tick_kimg=0.05))
    assert rows_of(tmp_path / "completion")[-1]["val_accuracy"] > 0.9
    assert sorted(json.loads((tmp_path / "completion" / "config.json").read_text())["labels"]) == sorted(
        [BUILDING, SKY]
    )


def test_completion_needs_labels(tmp_path):
    dataset, _, _ = make_scene(tmp_path, 4, labelled=False)
    with pytest.raises(UserError, match="no labels"):
        run("completion", dataset, tmp_path)


def test_the_average_follows_closely_at_first_and_slowly_later():
    trained, average = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    for step, share in ((0, 0.9), (90, 0.09), (10**6, 0.001)):
        with torch.no_grad():
            trained.weight.fill_(1.0)
            average.weight.fill_(0.0)
        update_average(average, trained, 0.999, step)
        assert average.weight.item() == pytest.approx(share, rel=1e-4)


def test_steps_show_all_images():
    assert [steps_of(kimg, 2) for kimg in (0, 0.001, 0.003, 8)] == [0, 1, 2, 4000]


def test_a_stage_ends_when_validation_no_longer_improves(scene, trained, tmp_path, caplog):
    """The weights that are kept are the best: at a rate that tears all down, those that the stage began with."""
    finetune = {"kimg": 0.2, "learning_rate": 0.3, "half_resolution_share": 0.0}
    with caplog.at_level("INFO"):
        run("finetune", scene[0], tmp_path, make_config(finetune=finetune, patience=2, tick_kimg=0.008), trained)
    rows, found = rows_of(tmp_path / "finetune"), read_json(tmp_path / "finetune" / "config.json")
    assert found["ended"] == "validation" and found["kimg"] == rows[-1]["kimg"] < 0.2
    assert "no better validation for 2 ticks (budget: 0.2 kimg)" in caplog.text
    before = SceneModel.load(trained / "rerender", trained / "completion")
    dataset = PackedDataset(scene[0])
    assert max(row["val_psnr"] for row in rows) < psnr_of(before, dataset)
    assert found["best_kimg"] == 0 and found["kimg"] == pytest.approx(2 * 0.008)
    kept = SceneModel.load(tmp_path / "finetune", trained / "completion")
    assert psnr_of(kept, dataset) == psnr_of(before, dataset)


def test_the_best_of_the_offered_weights_are_kept():
    module = torch.nn.Linear(1, 1, bias=False)
    best = Best(module)
    for step, score in enumerate([17.0, 19.0, 18.0]):
        torch.nn.init.constant_(module.weight, step)
        best.offer(module, score, step)
    assert (best.score, best.step, best.module.weight.item()) == (19.0, 1, 1.0)
    best.offer(module, None, 3)  # no validation photos
    assert (best.step, best.module.weight.item()) == (3, 2.0)


def psnr_of(model, dataset):
    return rerender.validate(model.networks, dataset, model.spec, torch.device("cpu"))[1]["val_psnr"]


def test_a_stage_says_that_its_budget_is_spent(trained):
    for stage in ("rerender", "finetune"):
        assert read_json(trained / stage / "config.json")["ended"] == "budget"


def test_small_sizes_come_first_with_more_photos_and_never_too_small():
    part = {"quarter_resolution_share": 0.25, "half_resolution_share": 0.5}
    assert [rerender.halvings(part, step / 8, smallest=208) for step in range(8)] == [2, 2, 1, 1, 1, 1, 0, 0]
    assert [rerender.halvings(part, done, smallest=64) for done in (0, 0.3, 0.8)] == [1, 1, 0]
    assert [crops_for_one(160, 208 >> shift) for shift in range(3)] == [1, 2, 4]


def test_jitter_is_another_exposure_of_the_same_photo(scene):
    view = PackedDataset(scene[0]).view("0000")
    assert jittered(view, np.random.default_rng(0), 0.0) is view
    changed = [jittered(view, np.random.default_rng(seed), 1.0) for seed in range(100)]
    assert 0.15 < np.mean([other is view for other in changed]) < 0.45
    stops = [np.log2((other.photo.mean() + 1) / (view.photo.mean() + 1)) for other in changed if other is not view]
    assert 0.2 < np.std(stops) < 1.5
    other = next(other for other in changed if other is not view)
    for channel in range(3):  # a monotonic curve for each channel
        order = np.argsort(view.photo[..., channel].ravel(), kind="stable")
        assert (np.diff(other.photo[..., channel].ravel()[order].astype(int)) >= 0).all()
    again = jittered(view, np.random.default_rng(changed.index(other)), 1.0)
    np.testing.assert_array_equal(again.photo, other.photo)
    assert again.labels is view.labels
