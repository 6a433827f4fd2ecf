"""Training in two processes on the CPU, against one process with the same batches."""

import json
import signal
import subprocess
import sys
import time

import pytest
from training_scene import make_config, make_scene, rows_of, weights

from nrw.core.errors import UserError
from nrw.training import parallel

STAGE = {"kimg": 0.012, "quarter_resolution_share": 0.0, "half_resolution_share": 0.0}
SETTINGS = dict(
    batch_size=4,
    accumulate=2,  # as two processes cut a batch
    crop_size=64,
    losses={"adversarial": 0.1},
    appearance={"batch_size": 4},
    rerender=STAGE,
    finetune=STAGE,
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"), 8, (96, 80))[0]


def arguments(stage, dataset, out, init=None):
    folders = {"dataset_dir": dataset, "out_dir": out / stage, "checkpoint_dir": out / "checkpoints" / stage}
    if stage in ("rerender", "finetune"):
        folders |= {
            "detail": None,
            "init_dir": (init or out) / {"rerender": "appearance", "finetune": "rerender"}[stage],
            "stage": stage,
        }
    return folders


@pytest.fixture(scope="module")
def alone(scene, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone")
    for stage in ("appearance", "rerender", "finetune", "completion"):
        parallel.run(stage, 1, make_config(**SETTINGS), **arguments(stage, scene, out))
    return out


def apart(one, other):
    """The distance of all weights."""
    assert one.keys() == other.keys()
    return float(sum((one[name] - other[name]).square().sum() for name in one) ** 0.5)


@pytest.mark.parametrize("stage", ["appearance", "finetune", "completion"])
def test_two_processes_learn_what_one_does(scene, alone, tmp_path, stage, capfd):
    """Up to rounding, in bfloat16 where the processor has it: what half the batch teaches is 10 times as far away."""
    parallel.run(stage, 2, make_config(**SETTINGS), **arguments(stage, scene, tmp_path, init=alone))
    assert capfd.readouterr().err.count(f"{stage}: on 2 processes") == 1
    half = make_config(**{**SETTINGS, "batch_size": 2, "accumulate": 1, "appearance": {"batch_size": 2}})
    parallel.run(stage, 1, half, **arguments(stage, scene, tmp_path / "half", init=alone))
    one, two, other = (weights(folder, stage) for folder in (alone, tmp_path, tmp_path / "half"))
    assert 10 * apart(two, one) < apart(other, one)
    rows = [rows_of(out / stage) for out in (alone, tmp_path)]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]] != []
    for row, other in zip(*rows, strict=True):
        for name in row.keys() - {"seconds", "images_per_s"}:
            assert other[name] == pytest.approx(row[name], rel=1e-2, abs=1e-5), name
    assert not (tmp_path / "checkpoints" / stage / "checkpoint.safetensors").exists()


def test_a_batch_that_cannot_be_shared_is_an_error(scene, tmp_path, capfd):
    config = make_config(batch_size=3)
    with pytest.raises(UserError, match="completion failed in one of its 2 processes"):
        parallel.run("completion", 2, config, **arguments("completion", scene, tmp_path))
    assert "2 processes (GPUs) cannot share a batch of 3 evenly" in capfd.readouterr().err


def test_both_processes_stop_and_go_on(scene, tmp_path):
    """A signal stops both after the same step, and leaves their checkpoint."""
    config = make_config(**{**SETTINGS, "tick_kimg": 100, "completion": {"kimg": 4}})
    code = (
        "import sys, json; from nrw.training import parallel; config, arguments = json.loads(sys.argv[1]);"
        "parallel.run('completion', 2, config, **arguments)"
    )
    folders = arguments("completion", scene, tmp_path)
    run = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps([config, folders], default=str)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "completion" / "samples").exists():
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=60) == 128 + signal.SIGTERM, run.stderr.read()
    assert (tmp_path / "checkpoints" / "completion" / "checkpoint.safetensors").exists()
