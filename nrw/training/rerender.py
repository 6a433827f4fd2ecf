"""Stages 2 and 3: the rerenderer learns to paint photos from the deep buffer and an appearance.

In stage 2 the encoder of stage 1 is fixed; in stage 3 everything is trained together ("Neural Rerendering in the Wild",
Meshry et al., CVPR 2019, section 3.3). What differs between them is a section of the configuration each.
"""

import copy
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nrw.core.pictures import sheet_of
from nrw.dataset.packed import PackedDataset
from nrw.models import losses
from nrw.models.build import Networks, build_networks
from nrw.models.inputs import BufferSpec, crop, encode, encoder_input
from nrw.models.perceptual import VGGFeatures, perceptual_loss
from nrw.models.weights import load_weights
from nrw.training import checkpoint, parallel, signals
from nrw.training.log import TrainingLog
from nrw.training.sampler import crop_batch, crops_for_one, generator_of, jittered, photos_of, random_region
from nrw.training.stage import (
    Best,
    adam,
    autocast,
    finish,
    open_dataset,
    perceptual_features,
    run_fingerprint,
    set_learning_rates,
    steps_of,
    training_device,
    update_average,
)

logger = logging.getLogger(__name__)
SMALLEST_SIDE = 2 * losses.SSIM_WINDOW  # pixels
VALIDATION_PHOTOS = 8  # scored at every tick
SAMPLES = {"val": 4, "train": 2}  # rows of the sample sheet


