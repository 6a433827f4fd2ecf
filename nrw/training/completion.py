"""Semantic completion is trained: labels from the deep buffer alone, so that views without a photo have a label map.

What is transient is left out: its pixels do not count in the loss and no class stands for it, so that novel views stay
free of people.
"""

import copy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.pictures import sheet_of
from nrw.dataset.packed import PackedDataset, View
from nrw.models.completion import CompletionNet, completion_spec
from nrw.models.inputs import BufferSpec, crop_buffer
from nrw.training import checkpoint, parallel, signals
from nrw.training.log import TrainingLog
from nrw.training.sampler import generator_of, photos_of, random_boxes
from nrw.training.stage import (
    adam,
    autocast,
    finish,
    run_fingerprint,
    set_learning_rates,
    steps_of,
    training_device,
    update_average,
)

STAGE = "completion"
IGNORED = -1  # class index of pixels that do not count
MAX_CLASS_WEIGHT = 5.0
SAMPLES = {"val": 4, "train": 2}  # rows of the sample sheet


def train(dataset_dir: Path | str, out_dir: Path | str, checkpoint_dir: Path | str, config: Mapping) -> None:
    """Train semantic completion on the training photos.

    Leaves in out_dir: model.safetensors (averaged weights), config.json (with `labels`, the label standing for
    each class), stats.jsonl, TensorBoard events and samples/. The checkpoint in checkpoint_dir is removed.

    Raises UserError for a data set without labels and a loss that is not finite.
    """
    out_dir, checkpoint_dir = Path(out_dir), Path(checkpoint_dir)
    settings, part, seed = config["training"], config["training"][STAGE], config["seed"]
    batch_size = settings["batch_size"]
    part_of_batch, first = parallel.part_of(batch_size), parallel.is_first()
    device = training_device(config)
    dataset = PackedDataset(dataset_dir)
    if not dataset.meta["classes"]:
        raise UserError(
            f"{dataset_dir} has no labels to learn semantic completion from: its photos were not segmented "
            "(segmentation.model: none). Set a segmentation model, or leave this stage out."
        )
    spec = completion_spec(BufferSpec.from_config(config, dataset.meta))
    labels, class_of, class_weights = class_tables(dataset)
    class_weights = class_weights.to(device)

    torch.manual_seed(seed)
    network = CompletionNet(spec, len(labels)).to(device)
    if device.type == "cuda":
        network = network.to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(network).requires_grad_(False)
    modules = {"network": network, "averaged": averaged}
    optimizer = adam([{"params": network.parameters(), "peak": part["learning_rate"]}], config)

    steps, tick = steps_of(part["kimg"], batch_size), max(1, steps_of(settings["tick_kimg"], batch_size))
    fingerprint = run_fingerprint(config, STAGE, dataset_dir)
    start, state = checkpoint.restore(checkpoint_dir, fingerprint, modules, {"optimizer": optimizer}) or (0, None)
    log = TrainingLog(out_dir, STAGE, steps, batch_size, start, state, writes=first)
    if start == 0 and first:
        log.samples(0, validate(averaged, dataset, spec, labels, class_of, device)[0])
    log.restart_clock()

    with signals.StopSignal(patient=parallel.size() > 1) as stop:
        for step in range(start, steps):
            rng = generator_of(seed, STAGE, step)
            torch.manual_seed(int(rng.integers(2**63)))
            views = [dataset.view(photo) for photo in photos_of(dataset.train_ids, seed, STAGE, step, batch_size)]
            boxes = random_boxes([view.labels.shape for view in views], settings["crop_size"], spec.levels, rng)
            rate = set_learning_rates(optimizer, config, step, steps)
            optimizer.zero_grad(set_to_none=True)
            mine = views[part_of_batch], boxes[part_of_batch]
            rasters, index, wanted = batch_of(*mine, spec, class_of, device)
            with autocast(device):
                scores = network(rasters, index)
            counted = class_weights[wanted[wanted != IGNORED]].sum()
            share = counted / parallel.summed({"counted": counted})["counted"].clamp_min(1e-6)
            loss = share * class_loss(scores.float(), wanted, class_weights)
            loss.backward()
            parallel.sum_gradients(optimizer)
            optimizer.step()
            update_average(averaged, network, settings["ema_decay"], step)
            log.add(step, parallel.summed({"cross_entropy": loss}))

            done = step + 1
            parallel.agree(stop, device)
            if first and (done % tick == 0 or done == steps):
                sheet, measured = validate(averaged, dataset, spec, labels, class_of, device)
                log.tick(done, {**measured, "learning_rate": rate})
                log.samples(done, sheet)
            if first and (done % tick == 0 or done == steps or stop.received):
                checkpoint.save(checkpoint_dir, fingerprint, done, modules, {"optimizer": optimizer}, log.state())
                log.restart_clock()
            if stop.received:
                parallel.wait()
                stop.leave()

    log.close()
    if not first:
        return
    finish(out_dir, checkpoint_dir, STAGE, {"network": averaged}, config, spec=spec, labels=labels)


