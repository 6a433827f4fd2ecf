"""Stages 2 and 3."""

import detail_scene
import numpy as np
import pytest
import torch
from training_scene import (
    BUFFER_OF_2019,
    PERSON,
    assert_same,
    make_config,
    make_scene,
    rows_of,
    run,
    untimed,
    weights,
)

from nrw.core.errors import UserError
from nrw.core.io import read_json
from nrw.dataset.packed import PackedDataset
from nrw.models import paper2019
from nrw.scene.model import SceneModel
from nrw.training import rerender
from nrw.training.sampler import crops_for_one


def test_stage_2_leaves_the_encoder_as_it_is_and_stage_3_does_not(trained):
    before, fixed, tuned = (weights(trained, stage) for stage in ("appearance", "rerender", "finetune"))
    encoder = [name for name in fixed if name.startswith("encoder.")]
    assert sorted(encoder) == sorted(before)
    assert all(torch.equal(before[name], fixed[name]) for name in encoder)
    assert not all(torch.equal(before[name], tuned[name]) for name in encoder)
    assert fixed["points.table"].abs().max() > 0  # they start at zero


def test_the_loss_goes_down(scene, tmp_path):
    """On the channels of 2019, from which no colours are measured: training starts from grey."""
    config = make_config(rerender={"kimg": 0.16, "half_resolution_share": 0.0}, tick_kimg=0.04)
    config["buffer"] = BUFFER_OF_2019
    run("appearance", scene[0], tmp_path, config)
    run("rerender", scene[0], tmp_path, config)
    rows = rows_of(tmp_path / "rerender")
    assert rows[-1]["total"] < 0.6 * rows[0]["total"]


@pytest.mark.parametrize("stage", ["rerender", "finetune"])
def test_what_the_photo_shows_under_transient_labels_has_no_influence(stage, scene, trained, tmp_path, monkeypatch):
    original = PackedDataset.view

    def repainted(self, photo_id):
        view = original(self, photo_id)
        pixels = np.where((view.labels == PERSON)[..., None], 255 - view.pixels, view.pixels)
        assert (pixels != view.pixels).any()
        return type(view)(**{**vars(view), "pixels": pixels})

    monkeypatch.setattr(PackedDataset, "view", repainted)
    run(stage, scene[0], tmp_path, init=trained)
    assert_same(weights(tmp_path, stage), weights(trained, stage))
    assert untimed(rows_of(tmp_path / stage)) == untimed(rows_of(trained / stage))


def test_the_photo_itself_has_influence(scene, trained, tmp_path, monkeypatch):
    original = PackedDataset.view
    monkeypatch.setattr(
        PackedDataset,
        "view",
        lambda self, photo_id: type(view := original(self, photo_id))(**{**vars(view), "pixels": 255 - view.pixels}),
    )
    run("rerender", scene[0], tmp_path, init=trained)
    assert untimed(rows_of(tmp_path / "rerender")) != untimed(rows_of(trained / "rerender"))


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


def test_weights_that_do_not_fit_name_the_file(scene, trained, tmp_path):
    config = make_config()
    config["network"] = {**config["network"], "z_dim": 5}
    with pytest.raises(UserError, match=r"model\.safetensors.*encoder.*another configuration"):
        run("rerender", scene[0], tmp_path, config, trained)
    with pytest.raises(UserError, match="is missing"):
        run("rerender", scene[0], tmp_path, init=tmp_path)


def test_a_stage_ends_when_validation_no_longer_improves(scene, trained, tmp_path, caplog):
    """The best weights are kept: at a learning rate that destroys them, those from before the first step."""
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


def test_a_stage_says_that_its_budget_is_spent(trained):
    for stage in ("rerender", "finetune"):
        assert read_json(trained / stage / "config.json")["ended"] == "budget"


def test_small_sizes_come_first_with_more_photos_and_never_too_small():
    part = {"quarter_resolution_share": 0.25, "half_resolution_share": 0.5}
    assert [rerender.halvings(part, step / 8, smallest_side=208) for step in range(8)] == [2, 2, 1, 1, 1, 1, 0, 0]
    assert [rerender.halvings(part, done, smallest_side=64) for done in (0, 0.3, 0.8)] == [1, 1, 0]
    assert [crops_for_one(160, 208 >> shift) for shift in range(3)] == [1, 2, 4]


def test_the_detail_of_other_photos_brings_pictures_closer(tmp_path):
    """Its file is read, belongs to what a stage was trained on, and matters from the first step on."""
    files = detail_scene.make_scene(tmp_path / "scene")
    plain = np.fromfile(files.training_detail, np.uint8).reshape(-1, 5)
    plain[:] = [128, 128, 128, 0, 0]
    plain.tofile(tmp_path / "plain.u8")
    config = detail_scene.config(rerender={"kimg": 0.004, "half_resolution_share": 0.0})
    found = {}
    for name, detail in (("detail", files.training_detail), ("plain", tmp_path / "plain.u8")):
        out = tmp_path / name
        rerender.train(files.dataset, detail, files.stage("appearance"), out, tmp_path / "checkpoints", config)
        found[name] = rows_of(out)[-1]["val_psnr"]
        assert read_json(out / "config.json")["spec"]["detail"]
    assert found["detail"] > found["plain"] + 3
    hashes = {tuple(rerender.contents(files.model("appearance"), detail)) for detail in (
        None, files.training_detail, tmp_path / "plain.u8")}  # fmt: skip
    assert len(hashes) == 3


def psnr_of(model, dataset):
    return rerender.render_photos(model.networks, dataset, model.spec, torch.device("cpu"))[1]["val_psnr"]
