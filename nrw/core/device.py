"""The device that torch computes on, and its precision."""

import logging
import os
import shutil
import subprocess
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from nrw.core.errors import UserError

Module = TypeVar("Module", bound=nn.Module)

NATIVE_BFLOAT16 = (8, 0)  # compute capability: Ampere and newer
logger = logging.getLogger(__name__)


def torch_device(name: str) -> torch.device:
    """The device that `cpu`, `cuda` or `cuda:N` names; the log says once which card it is, and its precision.

    Raises UserError for CUDA where torch finds no such device.
    """
    device = torch.device(name)
    if device.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if found <= (device.index or 0):
            raise missing_gpus(f"device is {name}", found)
        _log_card(device)
    return device


def missing_gpus(wanted: str, found: int) -> UserError:
    """The error for CUDA devices that are not there, with what torch and the driver say about it.

    wanted: what asks for them, and where that is written. found: devices that torch has, maybe too few.
    """
    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    number = {0: "no CUDA device", 1: "1 CUDA device"}.get(found, f"{found} CUDA devices")
    lines = [f"{wanted}, but torch {torch.__version__} ({build}) finds {number}."]
    if found == 0:
        lines.append(f"  torch: {_said_by_torch()}")
    lines.append(f"  driver: {_said_by_driver()}")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        lines.append(f"  CUDA_VISIBLE_DEVICES is {visible!r}, which hides all other devices")
    if found:
        lines.append("Ask for fewer GPUs.")
    elif torch.version.cuda is None:
        lines.append("Install the torch build for your driver (https://pytorch.org/get-started), or set device to cpu.")
    else:
        lines.append(
            f"Install a driver for CUDA {torch.version.cuda}, or the torch build for the driver that you have "
            "(https://pytorch.org/get-started), or set device to cpu."
        )
    return UserError("\n".join(lines))


def _said_by_torch() -> str:
    """Why torch has no CUDA, in its own words, which name a driver that is missing or too old."""
    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:
        return str(error).strip().splitlines()[0]
    return "CUDA starts, but has no device"


def _said_by_driver() -> str:
    """The cards and the driver's version, or its own words about what is wrong."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "there is no nvidia-smi on PATH, which NVIDIA's driver brings along"
    try:
        told = subprocess.run(
            [program, "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} cannot be run ({error})"
    lines = (told.stdout or told.stderr).split("\n")
    return f"nvidia-smi says: {'; '.join(line.strip() for line in lines if line.strip()) or 'nothing'}"


@cache
def _log_card(device: torch.device) -> None:
    name, (major, minor) = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
    if has_bfloat16(device):
        logger.info("computing on %s, compute capability %d.%d", name, major, minor)
    else:
        logger.warning(
            "computing on %s, whose compute capability is %d.%d: networks compute in float32, slower and with twice "
            "the memory, because bfloat16 needs 8.0",
            *(name, major, minor),
        )


def autocast(device: torch.device) -> torch.autocast:
    """Compute convolutions and products in bfloat16 where the device has it; its range is that of float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device))


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is native there: CUDA from compute capability 8.0, CPUs with AVX512-BF16 or AMX.

    Elsewhere it is emulated, and slower than float32.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= NATIVE_BFLOAT16
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def constant(values: np.ndarray, device: torch.device) -> Tensor:
    """A few numbers as float32 on a device, without waiting for it: a camera's pose."""
    return torch.from_numpy(np.array(values, np.float32)).to(device, non_blocking=True)


def on_device(module: Module, device: torch.device) -> Module:
    """Move a module to the device; its convolutions run channels last, which is faster everywhere."""
    return module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch omits it
