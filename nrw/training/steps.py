"""The optimisation steps of stages 2 and 3: the renderer's, and the discriminator's.

A batch may be computed in pieces and by several processes. The losses of a piece are weighted by its share of the whole
batch, so that the gradients add up to those of the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nrw.models import losses
from nrw.models.build import Networks
from nrw.models.inputs import encode
from nrw.models.perceptual import VGGFeatures, perceptual_loss
from nrw.training import parallel
from nrw.training.sampler import Batch
from nrw.training.stage import autocast


@dataclass(frozen=True)
class Rendered:
    """What the discriminator judges of a piece: level 0 of the buffer (B, C, H, W), output and target (B, 3, H, W)."""

    raster: Tensor
    output: Tensor
    target: Tensor


def renderer_step(
    networks: Networks,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    training: Mapping,
    vgg: VGGFeatures | None,
    adversarial: bool,
    device: torch.device,
) -> tuple[dict[str, Tensor], list[Rendered]]:
    """Move renderer, point channels and encoder by this process's part of a batch.

    training: the section, of which `accumulate` and `losses` are read. adversarial: whether the discriminator judges.
    Returns the losses, scaled by the part's share of the batch, and for the discriminator what was rendered.
    """
    weights, whole = training["losses"], len(batch) * parallel.world_size()
    discriminator = networks.discriminator if adversarial else None
    if discriminator is not None:
        discriminator.requires_grad_(False)
    totals: dict[str, Tensor] = {}
    rendered = []
    for piece in batch.pieces(-(-training["accumulate"] // parallel.world_size())):
        piece = piece.to(device)
        with autocast(device):
            z = encode(networks.encoder, piece.seen, device)
            output = networks.render(piece.rasters, piece.index, z)
        output = output.float()
        # Where the photo shows something transient the target is the output itself: no loss can see the photo.
        target = torch.where(piece.keep > 0, piece.pixels, output.detach())
        found = picture_losses(output, target, piece.keep, weights, vgg)
        if discriminator is not None:
            with autocast(device):
                scores = discriminator(piece.rasters[0], output)
            found["adversarial"] = losses.lsgan_generator([score.float() for score in scores])
            rendered.append(Rendered(piece.rasters[0], output.detach(), target))
        found["total"] = sum(weights[name] * loss for name, loss in found.items())
        share = len(piece) / whole
        (share * found["total"]).backward()
        add_to(totals, found, share)
    parallel.sum_gradients(optimizer)
    optimizer.step()
    return totals, rendered


def discriminator_step(
    discriminator: nn.Module, optimizer: torch.optim.Optimizer, rendered: list[Rendered], device: torch.device
) -> dict[str, Tensor]:
    """Move the discriminator by what `renderer_step` rendered; returns its loss, scaled by the part's share."""
    whole = sum(len(piece.output) for piece in rendered) * parallel.world_size()
    discriminator.requires_grad_(True)
    totals: dict[str, Tensor] = {}
    for piece in rendered:
        with autocast(device):
            real = discriminator(piece.raster, piece.target)
            fake = discriminator(piece.raster, piece.output)
        loss = losses.lsgan_discriminator([score.float() for score in real], [score.float() for score in fake])
        share = len(piece.output) / whole
        (share * loss).backward()
        add_to(totals, {"discriminator": loss}, share)
    parallel.sum_gradients(optimizer)
    optimizer.step()
    return totals


def picture_losses(
    output: Tensor, target: Tensor, keep: Tensor, weights: Mapping[str, float], vgg: VGGFeatures | None
) -> dict[str, Tensor]:
    """Compare pictures (B, 3, H, W) in [-1, 1] where keep (B, 1, H, W) is 1, by each loss whose weight is above 0.

    Returns the losses without their weights. vgg: needed for the loss `perceptual` only.
    """

    def perceptual(output: Tensor, target: Tensor, keep: Tensor) -> Tensor:
        assert vgg is not None  # given where the loss has a weight
        return perceptual_loss(vgg, output, target, keep)

    compare = {"l1": losses.l1, "gradient": losses.gradient, "dssim": losses.dssim, "perceptual": perceptual}
    return {name: loss(output, target, keep) for name, loss in compare.items() if weights[name] > 0}


def add_to(totals: dict[str, Tensor], values: Mapping[str, Tensor], share: float) -> None:
    """Add the losses of a piece, times its share of the batch, to the totals."""
    for name, value in values.items():
        totals[name] = totals.get(name, 0.0) + share * value.detach()
