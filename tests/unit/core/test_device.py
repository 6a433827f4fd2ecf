"""The device of a configured name, and the message where it is missing."""

import pytest
import torch

from nrw.core.device import _log_card, autocast, has_bfloat16, torch_device
from nrw.core.errors import UserError


def test_the_cpu_is_always_there():
    assert torch_device("cpu") == torch.device("cpu")


@pytest.fixture
def no_gpu(monkeypatch, tmp_path):
    """A machine without a GPU; returns its folder of programs, which is empty."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


@pytest.fixture
def card(monkeypatch):
    """card(name, capability): a machine with two of this card."""

    def make(name, capability):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        _log_card.cache_clear()

    yield make
    _log_card.cache_clear()


def message_of(name):
    with pytest.raises(UserError) as error:
        torch_device(name)
    return str(error.value)


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_build_without_cuda_is_named(monkeypatch, no_gpu, name):
    monkeypatch.setattr(torch.version, "cuda", None)
    message = message_of(name)
    assert message.startswith(
        f"device is {name}, but torch {torch.__version__} (built without CUDA) finds no CUDA device."
    )
    assert "no nvidia-smi on PATH" in message
    assert "Install the torch build for your driver" in message and message.endswith("or set device to cpu.")


def test_the_driver_says_what_it_is(monkeypatch, no_gpu):
    """The two ways to a message that helps: torch's own words, and nvidia-smi's."""

    def init():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nUpdate it.")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    program = no_gpu / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100, 470.82'\n")
    program.chmod(0o755)
    message = message_of("cuda")
    for part in (
        "(built for CUDA 13.0)",
        "driver on your system is too old (found version 11040).\n",
        "nvidia-smi says: NVIDIA H100, 470.82\n",
        "CUDA_VISIBLE_DEVICES is '7', which hides all other devices",
        "Install a driver for CUDA 13.0",
    ):
        assert part in message
    program.write_text("#!/bin/sh\necho 'could not communicate with the driver' >&2; exit 9\n")
    assert "nvidia-smi says: could not communicate with the driver" in message_of("cuda")


def test_a_device_beyond_the_last_is_an_error(card):
    card("NVIDIA H100", (9, 0))
    assert torch_device("cuda:1") == torch.device("cuda", 1)
    assert "device is cuda:2, but torch" in message_of("cuda:2")
    assert "finds 2 CUDA devices" in message_of("cuda:2")


def test_the_log_says_once_on_which_card(card, caplog):
    card("NVIDIA H100", (9, 0))
    with caplog.at_level("INFO"):
        torch_device("cuda")
        torch_device("cuda")
    assert caplog.messages == ["computing on NVIDIA H100, compute capability 9.0"]
    assert has_bfloat16(torch.device("cuda"))


def test_a_card_before_ampere_computes_in_float32_and_says_so(card, caplog):
    card("Tesla T4", (7, 5))
    torch_device("cuda")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "Tesla T4, whose compute capability is 7.5: networks compute in float32" in record.getMessage()
    assert not has_bfloat16(torch.device("cuda"))


@pytest.mark.parametrize(
    ("features", "native"), [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({}, False)]
)
def test_bfloat16_is_used_where_the_processor_has_it(monkeypatch, features, native):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    cpu = torch.device("cpu")
    assert has_bfloat16(cpu) is native
    with autocast(cpu):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if native else torch.float32)
