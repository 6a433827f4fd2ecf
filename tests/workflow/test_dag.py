"""What Snakemake makes of the workflow, without running more than its first rule."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from fake_hub import NOBODY
from photo_folder import noise
from small_disk import small_disk

from nrw.config.sources import remember
from nrw.core.folder import SOURCE
from nrw.core.io import read_csv, read_json
from nrw.jobs import requests

ROOT = Path(__file__).resolve().parents[2]
RULE = re.compile(r"^(?:rule|use rule \w+ as) (\w+)", re.M)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "my photos"
    folder.mkdir()
    return folder


@pytest.fixture
def elsewhere(tmp_path):
    """elsewhere(*arguments): runs the workflow as a user who stands in another folder than its own."""
    program = [str(Path(sys.executable).parent / "snakemake"), "-s", str(ROOT / "Snakefile"), "--cores", "1"]

    def run(*arguments: str, **options) -> subprocess.CompletedProcess:
        streams = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return subprocess.run([*program, *arguments], cwd=tmp_path, **streams, **options)

    run.program = program
    return run


def fill(folder):
    """Put three photos into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(3):
        noise(seed, 480, 360).save(folder / f"{seed}.jpg")


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


def test_parts_are_joined_only_with_the_rescue(snakemake, tmp_path, photos):
    usual = snakemake(tmp_path, "-n", "sfm", *config(photos))
    rescued = snakemake(tmp_path, "-n", "sfm", *config(photos, "sfm={rescue: true}"))
    assert rescued.returncode == 0, rescued.stdout
    assert set(jobs(rescued.stdout)) - set(jobs(usual.stdout)) == {"find_parts", "join_parts"}


def test_an_aligned_data_set_starts_at_the_dataset_stage(snakemake, tmp_path):
    (tmp_path / "somewhere").mkdir()
    scene = "scenes={old: {aligned: somewhere}}"
    refused = snakemake(tmp_path, "-n", "all", "--config", scene)
    assert refused.returncode != 0 and "scenes.old is an aligned data set" in refused.stdout
    without_cloud = "buffer={lighting: 0, point_channels: 0, view_direction: false, detail: false}"
    run = snakemake(tmp_path, "-n", "all", "--config", scene, without_cloud)
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
    mistakes = (
        "sfm={max_features: many}",
        "preset=drafty",
        "videos={edit: {gras: sidewalk}}",
        "segmentation={transient: [cars]}",
        "segmentation={model: ./nowhere}",
        "perceptual={weights: vgg.pth}",
        "videos={extra: {evening: {path: path.json}}}",
    )
    for mistake in mistakes:
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
    slurm = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())["set-resources"]
    assert set(slurm) == on_device | {"patch_match"}


def test_jobs_with_a_gpu_take_one_for_themselves():
    scripts = {path.stem: path.read_text() for path in (ROOT / "workflow" / "scripts").glob("*.py")}
    on_device = {name for name, text in scripts.items() if "params.device" in text} | {"train_stage", "patch_match"}
    assert len(on_device) >= 10
    taking = 'take(snakemake.resources.gpu, snakemake.config["device"])'
    assert {name for name, text in scripts.items() if taking in text} == on_device


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


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="has a GPU")
def test_a_missing_gpu_is_said_before_the_first_rule_of_a_run_that_needs_it(snakemake, tmp_path, photos):
    mvs = snakemake(tmp_path, "--cores", "1", "mvs", *config(photos, "preset=standard"))
    assert mvs.returncode != 0 and "finds no CUDA device" in mvs.stdout and "Traceback" not in mvs.stdout
    assert "reading the photos" not in mvs.stdout
    assert snakemake(tmp_path, "-n", "mvs", *config(photos, "preset=standard")).returncode == 0
    assert (
        "finds no CUDA" not in snakemake(tmp_path, "--cores", "1", "photos", *config(photos, "preset=standard")).stdout
    )


def test_a_model_that_cannot_be_fetched_is_said_before_the_first_rule(snakemake, tmp_path, photos, monkeypatch):
    fill(photos)
    for name, value in {"HF_ENDPOINT": NOBODY, "HF_HUB_CACHE": tmp_path / "hub", "TORCH_HOME": tmp_path}.items():
        monkeypatch.setenv(name, str(value))
    chosen = config(photos, "segmentation={model: someone/some-model}")
    refused = snakemake(tmp_path, "--cores", "1", "all", *chosen)
    assert refused.returncode != 0 and "Traceback" not in refused.stdout, refused.stdout
    assert f"someone/some-model is not in the cache {tmp_path / 'hub'}, and {NOBODY}" in refused.stdout
    assert "reading the photos" not in refused.stdout
    assert snakemake(tmp_path, "-n", "all", *chosen).returncode == 0
    assert snakemake(tmp_path, "--cores", "1", "photos", *chosen).returncode == 0


def test_rulegraph(snakemake, tmp_path, photos):
    run = snakemake(tmp_path, "all", "--rulegraph", *config(photos))
    assert run.returncode == 0 and "digraph" in run.stdout


def test_lint_has_no_advice_but_an_environment_per_rule(snakemake, tmp_path, photos):
    run = snakemake(tmp_path, "--lint", *config(photos))
    advice = set(re.findall(r"^ +\* (.*)$", run.stdout, re.M))
    # one environment serves the whole workflow (environment.yml), so this advice does not apply
    assert advice == {"Specify a conda environment or container for each rule.:"}


