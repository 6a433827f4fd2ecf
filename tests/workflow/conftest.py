"""Running Snakemake as a user does, in a folder of the test's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> list[str]:
    return [
        str(Path(sys.executable).parent / "snakemake"),
        *("--configfile", str(ROOT / "config" / "config.yaml"), "--snakefile", str(ROOT / "Snakefile")),
        *arguments,
    ]


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
