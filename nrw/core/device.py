"""The device that torch computes on."""

import torch

from nrw.core.errors import UserError


def torch_device(name: str) -> torch.device:
    """The device that `cpu`, `cuda` or `cuda:N` names. Raises UserError for CUDA where torch finds no CUDA device."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build"
        raise UserError(
            f"device is {name}, but torch {torch.__version__} ({build}) finds no CUDA device: install the torch build "
            "for your driver, or set device to cpu"
        )
    return torch.device(name)
