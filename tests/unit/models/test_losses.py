"""Losses against closed forms and reference implementations."""

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from nrw.models import losses


def pictures(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(shape, generator=generator) * 2 - 1 for _ in range(2))


def half_mask(x: torch.Tensor) -> torch.Tensor:
    """Keep the left half."""
    keep = torch.ones_like(x[:, :1])
    keep[..., x.shape[-1] // 2 :] = 0
    return keep


def test_l1_in_closed_form():
    x, y = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    y[:, :, :, :2] = 0.5
    y[:, :, :, 2:] = -2.0
    assert losses.l1(x, y).item() == 1.25
    assert losses.l1(x, y, half_mask(x)).item() == 0.5
    assert losses.l1(x, y, torch.zeros(2, 1, 4, 4)).item() == 0


def test_gradient_of_a_ramp():
    """Against a flat picture, a ramp of slope 0.01 along x: 0.01, 0.02, 0.04 and 0.08 at the four scales; 0 along y."""
    ramp = (torch.arange(64.0) * 0.01).expand(1, 3, 64, 64)
    expected = (0.01 + 0.02 + 0.04 + 0.08) / 2 / 4
    assert losses.gradient(torch.zeros_like(ramp), ramp).item() == pytest.approx(expected, rel=1e-4)
    assert losses.gradient(ramp + 0.3, ramp).item() == pytest.approx(0, abs=1e-6)


def test_gradient_skips_differences_that_touch_a_masked_pixel():
    ramp = (torch.arange(64.0) * 0.01).expand(1, 3, 64, 64).clone()
    keep = half_mask(ramp)
    damaged = ramp.clone()
    damaged[..., 32:] = 9.0
    assert losses.gradient(damaged, ramp, keep).item() == pytest.approx(0, abs=1e-6)
    expected = (0.01 + 0.02 + 0.04 + 0.08) / 2 / 4
    assert losses.gradient(torch.zeros_like(ramp), ramp, keep).item() == pytest.approx(expected, rel=1e-4)


def test_dssim_agrees_with_torchmetrics():
    x, noise = pictures(2, 3, 40, 52)
    y = (0.7 * x + 0.3 * noise).clamp(-1, 1)
    _, reference = structural_similarity_index_measure(
        (x + 1) / 2, (y + 1) / 2, data_range=1.0, sigma=1.5, return_full_image=True
    )
    inside = reference[..., 5:-5, 5:-5]  # torchmetrics reflects the picture at its borders
    assert losses.dssim(x, y).item() == pytest.approx(1 - inside.mean().item(), abs=1e-5)
    assert losses.dssim(x, x).item() == pytest.approx(0, abs=1e-6)


def test_dssim_of_flat_pictures():
    """Without variance SSIM is (2ab + C1) / (a² + b² + C1)."""
    x, y = torch.full((1, 3, 16, 16), -0.5), torch.full((1, 3, 16, 16), 0.5)
    expected = 1 - (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert losses.dssim(x, y).item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("loss", [losses.l1, losses.gradient, losses.dssim])
def test_masked_pixels_neither_count_nor_learn(loss):
    x, y = pictures(1, 3, 32, 48)
    keep = half_mask(x)
    output = x.clone().requires_grad_()
    value = loss(output, y, keep)
    value.backward()
    assert (output.grad * (1 - keep)).abs().max() == 0
    assert (output.grad * keep).abs().max() > 0
    assert loss(torch.where(keep > 0, x, 7.0), y, keep).item() == pytest.approx(value.item(), abs=1e-6)
    assert value.item() != pytest.approx(loss(x, y).item(), abs=1e-6)
    assert loss(x, y, torch.ones_like(keep)).item() == pytest.approx(loss(x, y).item(), rel=1e-5)


def test_lsgan_in_closed_form():
    real, fake = [torch.full((2, 1, 4, 4), 1.0), torch.full((2, 1, 2, 2), 0.5)], [torch.zeros(2, 1, 4, 4)] * 2
    assert losses.lsgan_discriminator(real, fake).item() == 0.25
    assert losses.lsgan_discriminator(fake, real).item() == (1 + 1) + (1 + 0.25)
    assert losses.lsgan_generator(real).item() == 0.25
    assert losses.lsgan_generator(fake).item() == 2


def test_triplet_loss_in_closed_form():
    anchor = torch.zeros(2, 2)
    positive = torch.tensor([[0.3, 0.0], [1.0, 0.0]])
    negative = torch.tensor([[0.0, 2.0], [0.5, 0.0]])
    # the first is satisfied: 0.09 - 4 + 0.1 < 0; the second costs 1 - 0.25 + 0.1
    assert losses.triplet_loss(anchor, positive, negative, 0.1).item() == pytest.approx(0.85 / 2)
