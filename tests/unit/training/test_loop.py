"""What the stages have in common: resuming, stopping, the record of ticks and samples."""

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
import training_scene
from safetensors import safe_open
from training_scene import MODULES, Killed, assert_same, kill_at, make_config, rows_of, run, untimed, weights

from nrw.core.io import read_image
from nrw.dataset.packed import PackedDataset
from nrw.training import rerender


@pytest.mark.parametrize("stage", ["appearance", "rerender", "finetune", "completion"])
def test_a_killed_stage_resumes_and_gives_what_an_uninterrupted_one_gives(stage, scene, trained, tmp_path, monkeypatch):
    module = MODULES[stage]
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
from training_scene import make_config, run
config = make_config(rerender={{"kimg": 0.06}}, tick_kimg=0.02, patience=1000)
run("rerender", Path({dataset!r}), Path({out!r}), config, Path({init!r}))
"""


def test_a_process_that_was_killed_resumes_and_gives_what_an_uninterrupted_one_gives(scene, trained, tmp_path):
    folders = {
        "tests": Path(training_scene.__file__).parent,
        "dataset": scene[0],
        "out": tmp_path / "killed",
        "init": trained,
    }
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
    module = MODULES[stage]
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


def test_the_sample_sheet_exists_from_step_0_and_shows_render_output_photo(trained, scene):
    for stage in ("rerender", "finetune", "completion"):
        sheets = sorted(path.name for path in (trained / stage / "samples").iterdir())
        assert sheets == ["00000.000.png", "00000.004.png", "00000.008.png", "00000.012.png"]
    sheet = read_image(trained / "rerender" / "samples" / "00000.000.png")
    view = PackedDataset(scene[0]).view("0002")  # the first validation photo, 64 wide
    np.testing.assert_array_equal(sheet[:48, :64], view.color[0])
    np.testing.assert_array_equal(sheet[:48, 128:192], view.pixels)
    assert sheet.shape == (2 * 64 + 2 * 48, 3 * 64, 3)  # two validation photos, two training photos