def train(
    dataset_dir: Path | str,
    init_dir: Path | str,
    out_dir: Path | str,
    checkpoint_dir: Path | str,
    config: Mapping,
    stage: str = "rerender",
) -> None:
    """Train stage 2 (`rerender`, from the encoder of stage 1) or 3 (`finetune`, from the networks of stage 2).

    init_dir: where the stage before left model.safetensors. config: the complete configuration; `training.<stage>`
    holds what is the stage's own.

    The stage ends when its budget is spent, or when the validation photos have not been rendered better for
    `training.patience` ticks (of full resolution and without a discriminator; 0: it does not end early). Where
    losses.adversarial is above 0 a discriminator judges in the last `adversarial_share` of the stage.

    Leaves in out_dir: model.safetensors, the averaged (EMA) weights of renderer, encoder and point channels that
    rendered the validation photos best (with patience 0, and once a discriminator judged, the last ones: it makes
    pictures sharper, not nearer pixel by pixel), which inference uses and the next stage starts from, and the last ones
    of the discriminator; config.json, all that is needed to build the networks again, and why the stage `ended`;
    stats.jsonl, TensorBoard events and samples/. The checkpoint in checkpoint_dir is removed.

    Of several processes (`training.parallel`) each computes its part of every batch.

    Raises UserError for weights that do not fit the configuration, a loss that is not finite, a missing GPU.
    """
    out_dir, checkpoint_dir = Path(out_dir), Path(checkpoint_dir)
    settings, weights = config["training"], config["training"]["losses"]
    part, seed, batch_size = settings[stage], config["seed"], settings["batch_size"]
    patience, first = settings["patience"], parallel.is_first()
    device = training_device(config)
    dataset = open_dataset(dataset_dir, config)
    spec, transient = BufferSpec.from_config(config, dataset.meta), dataset.meta["transient"]

    torch.manual_seed(seed)
    networks = build_networks(config, spec).to(device)
    if device.type == "cuda":
        networks = networks.to(memory_format=torch.channels_last)
    if weights["adversarial"] == 0 or part["adversarial_share"] == 0:
        networks.discriminator = None
    init = Path(init_dir) / "model.safetensors"
    load_weights(init, {"encoder": networks.encoder})
    others = {name: module for name, module in networks.named_children() if name != "encoder"}
    load_weights(init, others, required=False)
    if networks.lighting is not None:
        networks.lighting.table.copy_(torch.tensor(dataset.point_lighting[:, : spec.lighting]))
    fixed_encoder = part["encoder_learning_rate"] == 0
    networks.encoder.requires_grad_(not fixed_encoder)
    averaged = copy.deepcopy(networks).requires_grad_(False)
    averaged.discriminator = None
    vgg = None
    if weights["perceptual"] > 0:
        vgg = perceptual_features(
            config, device, "training.losses.perceptual > 0", "set training.losses.perceptual to 0"
        )

    groups = [{"params": networks.renderer.parameters(), "peak": part["learning_rate"]}]
    if networks.points is not None:
        groups.append({"params": networks.points.parameters(), "peak": part["learning_rate"]})
    if not fixed_encoder:
        groups.append({"params": networks.encoder.parameters(), "peak": part["encoder_learning_rate"]})
    modules = {"networks": networks, "averaged": averaged}
    optimizers = {"optimizer": adam(groups, config)}
    if networks.discriminator is not None:
        groups = [{"params": networks.discriminator.parameters(), "peak": part["learning_rate"]}]
        optimizers["discriminator_optimizer"] = adam(groups, config)

    steps, tick = steps_of(part["kimg"], batch_size), max(1, steps_of(settings["tick_kimg"], batch_size))
    fingerprint = run_fingerprint(config, stage, dataset_dir, checkpoint.content_hash(init))
    best = Best(averaged)
    modules["best"] = best.module
    start, state = checkpoint.restore(checkpoint_dir, fingerprint, modules, optimizers) or (0, None)
    if state:
        best.score, best.step = state["best"]
    smallest = min(min(dataset.view(photo).labels.shape) for photo in dataset.train_ids)
    judged_from = steps - round(part["adversarial_share"] * steps)
    whole_from = (part["quarter_resolution_share"] + part["half_resolution_share"]) * steps
    log = TrainingLog(out_dir, stage, steps, batch_size, start, state, writes=first)
    if start == 0 and first:
        sheet, scores = validate(averaged, dataset, spec, device)
        log.samples(0, sheet)
        best.offer(averaged, scores.get("val_psnr") if patience else None, 0)
    log.restart_clock()

    def save(done: int) -> None:
        state = {**log.state(), "best": [best.score, best.step]}
        checkpoint.save(checkpoint_dir, fingerprint, done, modules, optimizers, state)

    done, hopeless = start, torch.zeros(())
    with signals.StopSignal(patient=parallel.size() > 1) as stop:
        for step in range(start, steps):
            shift = halvings(part, step / steps, smallest)
            judged = networks.discriminator is not None and step >= judged_from
            crops = batch_size * crops_for_one(settings["crop_size"], smallest >> shift)
            rng = generator_of(seed, stage, step)
            torch.manual_seed(int(rng.integers(2**63)))
            ids = photos_of(dataset.train_ids, seed, stage, step, crops)
            views = [jittered(dataset.view(photo), rng, settings["colour_jitter"]) for photo in ids]
            regions = [random_region(rng, settings["partial_appearance"]) for _ in ids]
            mine = parallel.part_of(crops)
            batch = crop_batch(views, regions, spec, transient, settings["crop_size"], shift, rng, mine)
            for optimizer in optimizers.values():
                rate = set_learning_rates(optimizer, config, step, steps)
                optimizer.zero_grad(set_to_none=True)

            # Renderer, point channels and encoder
            step_losses: dict[str, Tensor] = {}
            pictures = []  # of each piece, for the discriminator
            for piece in batch.pieces(-(-settings["accumulate"] // parallel.size())):
                share = len(piece) / crops
                piece = piece.to(device)
                with autocast(device):
                    z = encode(networks.encoder, piece.seen, device)
                    output = networks.render(piece.rasters, piece.index, z)
                output = output.float()
                # Where the photo shows something transient the target is the output itself: no loss can see the photo.
                target = torch.where(piece.keep > 0, piece.photo, output.detach())
                found = picture_losses(output, target, piece.keep, weights, vgg)
                if judged:
                    networks.discriminator.requires_grad_(False)
                    with autocast(device):
                        scores = networks.discriminator(piece.rasters[0], output)
                    found["adversarial"] = losses.lsgan_generator([score.float() for score in scores])
                    pictures.append((piece.rasters[0], output.detach(), target))
                found["total"] = sum(weights[name] * loss for name, loss in found.items())
                (share * found["total"]).backward()
                add_to(step_losses, found, share)
            parallel.sum_gradients(optimizers["optimizer"])
            optimizers["optimizer"].step()

            if judged:
                networks.discriminator.requires_grad_(True)
                for level, output, target in pictures:
                    share = len(output) / crops
                    with autocast(device):
                        real, fake = networks.discriminator(level, target), networks.discriminator(level, output)
                    loss = losses.lsgan_discriminator([r.float() for r in real], [f.float() for f in fake])
                    (share * loss).backward()
                    add_to(step_losses, {"discriminator": loss}, share)
                parallel.sum_gradients(optimizers["discriminator_optimizer"])
                optimizers["discriminator_optimizer"].step()

            update_average(averaged, networks, settings["ema_decay"], step)
            log.add(step, parallel.summed(step_losses))

            done = step + 1
            if first and (done % tick == 0 or done == steps):
                sheet, scores = validate(averaged, dataset, spec, device)
                best.offer(averaged, scores.get("val_psnr") if patience and not judged else None, done)
                log.tick(done, {**scores, "learning_rate": rate})
                log.samples(done, sheet)
                save(done)
                log.restart_clock()
                hopeless.fill_(patience > 0 and done - max(best.step, whole_from) >= patience * tick)
            parallel.agree(stop, device)
            if stop.received:
                if first:
                    save(done)
                parallel.wait()
                stop.leave()
            if done % tick == 0:
                parallel.spread(hopeless, device)
            if hopeless:
                break

    log.close()
    if not first:
        return
    ended = "budget" if done == steps else "validation"
    kimg, best_kimg = done * batch_size / 1000, best.step * batch_size / 1000
    reason = {
        "budget": f"its budget of {part['kimg']:g} kimg is spent",
        "validation": f"no better validation for {patience} ticks (budget: {part['kimg']:g} kimg)",
    }[ended]
    logger.info("%s ended after %.2f kimg: %s; kept are the weights of %.2f kimg", stage, kimg, reason, best_kimg)
    trained = dict(best.module.named_children())
    if networks.discriminator is not None:
        trained["discriminator"] = networks.discriminator
    facts = {"spec": spec, "transient": transient, "splat": dataset.meta["splat"]}
    finish(out_dir, checkpoint_dir, stage, trained, config, ended=ended, kimg=kimg, best_kimg=best_kimg, **facts)


def halvings(part: Mapping, done: float, smallest: int) -> int:
    """How often the pictures of a step are halved: first twice, then once, then not at all, as the stage says.

    part: the stage's configuration. done: share of the stage that is over. smallest: shortest side of all pictures,
    pixels; none gets too small for the losses.
    """
    quarter = part["quarter_resolution_share"]
    wanted = 2 if done < quarter else 1 if done < quarter + part["half_resolution_share"] else 0
    return next(shift for shift in range(wanted, -1, -1) if shift == 0 or smallest >> shift >= SMALLEST_SIDE)


def picture_losses(
    output: Tensor, target: Tensor, keep: Tensor, weights: Mapping[str, float], vgg: VGGFeatures | None
) -> dict[str, Tensor]:
    """The losses with a weight that compare pictures (B, 3, H, W) in [-1, 1] where keep (B, 1, H, W) is 1."""
    compare = {
        "l1": losses.l1,
        "gradient": losses.gradient,
        "dssim": losses.dssim,
        "perceptual": lambda *pictures: perceptual_loss(vgg, *pictures),
    }
    return {name: loss(output, target, keep) for name, loss in compare.items() if weights[name] > 0}


def add_to(totals: dict[str, Tensor], values: Mapping[str, Tensor], share: float) -> None:
    """Add a piece's losses to the step's, by the piece's share of the batch."""
    for name, value in values.items():
        totals[name] = totals.get(name, 0.0) + share * value.detach()


@torch.no_grad()
def validate(
    networks: Networks, dataset: PackedDataset, spec: BufferSpec, device: torch.device
) -> tuple[np.ndarray, dict[str, float]]:
    """Render whole photos with their own appearance.

    Returns a sheet (H, W, 3) uint8 with a row raw render | output | photo for the same few validation and training
    photos every time, and `val_l1` (of values in [0, 1]) and `val_psnr` (dB) over the lasting pixels of validation
    photos, a mean over photos.
    """
    shown = [*dataset.val_ids[: SAMPLES["val"]], *dataset.train_ids[: SAMPLES["train"]]]
    scored = dataset.val_ids[:VALIDATION_PHOTOS]
    rows, absolute, psnr = [], [], []
    for photo in dict.fromkeys([*shown, *scored]):
        view = dataset.view(photo)
        rasters, index, target, keep = crop(view, spec, dataset.meta["transient"])
        with autocast(device):
            z = encode(networks.encoder, [encoder_input(view, spec, dataset.meta["transient"])], device)
            rasters = [level[None].to(device) for level in rasters]
            index = None if index is None else [level[None].to(device) for level in index]
            output = networks.render(rasters, index, z)[0].float().clamp(-1, 1).cpu()
        if photo in scored and keep.any():
            error = (output - target)[:, keep[0] > 0] / 2
            absolute.append(error.abs().mean().item())
            psnr.append(-10 * np.log10(max(error.square().mean().item(), 1e-10)))
        if photo in shown:
            picture = ((output + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            rows.append([view.color[0], picture, view.photo])
    scores = {"val_l1": float(np.mean(absolute)), "val_psnr": float(np.mean(psnr))} if psnr else {}
    return sheet_of(rows), scores