def class_tables(dataset: PackedDataset) -> tuple[list[int], np.ndarray, Tensor]:
    """What the classes are, counted over the training photos.

    Returns the ADE20K label that stands for each class, its most frequent; the class of each label, (256,) int64,
    IGNORED for unknown, transient and what the training photos do not show; and the classes' weights (n,) float32 in
    the loss, the inverse square root of their share of the pixels, at most MAX_CLASS_WEIGHT, of mean 1 over pixels
    before that limit.
    """
    counts = np.zeros(256, np.int64)
    for photo in dataset.train_ids:
        counts += np.bincount(dataset.view(photo).labels.ravel(), minlength=256)
    counts[[0, *dataset.meta["transient"]]] = 0
    class_of = np.full(256, IGNORED)
    labels, pixels = [], []
    for number, group in enumerate(dataset.meta["classes"]):
        members = np.flatnonzero(group == ade20k.GROUPS)
        members = members[~np.isin(members, [0, *dataset.meta["transient"]])]
        class_of[members] = number
        labels.append(int(members[counts[members].argmax()]))
        pixels.append(counts[members].sum())
    share = np.array(pixels) / np.sum(pixels)
    weights = share**-0.5 / np.sum(share**0.5)
    return labels, class_of, torch.tensor(weights, dtype=torch.float32).clamp_max(MAX_CLASS_WEIGHT)


def batch_of(
    views: list[View], boxes: list, spec: BufferSpec, class_of: np.ndarray, device: torch.device
) -> tuple[list[Tensor], list[Tensor] | None, Tensor]:
    """Crops of the views: rasters and indices as CompletionNet takes them, and the classes wanted, (B, H, W) int64."""
    rasters, index, wanted = [], [], []
    for view, box in zip(views, boxes, strict=True):
        x, y, width, height = box
        levels, seen = crop_buffer(view, spec, box)
        rasters.append(levels)
        index.append(seen)
        wanted.append(torch.from_numpy(class_of[view.labels[y : y + height, x : x + width]]))
    rasters = [torch.stack(level).to(device) for level in zip(*rasters, strict=True)]
    index = None if index[0] is None else [torch.stack(level).to(device) for level in zip(*index, strict=True)]
    return rasters, index, torch.stack(wanted).to(device)


def class_loss(scores: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of (B, n, H, W) logits, a weighted mean over the pixels that count; 0 where none does."""
    total = F.cross_entropy(scores, wanted, weights, ignore_index=IGNORED, reduction="sum")
    return total / weights[wanted[wanted != IGNORED]].sum().clamp_min(1e-6)


@torch.no_grad()
def validate(
    network: CompletionNet,
    dataset: PackedDataset,
    spec: BufferSpec,
    labels: list[int],
    class_of: np.ndarray,
    device: torch.device,
) -> tuple[np.ndarray, dict[str, float]]:
    """Predict whole photos' labels.

    Returns a sheet (H, W, 3) uint8 with a row raw render | predicted labels | photo's labels for the same few photos
    every time, and `val_accuracy`, the share of the validation photos' pixels that count whose class is right.
    """
    right = counted = 0
    rows = []
    for photo in [*dataset.val_ids[: SAMPLES["val"]], *dataset.train_ids[: SAMPLES["train"]]]:
        view = dataset.view(photo)
        height, width = view.labels.shape
        rasters, index, wanted = batch_of([view], [(0, 0, width, height)], spec, class_of, device)
        with autocast(device):
            found = network(rasters, index)[0].argmax(dim=0)
        if dataset.split[photo] == "val":
            counts = wanted[0] != IGNORED
            right += int((found == wanted[0])[counts].sum())
            counted += int(counts.sum())
        predicted = np.array(labels, np.uint8)[found.cpu().numpy()]
        rows.append([view.color[0], ade20k.colorize(predicted), ade20k.colorize(view.labels)])
    return sheet_of(rows), {"val_accuracy": right / counted} if counted else {}
