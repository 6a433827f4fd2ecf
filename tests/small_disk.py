"""A small disk in memory, to be full."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = 4096


@contextmanager
def small_disk(path: Path, size: int = PAGE) -> Iterator[None]:
    """A disk of its own at the new folder `path`, of `size` bytes; skips the test where nobody may mount one."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def resize(path: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={max(size, PAGE)}", path], check=True)
