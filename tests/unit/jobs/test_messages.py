import re
import signal
import subprocess
import sys

from nrw.config.resolve import resolve
from nrw.jobs import messages

SNAKEMAKE_LOG = """\
Job 4: place: cameras and sparse points
RuleException:
CalledProcessError in file "/x/workflow/rules/sfm.smk", line 155:
Command 'set -euo pipefail;  /x/bin/python3 /x/.snakemake/scripts/tmpj1.reconstruct.py' {ended}.
[Wed Nov 25 19:04:15 2026]
Error in rule reconstruct:
    message: None
    jobid: 4
    output: results/place/sfm/sparse
    log: {log} (check log file(s) for error details)
Shutting down, this might take some time.
"""
FAILED = "returned non-zero exit status 1"


def said(tmp_path, log, ended=FAILED, before="", kills=None):
    snakemake = tmp_path / "snakemake.log"
    snakemake.write_text(before + SNAKEMAKE_LOG.format(log=log, ended=ended))
    return messages.failure([snakemake], {"reconstruct": "sfm"}, kills)


def failed(tmp_path, body):
    """What the end says after a stage with this body."""
    log = tmp_path / "reconstruct.log"
    code = f"from nrw.jobs.stage_log import stage_log\nwith stage_log({str(log)!r}):\n    {body}\n"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True).returncode
    words = f"died with <Signals.{signal.Signals(-ended).name}: {-ended}>" if ended < 0 else FAILED
    return said(tmp_path, log, words), log


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
    assert "killed (SIGKILL)" in text and "as it does when memory runs out" in text
    text, _ = failed(tmp_path, "import os; print('half a word', flush=True); os._exit(127)")
    assert "memory" not in text and "half a word" in text


def test_no_memory_in_pythons_words_is_said_with_what_to_do(tmp_path):
    text, _ = failed(tmp_path, "bytearray(1 << 62)")
    assert "Memory ran out: MemoryError" in text and "mvs.max_size" in text and "Traceback" not in text


def test_ctrl_c_says_ctrl_c(tmp_path):
    (tmp_path / "a.log").touch()
    stopped = "Terminating processes on user request, this might take some time.\n"
    interrupted = "died with <Signals.SIGINT: 2>"
    text = said(tmp_path, tmp_path / "a.log", interrupted, stopped)
    assert text == "Stopped by Ctrl-C. The same command continues from here."
    text = said(tmp_path, tmp_path / "a.log", FAILED, stopped)  # had failed on its own before
    assert "Failed: stage sfm" in text and "Ctrl-C" not in text


def test_a_clusters_own_words_are_shown(tmp_path):
    state = "SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'. For further error details see the log."
    snakemake = tmp_path / "snakemake.log"
    snakemake.write_text(SNAKEMAKE_LOG.format(log=tmp_path / "a.log", ended="").replace("None", state))
    text = messages.failure([snakemake], {}, None)
    assert "Memory ran out: SLURM-job '7'" in text and "mvs.max_size" in text
    snakemake.write_text(snakemake.read_text().replace("OUT_OF_MEMORY", "TIMEOUT"))
    text = messages.failure([snakemake], {}, None)
    assert "'TIMEOUT'" in text and "emory" not in text


def test_each_of_several_failures_is_named(tmp_path):
    snakemake = tmp_path / "snakemake.log"
    block = SNAKEMAKE_LOG.format(log=tmp_path / "a.log", ended=FAILED)
    snakemake.write_text("".join(block.replace("reconstruct", f"rule{number}") for number in range(5)))
    text = messages.failure([snakemake], {}, None)
    assert text.count("Failed: stage") == 3 and "2 more rules failed" in text


def test_after_a_kill_the_command_to_unlock_is_named(tmp_path):
    (tmp_path / "0.output.lock").write_text("results/my.place/photos/photos.csv\nresults/my.place/sfm/pairs.txt\n")
    arguments = ["/env/bin/snakemake", "--cores", "2", "--config", "photos=my place", "--", "all"]
    text = messages.locked(tmp_path, ["my.place", "other"], arguments)
    assert text.startswith("my.place: locked")
    assert text.splitlines()[-1] == "  /env/bin/snakemake --unlock --cores 2 --config 'photos=my place' -- all"
    module = messages.locked(tmp_path, ["my.place"], ["/lib/snakemake/__main__.py", "all"])
    assert module.splitlines()[-1] == f"  {sys.executable} -m snakemake --unlock all"


def test_locks_of_other_scenes_and_none_are_not_spoken_of(tmp_path):
    assert messages.locked(tmp_path / "absent", ["place"], ["snakemake"]) == ""
    (tmp_path / "0.input.lock").write_text("results/place2/photos/photos.csv\n")
    assert messages.locked(tmp_path, ["place"], ["snakemake"]) == ""


def test_a_run_that_was_stopped_says_that_it_goes_on(tmp_path):
    assert "continues" in messages.failure([tmp_path / "absent.log"], {}, None)


def test_the_start_names_scene_photos_preset_device_and_time(tmp_path):
    photos = tmp_path / "my place"
    photos.mkdir()
    for number in range(20):
        (photos / f"{number}.jpg").write_bytes(b"x")
    config = resolve({"photos": str(photos), "segmentation": {"model": "none"}})
    text = messages.start(config, cores=2)
    assert "preset draft, on cpu, 2 cores" in text
    assert re.search(rf"my_place: 20 files in {re.escape(str(photos))}; about 6 min to 12 min ", text), text


def test_without_measurements_the_start_says_so(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    text = messages.start(resolve({"photos": str(tmp_path), "preset": "standard"}), cores=16)
    assert "1 file in" in text and "no estimate" in text
    aligned = {"scenes": {"old": {"aligned": "somewhere"}}}
    assert "no estimate" in messages.start(resolve({**aligned, "preset": "paper"}), cores=2)


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
