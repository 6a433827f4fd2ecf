"""What several rooms' tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks and pictures as small as those of the tests lose time to a second thread of torch."""
    import torch  # slow to load, and most tests do without

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float32 on every machine: what holds exactly there holds but roughly in bfloat16."""
    monkeypatch.setattr("nrw.core.device.has_bfloat16", lambda device: False)


@pytest.fixture(scope="module")
def tower(tmp_path_factory, one_thread) -> Path:
    """The folder of a tiny scene, trained for no time."""
    from tiny_scene import make_scene

    folder = tmp_path_factory.mktemp("results") / "tower"
    make_scene(folder)
    return folder
