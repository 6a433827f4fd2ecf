"""Where a clone may lie, and how its jobs end: a job of the workflow, run by Snakemake as a user does."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path):
    """A clone in a folder with an awkward name, its environment inside, as `make setup` leaves it."""
    folder = tmp_path / "my clone (1) & more"
    for part in ("nrw", "workflow", "config", "profiles"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / ".venv").symlink_to(sys.prefix)
    photos = folder / "photos"
    photos.mkdir()
    for source in sorted((ROOT / "resources" / "demo" / "photos").rglob("*.jpg"))[:3]:
        shutil.copy(source, photos)
    return folder


def start(clone, *arguments):
    """Snakemake of the clone, in a group of its own, with Python's own handling of Ctrl-C."""
    return subprocess.Popen(
        [clone / ".venv" / "bin" / Path(sys.executable).name, "-m", "snakemake", "--cores", "1", *arguments],
        cwd=clone,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(clone)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_a_clone_in_a_folder_with_a_space_in_its_name_works(clone):
    run = start(clone, "photos", "--config", "photos=photos")
    printed, _ = run.communicate(timeout=120)
    assert run.returncode == 0, printed
    assert (clone / "results" / "photos" / "photos" / "photos.csv").is_file()


@pytest.mark.parametrize(
    ("number", "whole_group", "words"),
    [
        (signal.SIGINT, True, "Stopped by Ctrl-C. The same command continues from here."),
        (signal.SIGKILL, False, "The process was killed (SIGKILL)"),
        (signal.SIGTERM, False, "The process was told to end (SIGTERM)"),
    ],
)
def test_a_run_says_how_it_was_ended(clone, number, whole_group, words):
    script = clone / "workflow" / "scripts" / "import_photos.py"
    script.write_text("import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    run = start(clone, "photos", "--config", "photos=photos", "--forcerun", "import_photos")
    deadline = time.monotonic() + 60
    while not (clone / "pid").is_file() or not (clone / "pid").read_text():
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.05)
    (os.killpg if whole_group else os.kill)(run.pid if whole_group else int((clone / "pid").read_text()), number)
    printed, _ = run.communicate(timeout=60)
    assert run.returncode != 0
    assert words in printed, printed
    assert "Memory ran out" not in printed
