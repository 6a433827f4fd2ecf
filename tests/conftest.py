"""Running Snakemake as a user does, in a folder of the test's own."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from tiny_run import ALL, command, content, make_folder

from nrw.core.io import read_json, write_json


def pytest_addoption(parser):
    parser.addoption("--force", action="store_true", help="all cases of tests/force, not only a few: an hour or two")


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
def contents(tmp_path_factory):
    """Where the first process of the tests that has made the run leaves the `content` of its results for the others."""
    among_others = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    return (base.parent if among_others else base) / "contents.json"


@pytest.fixture(scope="session")
def printed(folder, snakemake, contents):
    """What the first run on this machine, from photos to the report, printed."""
    run = snakemake(folder, *ALL)
    assert run.returncode == 0, run.stdout
    write_json(contents, {str(path): hash for path, hash in content(folder / "results" / "place").items()})
    return run.stdout


@pytest.fixture(scope="session")
def finished(folder, printed):
    """The results of that run."""
    return folder / "results" / "place"


@pytest.fixture(scope="session")
def expected(request, contents):
    """The `content` of the results of such a run, by path."""
    if not contents.exists():
        request.getfixturevalue("printed")
    return read_json(contents)


@pytest.fixture
def no_root() -> Callable[[], AbstractContextManager[None]]:
    """Within `with no_root():` the permissions of files hold for root too, which gives up its power over them."""

    @contextmanager
    def without_overriding() -> Iterator[None]:
        if os.geteuid():
            yield
            return
        libc = ctypes.CDLL(None, use_errno=True)
        header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # version 3, this thread
        assert libc.capget(header, sets) == 0
        effective = sets[0]
        sets[0] = effective & ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
        assert libc.capset(header, sets) == 0
        try:
            yield
        finally:
            sets[0] = effective
            assert libc.capset(header, sets) == 0

    return without_overriding
