"""What the training stages share: device, optimizer, schedule, averaging, identity of a run, and what a run leaves."""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from nrw.core.errors import UserError
from nrw.core.io import write_json
from nrw.dataset.packed import PackedDataset
from nrw.models import weights
from nrw.models.inputs import BufferSpec
from nrw.models.perceptual import VGGFeatures
from nrw.training import checkpoint


def training_device(config: Mapping) -> torch.device:
    """The device that the configuration names, with its number of CPU threads set.

    Raises UserError for cuda on a machine without it.
    """
    if config["device"] == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device is cuda, but torch finds no CUDA GPU here: install a CUDA build of torch, or set device: cpu"
        )
    torch.set_num_threads(config["training"]["threads"])
    return torch.device(config["device"])


def open_dataset(dataset_dir: Path | str, config: Mapping) -> PackedDataset:
    """The data set of stages 1 to 3; with training.mask_transient false, as in 2019, no label counts as transient."""
    dataset = PackedDataset(dataset_dir)
    if not config["training"]["mask_transient"]:
        dataset.meta = {**dataset.meta, "transient": []}
    return dataset


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 where it is fast, on a GPU; its range is float32's, so no loss scaling is needed."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def perceptual_features(config: Mapping, device: torch.device, needed_by: str, without: str) -> VGGFeatures:
    """VGG16 with the weights that the configuration names.

    Raises UserError when it names none, saying what needs them and how to do without.
    """
    weights = config["perceptual"]["weights"]
    if weights == "none":
        raise UserError(
            f"perceptual.weights is none, but {needed_by} needs VGG16: choose url, random or the path of a VGG16 state "
            f"dict, or {without}"
        )
    return VGGFeatures(weights, config["seed"]).to(device)


def steps_of(kimg: float, batch_size: int) -> int:
    """Steps in which that many thousand images are shown."""
    return math.ceil(round(kimg * 1000 / batch_size, 6))


def adam(groups: list[dict], config: Mapping) -> torch.optim.Adam:
    """Adam over parameter groups, each with its highest learning rate as `peak`."""
    return torch.optim.Adam(groups, lr=0.0, betas=tuple(config["training"]["betas"]), fused=True)


def set_learning_rates(optimizer: torch.optim.Optimizer, config: Mapping, step: int, steps: int) -> float:
    """Give each group the learning rate of a step: its peak, or half a cosine from there to 0. Returns the first's."""
    cosine = config["training"]["schedule"] == "cosine"
    factor = 0.5 * (1 + math.cos(math.pi * step / steps)) if cosine else 1.0
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return optimizer.param_groups[0]["lr"]


@torch.no_grad()
def update_average(averaged: nn.Module, trained: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the trained ones (exponential moving average).

    The decay grows with the steps done, (1 + step) / (10 + step), up to `decay`: a short run is not held back by
    where it began. Modules that `averaged` lacks are not averaged.
    """
    decay = min(decay, (1 + step) / (10 + step))
    weights = dict(trained.named_parameters())
    pairs = [(average, weights[name]) for name, average in averaged.named_parameters()]
    torch._foreach_lerp_([average for average, _ in pairs], [weight for _, weight in pairs], 1 - decay)


class Best:
    """Of the averaged weights offered, those that rendered the validation photos best.

    module: the weights. score: theirs, None before the first offer or without validation photos. step: theirs.
    """

    def __init__(self, averaged: nn.Module):
        self.module, self.score, self.step = copy.deepcopy(averaged), None, 0

    def offer(self, averaged: nn.Module, score: float | None, step: int) -> None:
        """Keep these weights if they score higher; without validation photos (score None) the last ones are kept."""
        if score is None or self.score is None or score > self.score:
            self.module.load_state_dict(averaged.state_dict())
            self.score, self.step = score, step


def run_fingerprint(config: Mapping, stage: str, dataset_dir: Path | str, *extra: str) -> str:
    """What the result of a stage depends on: its part of the configuration, the data set's contents, and `extra`."""
    ignored = {"threads", "tick_kimg", "appearance", "rerender", "finetune", "completion"} - {stage}
    training = {key: value for key, value in config["training"].items() if key not in ignored}
    sections = {key: config[key] for key in ("device", "seed", "buffer", "network", "perceptual")}
    return checkpoint.fingerprint_of(stage, sections, training, checkpoint.content_hash(dataset_dir), *extra)


def finish(
    out_dir: Path, checkpoint_dir: Path, stage: str, modules: Mapping[str, nn.Module], config: Mapping, **facts: object
) -> None:
    """Write config.json and model.safetensors of a finished stage, and drop its checkpoint.

    config.json: `stage`, the sections of the configuration that training depends on, and `facts`.
    """
    sections = ("seed", "buffer", "network", "perceptual", "training")
    facts = {key: asdict(value) if isinstance(value, BufferSpec) else value for key, value in facts.items()}
    write_json(out_dir / "config.json", {"stage": stage, **{key: config[key] for key in sections}, **facts})
    weights.save_weights(out_dir / "model.safetensors", modules)
    checkpoint.remove(checkpoint_dir)
