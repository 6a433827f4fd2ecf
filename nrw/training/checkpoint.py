"""Checkpoints: everything a stage needs to continue as if it had never stopped, in one file, written atomically.

The file is safetensors (nothing in it executes); what is not a tensor is JSON in its header. It holds no random state:
the draws of a step are a function of the seed and the step's number (`training.sampler`).
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nrw.core.io import atomic_path

logger = logging.getLogger(__name__)
FILE = "checkpoint.safetensors"


def save(
    folder: Path,
    fingerprint: str,
    step: int,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    state: Mapping[str, object],
) -> None:
    """Write `folder/checkpoint.safetensors`, replacing the previous one.

    step: steps done. state: anything that JSON holds; `restore` returns it unchanged (floats are exact).
    """
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}/{key}": tensor for key, tensor in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        for parameter, values in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}/{parameter}/{key}": torch.as_tensor(value) for key, value in values.items()}
    header = {"fingerprint": fingerprint, "step": step, "state": state}
    with atomic_path(folder / FILE) as temporary:
        save_file(
            {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()},
            temporary,
            metadata={"nrw": json.dumps(header)},
        )


def restore(
    folder: Path,
    fingerprint: str,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> tuple[int, dict] | None:
    """Load the checkpoint into modules and optimizers; returns the steps done and the `state` given to `save`.

    Returns None, with nothing loaded, if there is no checkpoint, if it is damaged, or if its fingerprint differs
    (another configuration, data set or starting point); the last two are logged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["nrw"])
        tensors = load_file(path)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        logger.warning("%s is damaged (%s): starting from the beginning", path, error)
        return None
    if header["fingerprint"] != fingerprint:
        logger.warning(
            "%s belongs to another configuration, data set or starting point: starting from the beginning", path
        )
        return None
    for name, module in modules.items():
        module.load_state_dict(_under(name, tensors))
    for name, optimizer in optimizers.items():
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        values: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _under(name, tensors).items():
            number, _, kind = key.partition("/")
            parameter = parameters[int(number)]
            if tensor.shape == parameter.shape:  # fused optimizers assume the same memory layout for both
                tensor = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
            values.setdefault(int(number), {})[kind] = tensor
        optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
    logger.info("resuming after step %d, from %s", header["step"], path)
    return header["step"], header["state"]


def remove(folder: Path) -> None:
    """Delete the checkpoint of a finished stage."""
    (folder / FILE).unlink(missing_ok=True)


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}


def fingerprint_of(*parts: object) -> str:
    """Hash JSON values, such as the settings that a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def content_hash(path: Path | str) -> str:
    """Hash a file's bytes, or the names and bytes of all files in a folder."""
    path = Path(path)
    if path.is_file():
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return fingerprint_of([[file.relative_to(path).as_posix(), content_hash(file)] for file in files])
