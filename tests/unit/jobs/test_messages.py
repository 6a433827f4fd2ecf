import re
import subprocess
import sys

from nrw.config.resolve import resolve
from nrw.jobs import messages

SNAKEMAKE_LOG = """\
Job 4: place: cameras and sparse points
{noise}[Wed Nov 25 19:04:15 2026]
Error in rule reconstruct:
    message: None
    jobid: 4
    output: results/place/sfm/sparse
    log: {log} (check log file(s) for error details)
Shutting down, this might take some time.
"""


def failed(tmp_path, body):
    """What the end says after a stage with this body."""
    log = tmp_path / "reconstruct.log"
    code = f"from nrw.jobs.stage_log import stage_log\nwith stage_log({str(log)!r}):\n    {body}\n"
    subprocess.run([sys.executable, "-c", code], capture_output=True)
    snakemake = tmp_path / "snakemake.log"
    snakemake.write_text(SNAKEMAKE_LOG.format(log=log, noise="RuleException:\n"))
    return messages.failure([snakemake], {"reconstruct": "sfm"}), log


def test_a_users_error_ends_with_stage_cause_log_and_what_to_do(tmp_path):
    body = "from nrw.core.errors import UserError; raise UserError('2 of 10 photos\\nWhat to try:\\n  - more photos')"
    text, log = failed(tmp_path, body)
    assert text.splitlines() == [
        "Failed: stage sfm, rule reconstruct",
        "2 of 10 photos",
        "What to try:",
        "  - more photos",
        f"Log: {log}",
        "When that is done, run the same command again: it continues from here.",
    ]


def test_a_defect_ends_with_its_exception_and_where_to_look(tmp_path):
    text, log = failed(tmp_path, "1 / 0")
    assert "ZeroDivisionError('division by zero')" in text and str(log) in text and "README" in text
    assert "Traceback" not in text


def test_a_stage_that_was_killed_is_told_from_one_that_failed(tmp_path):
    text, _ = failed(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert "memory ran out" in text


def test_each_of_several_failures_is_named(tmp_path):
    snakemake = tmp_path / "snakemake.log"
    block = SNAKEMAKE_LOG.format(log=tmp_path / "a.log", noise="")
    snakemake.write_text("".join(block.replace("reconstruct", f"rule{number}") for number in range(5)))
    text = messages.failure([snakemake], {})
    assert text.count("Failed: stage") == 3 and "2 more rules failed" in text


def test_a_run_that_was_stopped_says_that_it_goes_on(tmp_path):
    assert "continues" in messages.failure([tmp_path / "absent.log"], {})


def test_the_start_names_scene_photos_preset_device_and_time(tmp_path):
    photos = tmp_path / "my place"
    photos.mkdir()
    for number in range(20):
        (photos / f"{number}.jpg").write_bytes(b"x")
    config = resolve({"photos": str(photos), "segmentation": {"model": "none"}})
    text = messages.start(config, cores=2)
    assert "preset draft, on cpu, 2 cores" in text
    assert re.search(rf"my_place: 20 files in {re.escape(str(photos))}; about 7 min to 14 min ", text), text


def test_without_measurements_the_start_says_so(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    text = messages.start(resolve({"photos": str(tmp_path), "preset": "standard"}), cores=16)
    assert "1 file in" in text and "no estimate" in text
    assert "no estimate" in messages.start(resolve({"scenes": {"old": {"aligned": "somewhere"}}}), cores=2)


def test_the_end_names_what_is_there(tmp_path):
    video, report = tmp_path / "videos" / "joint.mp4", tmp_path / "report.html"
    assert messages.end([video, report]) == ""
    video.parent.mkdir()
    video.touch()
    report.touch()
    assert messages.end([video, report]).splitlines() == [
        f"Video:  {video}",
        f"Report: {report}  (open it in a browser)",
    ]


def test_a_cluster_gets_no_estimate(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    text = messages.start(resolve({"photos": str(tmp_path)}), None)
    assert "jobs on a cluster" in text and "1 file in" in text and "about" not in text
