"""What Snakemake makes of the workflow, without running it."""

import re
from pathlib import Path

import pytest
import yaml

from nrw.jobs import requests

ROOT = Path(__file__).resolve().parents[2]
RULE = re.compile(r"^(?:rule|use rule \w+ as) (\w+)", re.M)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "my photos"
    folder.mkdir()
    return folder


def config(photos, *more):
    return ["--config", f"photos={photos}", *more]


def jobs(output):
    """The job table of a dry run: rule -> count."""
    table = output.split("Job stats:")[1].split("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def test_all_makes_every_stage(snakemake, tmp_path, photos):
    run = snakemake(tmp_path, "-n", "all", *config(photos))
    assert run.returncode == 0, run.stdout
    planned = jobs(run.stdout)
    assert {
        "import_photos",
        "reconstruct",
        "segment_photos",
        "fuse_depths",
        "train_finetune",
        "train_completion",
        "evaluate",
        "write_report",
    } <= set(planned)
    assert planned["film"] == 3 and planned["photometric_depths"] == 2


def test_without_segmentation_nothing_is_segmented_or_completed(snakemake, tmp_path, photos):
    run = snakemake(tmp_path, "-n", "all", *config(photos, "segmentation={model: none}"))
    assert run.returncode == 0, run.stdout
    assert not {"segment_photos", "gather_classes", "train_completion"} & set(jobs(run.stdout))


def test_the_sky_is_masked_only_without_segmentation(snakemake, tmp_path, photos):
    with_labels = snakemake(tmp_path, "-n", "mvs", *config(photos))
    without = snakemake(tmp_path, "-n", "mvs", *config(photos, "segmentation={model: none}"))
    assert without.returncode == 0, without.stdout
    assert "mask_sky" not in jobs(with_labels.stdout)
    assert jobs(without.stdout)["mask_sky"] == 2 and jobs(without.stdout)["fuse_depths"] == 1


def test_an_aligned_data_set_starts_at_the_dataset_stage(snakemake, tmp_path):
    (tmp_path / "somewhere").mkdir()
    run = snakemake(tmp_path, "-n", "all", "--config", "scenes={old: {aligned: somewhere}}")
    assert run.returncode == 0, run.stdout
    planned = jobs(run.stdout)
    assert "import_aligned" in planned and planned["film"] == 1
    assert not {"import_photos", "rasterize_photos", "train_completion"} & set(planned)


@pytest.mark.parametrize(
    "stage",
    ["photos", "sfm", "segmentation", "mvs", "framebuffers", "dataset", "training", "evaluation", "videos", "report"],
)
def test_every_stage_is_a_target(snakemake, tmp_path, photos, stage):
    run = snakemake(tmp_path, "-n", stage, *config(photos))
    assert run.returncode == 0, run.stdout
    assert jobs(run.stdout)["import_photos"] == 1


def test_more_chunks_by_set_scatter(snakemake, tmp_path, photos):
    run = snakemake(tmp_path, "-n", "mvs", "--set-scatter", "chunk=5", *config(photos))
    assert jobs(run.stdout)["photometric_depths"] == 5


def test_more_photos_make_more_pieces(snakemake, tmp_path, photos):
    for number in range(1000):
        (photos / f"{number}.jpg").touch()
    planned = jobs(snakemake(tmp_path, "-n", "framebuffers", *config(photos)).stdout)
    assert planned["photometric_depths"] == planned["geometric_depths"] == planned["segment_photos"] > 10
    assert 2 <= planned["rasterize_photos"] < 10
    assert planned["match_pairs"] > 10 and planned["merge_matches"] == 1


def test_an_unknown_key_stops_with_the_nearest_known_one(snakemake, tmp_path, photos):
    run = snakemake(tmp_path, "-n", "all", *config(photos, "segmentatoin={model: none}"))
    assert run.returncode != 0
    assert "did you mean 'segmentation'" in run.stdout


def test_a_missing_folder_is_said_at_once(snakemake, tmp_path):
    run = snakemake(tmp_path, "-n", "all", *config("/no/such/folder"))
    assert run.returncode != 0 and "Job stats" not in run.stdout
    assert "'/no/such/folder' does not exist" in run.stdout


def test_a_mistake_in_the_configuration_is_said_without_pythons_lines(snakemake, tmp_path, photos):
    for mistake in ("sfm={max_features: many}", "preset=drafty", "videos={edit: {gras: sidewalk}}"):
        run = snakemake(tmp_path, "-n", "all", *config(photos, mistake))
        assert run.returncode != 0
        assert "Error: " in run.stdout
        assert not re.search(r"Traceback|File \"|, line \d|UserError", run.stdout), run.stdout


def test_rules_that_compute_on_the_device_ask_for_a_gpu_and_local_runs_have_one():
    text = "\n\n\n".join(path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
    rules = {match[1]: block for block in text.split("\n\n\n") if (match := RULE.search(block))}
    on_device = {name for name, rule in rules.items() if 'config["device"]' in rule or "stage_settings(" in rule}
    assert on_device >= {"photometric_depths", "train_rerender", "train_finetune", "film"}
    assert all("gpu=GPU" in rules[name] for name in on_device)
    assert yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text())["resources"] == ["gpu=1"]


def test_a_step_has_one_name():
    """Rule, log, record and cost; the script too, where it serves one rule."""
    shared = {"train_stage", "match_with_neighbours"}
    scripts = {path.stem for path in (ROOT / "workflow" / "scripts").glob("*.py")}
    assert scripts - shared <= set(requests.COSTS)
    for file in (ROOT / "workflow" / "rules").glob("*.smk"):
        for block in file.read_text().split("\n\n\n"):
            name = (match := RULE.search(block)) and match[1]
            for other in re.findall(r'(?:FILES\.log|FILES\.record|asks)\("(\w+)"', block):
                assert other == name
            for script in re.findall(r'"\.\./scripts/(\w+)\.py"', block):
                assert script in shared or script == name


def test_every_rule_says_in_a_message_what_it_does():
    files = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
    blocks = "\n\n\n".join(path.read_text() for path in files).split("\n\n\n")
    rules = [block for block in blocks if re.search(r"^(use )?rule ", block, re.M)]
    assert len(rules) > 30 and not [rule for rule in rules if "    message:\n" not in rule]


def test_a_dry_run_estimates_nothing(snakemake, tmp_path, photos):
    run = snakemake(tmp_path, "-n", "all", *config(photos))
    assert "nrw: preset" not in run.stdout


def test_rulegraph(snakemake, tmp_path, photos):
    run = snakemake(tmp_path, "all", "--rulegraph", *config(photos))
    assert run.returncode == 0 and "digraph" in run.stdout


def test_lint_has_no_advice_but_an_environment_per_rule(snakemake, tmp_path, photos):
    run = snakemake(tmp_path, "--lint", *config(photos))
    advice = set(re.findall(r"^ +\* (.*)$", run.stdout, re.M))
    # one environment serves the whole workflow (environment.yml), so this advice does not apply
    assert advice == {"Specify a conda environment or container for each rule.:"}
