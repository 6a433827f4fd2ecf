"""What Snakemake makes of the workflow, without running it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def snakemake(*arguments, folder=ROOT):
    command = [
        str(Path(sys.executable).parent / "snakemake"),
        *("--snakefile", str(ROOT / "Snakefile"), "--configfile", str(ROOT / "config" / "config.yaml")),
        *arguments,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "my photos"
    folder.mkdir()
    return folder


def config(photos, *more):
    return ["--directory", str(photos.parent), "--config", f"photos={photos}", *more]


def jobs(output):
    """The job table of a dry run: rule -> count."""
    table = output.split("Job stats:")[1].split("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def test_all_makes_every_stage(photos):
    run = snakemake("-n", "all", *config(photos))
    assert run.returncode == 0, run.stdout + run.stderr
    planned = jobs(run.stdout + run.stderr)
    assert {
        "import_photos",
        "reconstruct",
        "segment_chunk",
        "fuse_depths",
        "train_finetune",
        "train_completion",
        "evaluate",
    } <= set(planned)
    assert planned["film"] == 3 and planned["estimate_depths"] == 2


def test_without_segmentation_nothing_is_segmented_or_completed(photos):
    run = snakemake("-n", "all", *config(photos, "segmentation={model: none}"))
    assert run.returncode == 0, run.stdout + run.stderr
    assert not {"segment_chunk", "gather_classes", "train_completion"} & set(jobs(run.stdout + run.stderr))


def test_an_aligned_data_set_starts_at_the_dataset_stage(tmp_path):
    run = snakemake("-n", "all", "--directory", str(tmp_path), "--config", "scenes={old: {aligned: somewhere}}")
    assert run.returncode == 0, run.stdout + run.stderr
    planned = jobs(run.stdout + run.stderr)
    assert "import_aligned" in planned and planned["film"] == 1
    assert not {"import_photos", "rasterize_photos", "train_completion"} & set(planned)


@pytest.mark.parametrize(
    "stage", ["photos", "sfm", "segmentation", "mvs", "framebuffers", "dataset", "training", "evaluation", "videos"]
)
def test_every_stage_is_a_target(photos, stage):
    run = snakemake("-n", stage, *config(photos))
    assert run.returncode == 0, run.stdout + run.stderr
    assert jobs(run.stdout + run.stderr)["import_photos"] == 1


def test_more_chunks_by_set_scatter(photos):
    run = snakemake("-n", "mvs", "--set-scatter", "chunk=5", *config(photos))
    assert jobs(run.stdout + run.stderr)["estimate_depths"] == 5


def test_an_unknown_key_stops_with_the_nearest_known_one(photos):
    run = snakemake("-n", "all", *config(photos, "segmentatoin={model: none}"))
    assert run.returncode != 0
    assert "did you mean 'segmentation'" in run.stdout + run.stderr


def test_rules_that_compute_on_the_device_ask_for_a_gpu_and_local_runs_have_one():
    text = "\n".join(path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
    rules = {rule.split(":")[0]: rule for rule in re.split(r"^rule ", text, flags=re.M)[1:]}
    on_device = {name for name, rule in rules.items() if 'config["device"]' in rule or "config=NETWORKS" in rule}
    assert on_device >= {"estimate_depths", "train_rerender", "film"}
    assert all("gpu=GPU" in rules[name] for name in on_device)
    assert yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text())["resources"] == ["gpu=1"]


def test_rulegraph(photos):
    run = snakemake("--rulegraph", "all", *config(photos))
    assert run.returncode == 0 and run.stdout.startswith("digraph")


def test_lint_has_no_advice_but_an_environment_per_rule(photos):
    run = snakemake("--lint", *config(photos))
    advice = set(re.findall(r"^ +\* (.*)$", run.stdout + run.stderr, re.M))
    # one environment serves the whole workflow (environment.yml), so this advice does not apply
    assert advice == {"Specify a conda environment or container for each rule.:"}
