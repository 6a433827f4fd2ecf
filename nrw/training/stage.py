"""What the training stages share: device, data set, optimizer, schedule, averaged weights, identity and results."""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from nrw.config.choices import stage_settings
from nrw.core.device import torch_device
from nrw.core.errors import UserError
from nrw.core.heap import keep_freed_memory
from nrw.core.io import write_json
from nrw.dataset.packed import PackedDataset
from nrw.models.inputs import BufferSpec
from nrw.models.perceptual import VGGFeatures
from nrw.models.weights import save_weights
from nrw.training import checkpoint

Module = TypeVar("Module", bound=nn.Module)


def training_device(config: Mapping) -> torch.device:
    """Return the device that `device` names, after giving torch `training.threads` CPU threads and a heap that stays.

    Raises UserError for cuda on a machine without it.
    """
    device = torch_device(config["device"])
    keep_freed_memory()
    torch.set_num_threads(config["training"]["threads"])
    return device


def open_dataset(dataset_dir: Path | str, config: Mapping, detail: Path | str | None = None) -> PackedDataset:
    """Open the data set of stages 1 to 3, with its detail if any.

    Without `training.mask_transient`, as in 2019, no label is transient.
    """
    dataset = PackedDataset(dataset_dir, detail)
    if not config["training"]["mask_transient"]:
        dataset.meta = {**dataset.meta, "transient": []}
    return dataset


def perceptual_features(config: Mapping, device: torch.device, needed_by: str, without: str) -> VGGFeatures:
    """Load VGG16 with the weights that `perceptual.weights` names.

    Raises UserError when it is none: the message says what needs them (`needed_by`) and how to do `without`.
    """
    weights = config["perceptual"]["weights"]
    if weights == "none":
        raise UserError(
            f"perceptual.weights is none, but {needed_by} needs VGG16: choose url, random or the path of a VGG16 state "
            f"dict, or {without}"
        )
    return VGGFeatures(weights, config["seed"]).to(device)


def steps_of(kimg: float, batch_size: int) -> int:
    """Return the number of steps that show `kimg` thousand images."""
    return math.ceil(round(kimg * 1000 / batch_size, 6))


def adam(groups: list[dict], config: Mapping) -> torch.optim.Adam:
    """Make Adam over parameter groups, each with its highest learning rate as `peak`."""
    return torch.optim.Adam(groups, lr=0.0, betas=tuple(config["training"]["betas"]), fused=True)


def set_learning_rates(optimizer: torch.optim.Optimizer, config: Mapping, step: int, steps: int) -> float:
    """Set each group's learning rate for a step: its peak, or half a cosine from there to 0. Returns the first's."""
    cosine = config["training"]["schedule"] == "cosine"
    factor = 0.5 * (1 + math.cos(math.pi * step / steps)) if cosine else 1.0
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return optimizer.param_groups[0]["lr"]


def average_of(trained: Module) -> Module:
    """Copy a module, as the start of the average of its weights."""
    return copy.deepcopy(trained).requires_grad_(False)


@torch.no_grad()
def update_average(averaged: nn.Module, trained: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the trained ones (exponential moving average).

    The decay grows with the steps done, (1 + step) / (10 + step), up to `decay`, so that a short run is not held back
    by its initial weights. Modules that `averaged` lacks are not averaged.
    """
    decay = min(decay, (1 + step) / (10 + step))
    weights = dict(trained.named_parameters())
    pairs = [(average, weights[name]) for name, average in averaged.named_parameters()]
    torch._foreach_lerp_([average for average, _ in pairs], [weight for _, weight in pairs], 1 - decay)


class Best:
    """The averaged weights that rendered the validation photos best, of all that were offered.

    module: the weights. score: theirs; None before the first offer and for weights offered without one. step: the step
    after which they were offered.
    """

    def __init__(self, averaged: nn.Module):
        self.module, self.step = copy.deepcopy(averaged), 0
        self.score: float | None = None

    def offer(self, averaged: nn.Module, score: float | None, step: int) -> None:
        """Keep these weights if they score higher than those kept, or if either has no score."""
        if score is None or self.score is None or score > self.score:
            self.module.load_state_dict(averaged.state_dict())
            self.score, self.step = score, step


def run_fingerprint(config: Mapping, stage: str, dataset_dir: Path | str, *extra: str) -> str:
    """Hash what the result of a stage depends on: its settings, the contents of the data set, and `extra`."""
    settings = stage_settings(config, stage)
    training = settings.pop("training")
    return checkpoint.fingerprint_of(stage, settings, training, checkpoint.content_hash(dataset_dir), *extra)


def finish(
    out_dir: Path, checkpoint_dir: Path, stage: str, modules: Mapping[str, nn.Module], config: Mapping, **facts: object
) -> None:
    """Write config.json and model.safetensors of a finished stage, and delete its checkpoint.

    config.json holds the name of the stage, the sections of the configuration that training depends on, and `facts`.
    """
    sections = ("seed", "buffer", "network", "perceptual", "training")
    facts = {key: asdict(value) if isinstance(value, BufferSpec) else value for key, value in facts.items()}
    write_json(out_dir / "config.json", {"stage": stage, **{key: config[key] for key in sections}, **facts})
    save_weights(out_dir / "model.safetensors", modules)
    checkpoint.remove(checkpoint_dir)
