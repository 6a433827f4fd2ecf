"""A little memory for a process and what it starts, in a control group of its own: what needs more is killed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CONTROLLERS = Path("/sys/fs/cgroup")


@contextmanager
def small_memory(size: int) -> Iterator[Callable[[], None]]:
    """What a process calls to have, with all that it starts, `size` bytes; skips the test where nobody may say so."""
    first_version = (CONTROLLERS / "memory").is_dir()
    group = (CONTROLLERS / "memory" if first_version else CONTROLLERS) / f"nrw-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if first_version else "memory.max")).write_text(str(size))
    except OSError as error:
        pytest.skip(f"no control group for memory can be made here: {error}")
    try:
        yield lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        group.rmdir()
