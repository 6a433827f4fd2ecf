"""One optimisation step of stages 2 and 3.

A batch may be computed in pieces and by several processes. The losses of a piece are weighted by its share of the whole
batch, so that the gradients add up to those of the batch.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nrw.models import losses
from nrw.models.build import Networks
from nrw.models.perceptual import VGGFeatures, perceptual_loss
from nrw.training import parallel
from nrw.training.sampler import Batch


def optimize(
    networks: Networks,
    optimizer: torch.optim.Optimizer,
    judge: torch.optim.Optimizer | None,
    batch: Batch,
    training: Mapping,
    vgg: VGGFeatures | None,
) -> dict[str, Tensor]:
    """Move renderer, point channels and encoder, and the discriminator, by this process's part of a batch.

    judge: the discriminator's optimizer; None while it does not judge. training: the section, of which `accumulate` and
    `losses` are read. Returns the losses, scaled by the part's share of the batch.
    """
    weights, whole = training["losses"], len(batch) * parallel.world_size()
    totals: dict[str, Tensor] = {}
    for piece in batch.pieces(-(-training["accumulate"] // parallel.world_size())):
        share = len(piece) / whole
        output = networks.render(piece.rasters, piece.index, networks.encoder.encode(piece.seen))
        # Where the photo shows something transient the target is the output itself: no loss can see the photo.
        target = torch.where(piece.keep > 0, piece.pixels, output.detach())
        found = picture_losses(output, target, piece.keep, weights, vgg)
        if judge is not None:
            assert networks.discriminator is not None  # whose optimizer it is
            found["adversarial"], judged = opposed(networks.discriminator, piece.rasters[0], output, target)
            (share * judged).backward(inputs=list(networks.discriminator.parameters()))
            add_to(totals, {"discriminator": judged}, share)
        found["total"] = sum(weights[name] * loss for name, loss in found.items())
        (share * found["total"]).backward()
        add_to(totals, found, share)
    for moved in (optimizer, judge):
        if moved is not None:
            parallel.sum_gradients(moved)
            moved.step()
    return totals


def opposed(discriminator: nn.Module, raster: Tensor, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of renderer and discriminator over a picture: the discriminator judges it once for both.

    raster: level 0 of the buffer (B, C, H, W). output, target: (B, 3, H, W). The gradient of the first loss reaches the
    output alone, that of the second the discriminator alone.
    """
    fake = output.detach().requires_grad_()
    scores = discriminator(raster, fake)
    loss = losses.lsgan_generator(scores)
    (slope,) = torch.autograd.grad(loss, fake, retain_graph=True)
    of_output = loss.detach() + ((output - fake.detach()) * slope).sum()
    return of_output, losses.lsgan_discriminator(discriminator(raster, target), scores)


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
