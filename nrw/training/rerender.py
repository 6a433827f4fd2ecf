"""Stages 2 and 3: the renderer learns to render photos from the deep buffer and an appearance.

Stage 2 (`rerender`) keeps the encoder of stage 1 fixed; stage 3 (`finetune`) trains all networks together ("Neural
Rerendering in the Wild", Meshry et al., CVPR 2019, section 3.3). They differ in their sections of `training` only.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nrw.core.device import on_device
from nrw.core.pictures import sheet_of
from nrw.dataset.packed import PackedDataset
from nrw.models.build import Networks, build_networks
from nrw.models.inputs import BufferSpec, crop, encoder_input
from nrw.models.losses import SSIM_WINDOW
from nrw.models.weights import load_weights
from nrw.training import checkpoint, parallel
from nrw.training.loop import Stage, run
from nrw.training.sampler import Batch, crop_batch, crops_for_one, jittered, photos_of, random_region
from nrw.training.stage import (
    Best,
    adam,
    average_of,
    open_dataset,
    perceptual_features,
    run_fingerprint,
    update_average,
)
from nrw.training.steps import optimize

logger = logging.getLogger(__name__)
SMALLEST_SIDE = 2 * SSIM_WINDOW  # pixels
VALIDATION_PHOTOS = 8  # scored at every tick
SAMPLES = {"val": 4, "train": 2}  # rows of the sample sheet


def train(
    dataset_dir: Path | str,
    detail: Path | str | None,
    init_dir: Path | str,
    out_dir: Path | str,
    checkpoint_dir: Path | str,
    config: Mapping,
    stage: str = "rerender",
) -> None:
    """Train stage 2 (`rerender`, from the encoder of stage 1) or 3 (`finetune`, from the networks of stage 2).

    detail: the file of the photos' detail (`detail.training`), for a configuration with `buffer.detail`; else None.
    init_dir: where the stage before left model.safetensors. config: the complete configuration; `training.<stage>`
    holds the settings of this stage.

    The stage ends when its budget is spent, or when the validation photos have not been rendered better for
    `training.patience` ticks at full resolution and without a discriminator (0: it does not end early). Where
    `training.losses.adversarial` is above 0, a discriminator judges in the last `adversarial_share` of the stage.

    Leaves in out_dir:
      model.safetensors: the averaged (EMA) weights of renderer, encoder and point channels, which inference uses and
        the next stage starts from, and the discriminator's last weights. The averaged weights are those that rendered
        the validation photos best; with patience 0, and once a discriminator judged, they are the last ones, because a
        discriminator makes pictures sharper, not closer pixel by pixel.
      config.json: what is needed to build the networks again, and why the stage `ended`.
      stats.jsonl, TensorBoard events and samples/.
    The checkpoint in checkpoint_dir is deleted.

    Raises UserError for weights that do not fit the configuration, a loss that is not finite, a missing GPU.
    """
    run(RerenderStage(stage, dataset_dir, detail, init_dir, out_dir, checkpoint_dir, config))


class RerenderStage(Stage):
    """Stage 2 or 3, as the loop sees it."""

    def __init__(
        self,
        name: str,
        dataset_dir: Path | str,
        detail: Path | str | None,
        init_dir: Path | str,
        out_dir: Path | str,
        checkpoint_dir: Path | str,
        config: Mapping,
    ):
        super().__init__(name, out_dir, checkpoint_dir, config)
        self.dataset = open_dataset(dataset_dir, config, detail)
        self.read = self.dataset.reader(self.device)
        self.spec, self.transient = BufferSpec.from_config(config, self.dataset.meta), self.dataset.meta["transient"]
        init = Path(init_dir) / "model.safetensors"
        self.networks = self._networks(init)
        self.averaged = average_of(self.networks)
        self.averaged.discriminator = None
        self.best = Best(self.averaged)
        self.modules = {"networks": self.networks, "averaged": self.averaged, "best": self.best.module}
        self.optimizers = self._optimizers()
        self.fingerprint = run_fingerprint(config, name, dataset_dir, *contents(init, detail))
        self.vgg = None
        if self.training["losses"]["perceptual"] > 0:
            self.vgg = perceptual_features(
                config, self.device, "training.losses.perceptual > 0", "set training.losses.perceptual to 0"
            )

        settings = self.settings
        self.judged_from = self.steps - round(settings["adversarial_share"] * self.steps)
        self.full_size_from = (settings["quarter_resolution_share"] + settings["half_resolution_share"]) * self.steps
        self.smallest_side = min(min(self.dataset.view(photo_id).labels.shape) for photo_id in self.dataset.train_ids)

    def _networks(self, init: Path) -> Networks:
        """Build the networks, with the weights of the stage before as far as it has them."""
        torch.manual_seed(self.config["seed"])
        networks = on_device(build_networks(self.config, self.spec), self.device)
        if self.training["losses"]["adversarial"] == 0 or self.settings["adversarial_share"] == 0:
            networks.discriminator = None
        load_weights(init, {"encoder": networks.encoder})
        others = {name: module for name, module in networks.named_children() if name != "encoder"}
        load_weights(init, others, required=False)
        if networks.lighting is not None:
            assert self.dataset.point_lighting is not None  # `BufferSpec.from_config` has seen to it
            networks.lighting.table.copy_(torch.tensor(self.dataset.point_lighting[:, : self.spec.lighting]))
        networks.encoder.requires_grad_(self.settings["encoder_learning_rate"] > 0)
        return networks

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Make the optimizers of renderer, point channels and encoder, and of the discriminator where there is one."""
        rate, encoder_rate = self.settings["learning_rate"], self.settings["encoder_learning_rate"]
        networks = self.networks
        groups = [{"params": networks.renderer.parameters(), "peak": rate}]
        if networks.points is not None:
            groups.append({"params": networks.points.parameters(), "peak": rate})
        if encoder_rate > 0:
            groups.append({"params": networks.encoder.parameters(), "peak": encoder_rate})
        optimizers: dict[str, torch.optim.Optimizer] = {"optimizer": adam(groups, self.config)}
        if networks.discriminator is not None:
            groups = [{"params": networks.discriminator.parameters(), "peak": rate}]
            optimizers["discriminator_optimizer"] = adam(groups, self.config)
        return optimizers

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.best.score, self.best.step = state["best"]

    def state(self) -> dict[str, object]:
        return {"best": [self.best.score, self.best.step]}

    def step(self, number: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Move renderer, point channels and encoder by a batch of crops, and the discriminator while it judges."""
        judge = self.optimizers["discriminator_optimizer"] if self.judged(number) else None
        batch = self.batch(number, rng)
        losses = optimize(self.networks, self.optimizers["optimizer"], judge, batch, self.training, self.vgg)
        update_average(self.averaged, self.networks, self.training["ema_decay"], number)
        return losses

    def batch(self, number: int, rng: np.random.Generator) -> Batch:
        """Draw the crops of a step, and read this process's part of them."""
        shift = halvings(self.settings, number / self.steps, self.smallest_side)
        crop_size = self.training["crop_size"]
        crops = self.batch_size * crops_for_one(crop_size, self.smallest_side >> shift)
        photo_ids = photos_of(self.dataset.train_ids, self.config["seed"], self.name, number, crops)
        jitter, partial = self.training["color_jitter"], self.training["partial_appearance"]
        views = [jittered(self.read(photo_id), rng, jitter) for photo_id in photo_ids]
        regions = [random_region(rng, partial) for _ in photo_ids]
        part = parallel.part_of(crops)
        return crop_batch(views, regions, self.spec, self.transient, crop_size, shift, rng, part)

    def judged(self, number: int) -> bool:
        """Return whether the discriminator judges in a step."""
        return self.networks.discriminator is not None and number >= self.judged_from

    def validate(self, done: int) -> tuple[np.ndarray, dict[str, float]]:
        """Score the averaged weights, and keep them if they are the best."""
        sheet, scores = render_photos(self.averaged, self.dataset, self.spec, self.device)
        selects = self.training["patience"] > 0 and not self.judged(done - 1)
        self.best.offer(self.averaged, scores.get("val_psnr") if selects else None, done)
        return sheet, scores

    def stop_early(self, done: int) -> bool:
        """Return whether the last `training.patience` ticks, all of full resolution, brought nothing better."""
        patience = self.training["patience"]
        waited = done - max(self.best.step, self.full_size_from)
        return patience > 0 and waited >= patience * self.tick_steps

    def result(self, done: int) -> tuple[dict[str, nn.Module], dict[str, object]]:
        """Return the best weights and the discriminator's last; logs why the stage ended."""
        ended = "budget" if done == self.steps else "validation"
        kimg, best_kimg = (steps * self.batch_size / 1000 for steps in (done, self.best.step))
        budget = self.settings["kimg"]
        reason = {
            "budget": f"its budget of {budget:g} kimg is spent",
            "validation": f"no better validation for {self.training['patience']} ticks (budget: {budget:g} kimg)",
        }[ended]
        logger.info(
            "%s ended after %.2f kimg: %s; kept are the weights of %.2f kimg", self.name, kimg, reason, best_kimg
        )
        modules = dict(self.best.module.named_children())
        if self.networks.discriminator is not None:
            modules["discriminator"] = self.networks.discriminator
        facts = {"ended": ended, "kimg": kimg, "best_kimg": best_kimg}
        facts |= {"spec": self.spec, "transient": self.transient}
        return modules, facts


def contents(init: Path, detail: Path | str | None) -> list[str]:
    """Hash the files that a stage starts from."""
    return [checkpoint.content_hash(path) for path in (init, detail) if path is not None]


def halvings(settings: Mapping, share_done: float, smallest_side: int) -> int:
    """Return how often the pictures of a step are halved: first twice, then once, then not at all.

    settings: of the stage, whose shares say how long. share_done: share of the stage that is over. smallest_side: of
    all training photos, pixels; no picture gets too small for the losses.
    """
    quarter = settings["quarter_resolution_share"]
    wanted = 2 if share_done < quarter else 1 if share_done < quarter + settings["half_resolution_share"] else 0
    return next(shift for shift in range(wanted, -1, -1) if shift == 0 or smallest_side >> shift >= SMALLEST_SIDE)


@torch.no_grad()
def render_photos(
    networks: Networks, dataset: PackedDataset, spec: BufferSpec, device: torch.device
) -> tuple[np.ndarray, dict[str, float]]:
    """Render whole photos with their own appearance, and score them.

    Returns a sheet (H, W, 3) uint8 with a row raw render | output | photo for the same few validation and training
    photos every time, and `val_l1` (of values in [0, 1]) and `val_psnr` (dB) over the kept pixels of validation photos,
    each a mean over photos; no figures without validation photos.
    """
    shown = [*dataset.val_ids[: SAMPLES["val"]], *dataset.train_ids[: SAMPLES["train"]]]
    scored = dataset.val_ids[:VALIDATION_PHOTOS]
    rows, absolute, psnr = [], [], []
    for photo_id in dict.fromkeys([*shown, *scored]):
        view = dataset.view(photo_id)
        there = view.to(device)
        rasters, index, target, keep = crop(there, spec, dataset.meta["transient"])
        z = networks.encoder.encode([encoder_input(there, spec, dataset.meta["transient"])])
        rasters = [level[None] for level in rasters]
        index = None if index is None else [level[None] for level in index]
        output = networks.render(rasters, index, z)[0].clamp(-1, 1)
        if photo_id in scored and keep.any():
            error = (output - target)[:, keep[0] > 0] / 2
            absolute.append(error.abs().mean().item())
            psnr.append(-10 * np.log10(max(error.square().mean().item(), 1e-10)))
        if photo_id in shown:
            picture = ((output + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
            rows.append([view.color[0], picture, view.pixels])
    scores = {"val_l1": float(np.mean(absolute)), "val_psnr": float(np.mean(psnr))} if psnr else {}
    return sheet_of(rows), scores
