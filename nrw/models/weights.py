"""The weights of networks on disk, as safetensors."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from nrw.core.errors import UserError
from nrw.core.io import atomic_path


def save_weights(path: Path, modules: Mapping[str, nn.Module]) -> None:
    """Write the weights of modules as `<name>.<parameter>`, in the layout that `load_weights` reads."""
    tensors = {
        f"{name}.{key}": tensor.detach().cpu().contiguous()
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)


def load_weights(path: Path, modules: Mapping[str, nn.Module], required: bool = True) -> None:
    """Load what `save_weights` wrote. Unless `required`, a module of which the file has no weights stays unchanged.

    Raises UserError if the file is missing or its weights are those of differently configured networks.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: run the stage that makes it first.")
    tensors = load_file(path)
    for name, module in modules.items():
        weights = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        if not weights and not required:
            continue
        try:
            module.load_state_dict(weights)
        except RuntimeError as error:
            raise UserError(
                f"{path}: its {name} was made with another configuration (the sections buffer and network, or another "
                f"cloud): run the stage that makes it again.\n{error}"
            ) from error
