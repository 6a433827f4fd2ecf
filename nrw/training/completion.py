"""Semantic completion: the label map of a view from its deep buffer alone, for views that no photo was taken of.

Transient pixels do not count in the loss and no class stands for them, so that novel views stay free of people.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nrw.core import ade20k
from nrw.core.device import on_device
from nrw.core.errors import UserError
from nrw.core.pictures import sheet_of
from nrw.dataset.packed import PackedDataset, View
from nrw.models.completion import CompletionNet, completion_spec
from nrw.models.inputs import BufferSpec, as_tensor, crop_buffer
from nrw.training import parallel
from nrw.training.loop import Stage, run
from nrw.training.sampler import photos_of, random_boxes
from nrw.training.stage import adam, average_of, run_fingerprint, update_average

IGNORED = -1  # class of pixels that do not count
MAX_CLASS_WEIGHT = 5.0
SAMPLES = {"val": 4, "train": 2}  # rows of the sample sheet


def train(dataset_dir: Path | str, out_dir: Path | str, checkpoint_dir: Path | str, config: Mapping) -> None:
    """Train semantic completion on the training photos.

    Leaves in out_dir: model.safetensors (averaged weights), config.json (with `labels`, the label that stands for each
    class), stats.jsonl, TensorBoard events and samples/. The checkpoint in checkpoint_dir is deleted.

    Raises UserError for a data set without labels and for a loss that is not finite.
    """
    run(CompletionStage(dataset_dir, out_dir, checkpoint_dir, config))


class CompletionStage(Stage):
    """Semantic completion, as the loop sees it."""

    def __init__(self, dataset_dir: Path | str, out_dir: Path | str, checkpoint_dir: Path | str, config: Mapping):
        super().__init__("completion", out_dir, checkpoint_dir, config)
        self.part_of_batch = parallel.part_of(self.batch_size)
        self.dataset = PackedDataset(dataset_dir)
        if not self.dataset.meta["classes"]:
            raise UserError(
                f"{dataset_dir} has no labels to learn semantic completion from: its photos were not segmented "
                "(segmentation.model is none). Set a segmentation model, or leave this stage out."
            )
        self.read = self.dataset.reader(self.device)
        self.spec = completion_spec(BufferSpec.from_config(config, self.dataset.meta))
        self.labels, class_of, class_weights = class_tables(self.dataset)
        self.class_of = torch.from_numpy(class_of).to(self.device)
        self.class_weights = class_weights.to(self.device)

        torch.manual_seed(config["seed"])
        self.network = on_device(CompletionNet(self.spec, len(self.labels)), self.device)
        self.averaged = average_of(self.network)
        self.modules = {"network": self.network, "averaged": self.averaged}
        groups = [{"params": self.network.parameters(), "peak": self.settings["learning_rate"]}]
        self.optimizers = {"optimizer": adam(groups, config)}
        self.fingerprint = run_fingerprint(config, self.name, dataset_dir)

    def step(self, number: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Move the network by a batch of crops."""
        photo_ids = photos_of(self.dataset.train_ids, self.config["seed"], self.name, number, self.batch_size)
        views = [self.read(photo_id) for photo_id in photo_ids]
        sizes = [view.shape for view in views]
        boxes = random_boxes(sizes, self.training["crop_size"], self.spec.levels, rng)
        part = self.part_of_batch
        rasters, index, target = batch_of(views[part], boxes[part], self.spec, self.class_of)
        scores = self.network(rasters, index)
        counted = weight_of(target, self.class_weights)
        share = counted / parallel.summed({"counted": counted})["counted"].clamp_min(1e-6)
        loss = share * class_loss(scores, target, self.class_weights)
        loss.backward()
        parallel.sum_gradients(self.optimizers["optimizer"])
        self.optimizers["optimizer"].step()
        update_average(self.averaged, self.network, self.training["ema_decay"], number)
        return {"cross_entropy": loss}

    @torch.no_grad()
    def validate(self, done: int) -> tuple[np.ndarray, dict[str, float]]:
        """Predict the labels of whole photos.

        Returns a sheet (H, W, 3) uint8 with a row raw render | predicted labels | photo's labels for the same few
        photos every time, and `val_accuracy`, the share of the counted pixels of the validation photos whose class is
        right; no figures where none counts.
        """
        right = counted = 0
        rows = []
        for photo_id in [*self.dataset.val_ids[: SAMPLES["val"]], *self.dataset.train_ids[: SAMPLES["train"]]]:
            view = self.dataset.view(photo_id)
            height, width = view.shape
            whole = [(0, 0, width, height)]
            rasters, index, target = batch_of([view.to(self.device)], whole, self.spec, self.class_of)
            found = self.averaged(rasters, index)[0].argmax(dim=0)
            if self.dataset.split[photo_id] == "val":
                counts = target[0] != IGNORED
                right += int((found == target[0])[counts].sum())
                counted += int(counts.sum())
            predicted = np.array(self.labels, np.uint8)[found.cpu().numpy()]
            rows.append([view.color[0], ade20k.colorize(predicted), ade20k.colorize(view.labels)])
        return sheet_of(rows), {"val_accuracy": right / counted} if counted else {}

    def result(self, done: int) -> tuple[dict[str, nn.Module], dict[str, object]]:
        return {"network": self.averaged}, {"spec": self.spec, "labels": self.labels}


def class_tables(dataset: PackedDataset) -> tuple[list[int], np.ndarray, Tensor]:
    """Define the classes, from the pixels of the training photos.

    Returns the ADE20K label that stands for each class, its most frequent; the class of each label, (256,) int64,
    IGNORED for unknown, transient and what the training photos do not show; and the classes' weights in the loss, (n,)
    float32: the inverse square root of their share of the pixels, scaled to a mean of 1 over pixels, then limited to
    MAX_CLASS_WEIGHT.
    """
    counts = np.zeros(256, np.int64)
    for photo_id in dataset.train_ids:
        counts += np.bincount(dataset.view(photo_id).labels.ravel(), minlength=256)
    counts[[0, *dataset.meta["transient"]]] = 0
    class_of = np.full(256, IGNORED)
    labels: list[int] = []
    pixels = []
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
    views: list[View],
    boxes: list[tuple[int, int, int, int]],
    spec: BufferSpec,
    class_of: Tensor,
) -> tuple[list[Tensor], list[Tensor] | None, Tensor]:
    """Crop the views: rasters and indices as CompletionNet takes them, and the target classes, (B, H, W) int64.

    boxes: x, y, width, height of each crop, pixels.
    """
    rasters, indices, target = [], [], []
    for view, box in zip(views, boxes, strict=True):
        x, y, width, height = box
        levels, seen = crop_buffer(view, spec, box)
        rasters.append(levels)
        if seen is not None:
            indices.append(seen)
        target.append(class_of[as_tensor(view.labels[y : y + height, x : x + width]).int()])
    stacked = [torch.stack(level) for level in zip(*rasters, strict=True)]
    index = [torch.stack(level) for level in zip(*indices, strict=True)] if indices else None
    return stacked, index, torch.stack(target)


def class_loss(scores: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of (B, n, H, W) logits, a weighted mean over the pixels that count; 0 where none does."""
    total = F.cross_entropy(scores, target, weights, ignore_index=IGNORED, reduction="sum")
    return total / weight_of(target, weights).clamp_min(1e-6)


def weight_of(target: Tensor, weights: Tensor) -> Tensor:
    """Sum the weights of the classes of the pixels that count. A GPU is not waited for, as a mask would make it."""
    return torch.where(target != IGNORED, weights[target.clamp_min(0)], 0).sum()
