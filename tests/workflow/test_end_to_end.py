"""The whole chain on a few of the demo photos, as a user runs it."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from markupsafe import escape
from photo_folder import noise
from tiny_run import ALL, PHOTOS, TINY, command

from nrw.core.ade20k import label_of
from nrw.core.io import read_image

pytestmark = pytest.mark.workflow


def planned(folder, snakemake, *arguments):
    """Rule -> number of jobs that a rerun would execute."""
    run = snakemake(folder, "-n", *(arguments or ALL))
    assert run.returncode == 0, run.stdout
    if "Nothing to be done" in run.stdout:
        return {}
    table = run.stdout.split("Job stats:")[1].split("\ntotal")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M) if rule != "all"}


def test_photos_become_videos(finished):
    for kind, frames in {"flythrough": 16, "appearance": 8, "joint": 8}.items():
        video = finished / "videos" / f"{kind}.mp4"
        count, _ = imageio_ffmpeg.count_frames_and_secs(str(video))
        assert count == frames, kind
        assert (finished / "videos" / f"{kind}.png").stat().st_size > 1000


def test_every_file_found_has_a_verdict(finished):
    with open(finished / "photos" / "photos.csv", newline="", encoding="utf-8") as stream:
        verdicts = {row["file"]: row["verdict"] for row in csv.DictReader(stream)}
    assert len(verdicts) == PHOTOS + 2
    assert sum(verdict == "ok" for verdict in verdicts.values()) == PHOTOS
    assert any(verdict.startswith("duplicate of") for verdict in verdicts.values())
    assert verdicts["broken.jpg"].split(":")[0] in ("truncated", "unreadable")


def test_most_photos_are_registered(finished):
    summary = json.loads((finished / "sfm" / "summary.json").read_text())
    assert summary["registered"] >= 0.8 * PHOTOS


def test_the_labels_tell_the_sky_and_keep_points_out_of_it(finished):
    classes = {
        row["name"]: row["share"]
        for row in json.loads((finished / "segmentation" / "classes.json").read_text())["classes"]
    }
    assert classes["sky"] > 0.1
    labels = [read_image(path) for path in sorted(finished.glob("aligned/*_seg.png"))]
    hits = [read_image(path)[..., 3] > 0 for path in sorted(finished.glob("aligned/*_color.png"))]
    sky = [label == label_of("sky") for label in labels]
    in_sky = np.median([hit[mask].mean() for hit, mask in zip(hits, sky, strict=True) if mask.any()])
    elsewhere = np.median([hit[~mask].mean() for hit, mask in zip(hits, sky, strict=True)])
    assert in_sky < 0.1 < 0.4 < elsewhere


def test_metrics_stand_beside_the_baselines(finished):
    with open(finished / "evaluation" / "metrics.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["protocol"] for row in rows} >= {"full", "half"}
    assert len({row["method"] for row in rows}) >= 3
    assert list((finished / "evaluation" / "sheets").glob("*.png"))


def test_every_rule_has_recorded_its_time_and_memory(finished):
    records = list((finished / "benchmarks").rglob("*.tsv"))
    assert len(records) >= 25
    for record in records:
        with open(record, newline="") as stream:
            assert float(next(csv.DictReader(stream, delimiter="\t"))["s"]) > 0


def test_the_run_says_what_it_does_and_where_its_results_are(finished, printed):
    assert "preset draft, on cpu, 2 cores" in printed and "place: 14 files in photos; no estimate" in printed
    videos = {name: finished / "videos" / f"{name}.mp4" for name in ("flythrough", "appearance", "joint")}
    assert all(f"Video:  {video}" in printed for video in videos.values())
    assert f"Report: {finished / 'report.html'}" in printed
    assert not [line for line in printed.splitlines() if "warn" in line.lower()]


def test_the_report_shows_what_came_of_every_file(finished):
    page = (finished / "report.html").read_bytes().decode()  # as it is: a name may hold a carriage return
    with open(finished / "photos" / "photos.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert all(escape(Path(row["file"]).name) in page for row in rows)
    assert all(f'src="videos/{name}.mp4"' in page for name in ("flythrough", "appearance", "joint"))
    assert page.count('data-plot="') >= 6


def test_nothing_half_written_is_left(finished):
    assert not [path for path in finished.rglob("*") if ".part" in path.name]


def test_a_second_run_has_nothing_to_do(finished, folder, snakemake):
    assert planned(folder, snakemake) == {}


def test_settings_that_change_no_weight_retrain_nothing(finished, folder, snakemake):
    changed = [
        setting.replace("threads: 1", "threads: 2").replace("tick_kimg: 0.02", "tick_kimg: 0.03") for setting in ALL
    ]
    assert changed != ALL
    assert planned(folder, snakemake, "-n", *changed) == {"write_report": 1}  # which shows the configuration


AFTER_THE_MODEL = {"evaluate": 1, "film": 3, "write_report": 1}
AFTER_THE_DATASET = {
    "train_appearance": 1,
    "measure_residuals": 2,
    "pack_detail": 1,
    "train_rerender": 1,
    "train_finetune": 1,
    "train_completion": 1,
    **AFTER_THE_MODEL,
}


@pytest.mark.parametrize(
    ("output", "jobs"),
    [
        ("report.html", {"write_report": 1}),
        ("videos/joint.mp4", {"film": 1, "write_report": 1}),
        ("videos/joint.png", {"film": 1, "write_report": 1}),
        ("evaluation/metrics.csv", {"evaluate": 1, "write_report": 1}),
        ("finetune/model.safetensors", {"train_finetune": 1, **AFTER_THE_MODEL}),
        ("completion/model.safetensors", {"train_completion": 1, **AFTER_THE_MODEL}),
        ("dataset", {"pack_dataset": 1, **AFTER_THE_DATASET}),
        (
            "framebuffers/composed/1-of-2.json",
            {"compose_aligned": 1, "index_aligned": 1, "pack_dataset": 1, **AFTER_THE_DATASET},
        ),
    ],
)  # fmt: skip
def test_a_deleted_output_is_rebuilt_with_what_depends_on_it_only(finished, folder, snakemake, output, jobs):
    kept = folder / "kept"
    os.rename(finished / output, kept)
    try:
        assert planned(folder, snakemake) == jobs
    finally:
        os.rename(kept, finished / output)


def test_a_deleted_video_comes_back_and_nothing_but_the_report_is_touched(finished, folder, snakemake):
    def times():
        skipped = {"logs", "benchmarks", "report.html"}
        files = [path for path in finished.rglob("*") if path.is_file() and not skipped & set(path.parts)]
        return {path: path.stat().st_mtime_ns for path in files if not path.name.startswith("appearance.")}

    before = times()
    (finished / "videos" / "appearance.mp4").unlink()
    run = snakemake(folder, *ALL)
    assert run.returncode == 0, run.stdout
    assert (finished / "videos" / "appearance.mp4").is_file()
    assert times() == before


def test_an_interrupted_training_goes_on_where_it_was(finished, folder, snakemake):
    model = finished / "finetune" / "model.safetensors"
    expected = model.read_bytes()
    model.unlink()
    checkpoints = finished / "checkpoints" / "finetune"
    shutil.rmtree(checkpoints, ignore_errors=True)
    run = subprocess.Popen(
        command("--cores", "2", "training", *TINY),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # whoever started us may ignore it
    )
    deadline = time.monotonic() + 120
    while not (checkpoints.is_dir() and any(checkpoints.iterdir())):
        assert run.poll() is None and time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)  # Ctrl-C reaches every process of the terminal
    run.wait(timeout=60)
    assert not model.exists()
    again = snakemake(folder, "--cores", "2", "training", *TINY)
    assert again.returncode == 0, again.stdout
    assert "resum" in (finished / "logs" / "train_finetune.log").read_text().lower()
    assert model.read_bytes() == expected
    assert snakemake(folder, *ALL).returncode == 0


def test_an_aligned_data_set_goes_through_from_the_dataset_stage_on(finished, folder, snakemake):
    nrw = Path(sys.executable).parent / "nrw"
    subprocess.run([nrw, "export-aligned", finished, folder / "exported"], check=True, stdout=subprocess.DEVNULL)
    settings = [setting for setting in TINY if not setting.startswith(("--config", "scenes"))]
    buffer = "buffer={levels: 2, lighting: 0, point_channels: 0, view_direction: false, detail: false}"
    source = f"scenes={{old: {{aligned: {folder / 'exported'}}}}}"
    run = snakemake(folder, "--cores", "2", "all", "--config", source, buffer, *settings)
    assert run.returncode == 0, run.stdout
    assert (folder / "results" / "old" / "videos" / "appearance.mp4").is_file()
    assert (folder / "results" / "old" / "evaluation" / "metrics.json").is_file()
    assert "came aligned" in (folder / "results" / "old" / "report.html").read_text(encoding="utf-8")


def test_snakemakes_own_report(finished, folder, snakemake):
    run = snakemake(folder, "all", "--report", "report.html", *TINY)
    assert run.returncode == 0, run.stdout
    assert (folder / "report.html").stat().st_size > 100_000
    text = (folder / "report.html").read_text(encoding="utf-8")
    captions = ["kept out of the training", "found in the photo folder", "Past the cameras", "what went well"]
    assert all(caption in text for caption in captions)


@pytest.mark.parametrize(
    ("make", "rule", "message"),
    [
        (lambda photos: photos.mkdir(), "import_photos", "is empty"),
        (lambda photos: (photos.mkdir(), (photos / "a.jpg").write_bytes(b"x")), "check_photos", "a.jpg"),
    ],
)  # fmt: skip
def test_a_folder_without_photos_stops_with_what_was_found(tmp_path, snakemake, make, rule, message):
    photos = tmp_path / "pictures"
    make(photos)
    run = snakemake(tmp_path, "--cores", "1", "photos", "--config", f"photos={photos}")
    assert run.returncode != 0
    assert "Error:" in run.stdout and str(photos) in run.stdout and message in run.stdout.lower()
    last_words = run.stdout.split(f"Failed: stage photos, rule {rule}")[1]
    assert message in last_words.lower() and f"Log: {tmp_path}" in last_words and "continues from here" in last_words
    assert 'Traceback (most recent call last):\n  File "' not in run.stdout.split("Error:")[0]


def test_the_import_runs_again_when_photos_change_and_their_table_stays_where_they_are_too_few(tmp_path, snakemake):
    photos, elsewhere = tmp_path / "pictures", tmp_path / "elsewhere"
    for folder in (photos, elsewhere):
        folder.mkdir()
    for seed in range(3):
        noise(seed, 800, 600).save(photos / f"{seed}.jpg")
    noise(3, 800, 600).save(elsewhere / "3.jpg")
    (photos / "linked").symlink_to(elsewhere)

    def target(*arguments, spelt=photos):
        return [*arguments, "photos", "--config", f"photos={spelt}"]

    run = snakemake(tmp_path, *target("--cores", "1"))
    assert run.returncode == 0, run.stdout
    (photos / ".DS_Store").write_text("what a file manager leaves")
    for spelt in (photos, f"{photos}/", "pictures", "./pictures/"):
        assert planned(tmp_path, snakemake, *target(spelt=spelt)) == {}, spelt
    noise(4, 800, 600).save(elsewhere / "4.jpg")
    assert planned(tmp_path, snakemake, *target()) == {"import_photos": 1, "check_photos": 1, "photos": 1}

    (photos / "linked").unlink()
    (photos / "2.jpg").unlink()
    run = snakemake(tmp_path, *target("--cores", "1"))
    table = Path("results", "pictures", "photos", "photos.csv")
    assert (
        run.returncode != 0 and "has fewer than 3 usable photos: 2 ok.\n" in run.stdout and f"{table}\n" in run.stdout
    )
    with open(tmp_path / table, newline="", encoding="utf-8") as stream:
        assert [row["file"] for row in csv.DictReader(stream)] == ["0.jpg", "1.jpg"]
    assert not (tmp_path / "results" / "pictures" / "photos" / "usable.json").exists()
