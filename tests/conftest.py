"""Running Snakemake as a user does, in a folder of the test's own."""

import os
import subprocess
from pathlib import Path

import pytest
from tiny_run import ALL, command, make_folder


@pytest.fixture(scope="session")
def snakemake():
    """snakemake(folder, *arguments): runs the workflow with `folder` as its working directory."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "NO_COLOR": "1"}
        return subprocess.run(
            command(*arguments),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )

    return run


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A working directory with the photos of the tiny run."""
    folder = tmp_path_factory.mktemp("run")
    make_folder(folder)
    return folder


@pytest.fixture(scope="session")
def printed(folder, snakemake):
    """What the first run on this machine, from photos to the report, printed."""
    run = snakemake(folder, *ALL)
    assert run.returncode == 0, run.stdout
    return run.stdout


@pytest.fixture(scope="session")
def finished(folder, printed):
    """The results of that run."""
    return folder / "results" / "place"
