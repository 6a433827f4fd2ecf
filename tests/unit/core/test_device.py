"""The device of a configured name, and the message where it is missing."""

import pytest
import torch

from nrw.core.device import torch_device
from nrw.core.errors import UserError


def test_the_cpu_is_always_there():
    assert torch_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
@pytest.mark.parametrize(("version", "build"), [(None, "a CPU build"), ("12.8", "CUDA 12.8")])
def test_a_missing_gpu_is_an_error_that_names_the_build_of_torch(monkeypatch, name, version, build):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", version)
    with pytest.raises(UserError) as error:
        torch_device(name)
    message = str(error.value)
    assert message.startswith(f"device is {name}, but torch {torch.__version__} ({build}) finds no CUDA device")
    assert message.endswith("set device to cpu")


def test_a_gpu_has_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert torch_device("cuda:1") == torch.device("cuda", 1)