@pytest.mark.parametrize("name", ["Trip #1", "2019", "2019_05", "007", "2019-05-01", "Rome: Trevi", "[a]", "'Trip'"])
def test_a_name_reaches_the_workflow_as_typed(elsewhere, tmp_path, name):
    for decoy in ("Trip", "Rome", "201905", "7", "a"):
        (tmp_path / decoy).mkdir()
    run = elsewhere("-n", "photos", "--config", f"photos={name}")
    assert run.returncode != 0 and f"the folder {name!r} does not exist" in run.stdout, run.stdout


def test_jobs_read_a_name_as_it_was_typed(elsewhere, tmp_path):
    name = 'it\'s $(touch x) #1: "2"'
    fill(tmp_path / name)
    (tmp_path / "it's $(touch x)").mkdir()
    run = elsewhere("photos", "--config", f"photos={name}")
    assert run.returncode == 0, run.stdout
    (results,) = (tmp_path / "results").iterdir()
    assert [row["verdict"] for row in read_csv(results / "photos" / "photos.csv")] == ["ok"] * 3
    assert read_json(results / SOURCE) == {"photos": str(tmp_path / name)}
    assert not (tmp_path / "x").exists()
    assert "Nothing to be done" in elsewhere("-n", "photos", "--config", f"photos={name}").stdout


def test_a_folder_of_the_same_name_replaces_nothing_and_the_advice_works_as_printed(elsewhere, tmp_path):
    for city in ("rome", "paris"):
        (tmp_path / city / "images").mkdir(parents=True)
    place = tmp_path / "results" / "images"
    remember(place / SOURCE, {"photos": str(tmp_path / "rome" / "images")})
    second = ("-n", "photos", "--config", "photos=paris/images")
    refused = elsewhere(*second)
    assert refused.returncode != 0 and "Job stats" not in refused.stdout, refused.stdout
    assert str(tmp_path / "rome" / "images") in refused.stdout and str(tmp_path / "paris" / "images") in refused.stdout
    option = next(line for line in refused.stdout.splitlines() if line.strip().startswith("--config"))
    renamed = elsewhere("-n", "photos", *shlex.split(option))
    assert renamed.returncode == 0 and "paris_images: reading" in renamed.stdout, renamed.stdout
    for command in [line for line in refused.stdout.splitlines() if line.strip().startswith("rm ")]:
        remember(place / SOURCE, {"photos": str(tmp_path / "rome" / "images")})
        assert elsewhere(*second).returncode != 0
        subprocess.run(command, shell=True, cwd=tmp_path, check=True)
        assert elsewhere(*second).returncode == 0


def test_after_a_kill_the_printed_command_unlocks(elsewhere, tmp_path):
    fill(tmp_path / "my place")
    command = ("photos", "--config", "photos=my place")
    run = subprocess.Popen([*elsewhere.program, *command], cwd=tmp_path, start_new_session=True)
    locks = tmp_path / ".snakemake" / "locks"
    while not list(locks.glob("*.output.lock")):
        assert run.poll() is None
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    kept = shutil.copytree(locks, tmp_path / "kept")
    refused = elsewhere(*command)
    assert refused.returncode != 0 and "my_place: locked by another run" in refused.stdout, refused.stdout
    unlock = next(line for line in refused.stdout.splitlines() if "snakemake --unlock" in line)
    assert subprocess.run(unlock, shell=True, cwd=tmp_path).returncode == 0
    assert not locks.exists()

    shutil.copytree(kept, locks)
    alone = elsewhere("--unlock")
    assert alone.returncode == 0 and not locks.exists(), alone.stdout
    assert elsewhere(*command).returncode == 0


def test_the_configuration_is_that_of_the_working_directory_else_the_one_beside_the_snakefile(
    elsewhere, tmp_path, photos
):
    run = elsewhere("-n", "photos", *config(photos))
    assert run.returncode == 0 and jobs(run.stdout)["import_photos"] == 1, run.stdout
    assert "No photos" in elsewhere("-n").stdout
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("scenes: {mine: {photos: ~/my photos}}\n")
    run = elsewhere("-n", "photos", env={**os.environ, "HOME": str(tmp_path)})
    assert run.returncode == 0 and "mine: reading" in run.stdout, run.stdout


def test_results_among_the_photos_stay_out(elsewhere, tmp_path):
    fill(tmp_path)
    assert elsewhere("photos", "--config", "photos=.").returncode == 0
    again = elsewhere("-n", "photos", "--config", "photos=.")
    assert "Nothing to be done" in again.stdout, again.stdout
    noise(3, 480, 360).save(tmp_path / "3.jpg")
    assert elsewhere("photos", "--config", "photos=.").returncode == 0
    (table,) = tmp_path.glob("results/*/photos/photos.csv")
    assert [row["file"] for row in read_csv(table)] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def test_a_date_in_the_configuration_is_said_without_pythons_lines(elsewhere, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("photos: 2019-05-01\n")
    run = elsewhere("-n")
    assert run.returncode != 0 and "a date (2019-05-01)" in run.stdout and "./2019-05-01" in run.stdout
    assert not re.search(r"Traceback|File \"", run.stdout), run.stdout


def test_a_full_disk_is_said_before_the_first_rule(elsewhere, tmp_path, photos):
    fill(photos)
    with small_disk(tmp_path / "results"):
        run = elsewhere("photos", *config(photos))
    assert run.returncode != 0 and "cannot be written: No space left on device" in run.stdout, run.stdout
    assert "reading the photos" not in run.stdout and "Traceback" not in run.stdout


def test_a_folder_with_braces_in_its_path_is_refused(elsewhere, tmp_path, photos):
    (tmp_path / "{2019}").mkdir()
    run = elsewhere("-n", "photos", "--directory", str(tmp_path / "{2019}"), *config(photos))
    assert run.returncode != 0 and "braces" in run.stdout and "Traceback" not in run.stdout, run.stdout
