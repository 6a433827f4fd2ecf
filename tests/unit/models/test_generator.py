"""Our renderer."""

import pytest
import torch
import torch.nn.functional as F
from small_networks import NETWORK, pyramid

from nrw.core.errors import UserError
from nrw.models.generator import FilmUNet


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 56), (24, 8), (45, 31)])
def test_film_unet_returns_the_size_that_it_gets(height, width):
    net = FilmUNet(NETWORK, [5, 6, 7], 8)
    levels = [torch.randn(2, 5 + level, -(-height // 2**level), -(-width // 2**level)) for level in range(3)]
    assert net(levels, torch.randn(2, 8)).shape == (2, 3, height, width)


def test_film_unet_pads_by_repetition():
    """A 40×40 buffer gives what the same buffer gives after repeating its border to 48×48."""
    net = FilmUNet({**NETWORK, "stages": 4}, [3, 3], 8)
    levels, z = pyramid(1, 3, 40, 40, 2), torch.randn(1, 8)
    extended = [F.pad(level, [0, 8 >> i, 0, 8 >> i], mode="replicate") for i, level in enumerate(levels)]
    assert torch.allclose(net(levels, z), net(extended, z)[..., :40, :40], atol=1e-5)


def test_z_changes_every_pixel_and_z_alone_is_enough():
    net = FilmUNet(NETWORK, [5, 5], 8)
    empty = [torch.zeros(1, 5, 32, 32), torch.zeros(1, 5, 16, 16)]  # sky: nothing in the buffer
    a, b = net(empty, torch.zeros(1, 8)), net(empty, torch.ones(1, 8))
    assert ((a - b).abs().amax(dim=1) > 1e-3).all()


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_buffer_level_reaches_the_picture(level):
    net = FilmUNet(NETWORK, [5, 5, 5], 8)
    levels, z = pyramid(1, 5, 32, 32, 3), torch.randn(1, 8)
    before = net(levels, z)
    levels[level] = levels[level] + 1
    assert (net(levels, z) - before).abs().mean() > 1e-3


def test_film_unet_moves_with_its_input():
    """A shift by 2^stages pixels shifts the picture, away from its borders: nothing is normalised over an area."""
    net = FilmUNet({**NETWORK, "stages": 2}, [4, 4], 8)
    large = pyramid(1, 4, 96, 96, 2)
    z = torch.randn(1, 8)
    here, there = ([level[..., : 88 >> i, : 88 >> i], level[..., 8 >> i :, 8 >> i :]] for i, level in enumerate(large))
    a, b = net([here[0], there[0]], z), net([here[1], there[1]], z)
    assert torch.allclose(a[..., 40:56, 40:56], b[..., 32:48, 32:48], atol=1e-5)


def test_film_unet_treats_each_picture_of_a_batch_alone(float32):
    net = FilmUNet(NETWORK, [4], 8)
    x, z = torch.randn(3, 4, 32, 32), torch.randn(3, 8)
    assert torch.allclose(net([x], z)[1:2], net([x[1:2]], z[1:2]), atol=1e-5)


def test_film_unet_upsamples_without_checkerboards():
    """From a constant buffer, only the borders' padding makes a pattern: the middle of the picture is constant."""
    net = FilmUNet({**NETWORK, "stages": 2}, [4], 8)
    picture = net([torch.ones(1, 4, 96, 96)], torch.randn(1, 8))
    middle = picture[..., 40:56, 40:56]
    assert (middle - middle.mean(dim=(2, 3), keepdim=True)).abs().max() < 1e-5


def test_more_levels_than_stages_is_the_users_error():
    with pytest.raises(UserError, match=r"buffer\.levels is 5.*network\.stages = 3"):
        FilmUNet(NETWORK, [4] * 5, 8)


def test_every_parameter_learns():
    net = FilmUNet(NETWORK, [4, 5], 8)
    net([torch.randn(2, 4, 32, 32), torch.randn(2, 5, 16, 16)], torch.randn(2, 8)).square().mean().backward()
    assert [name for name, parameter in net.named_parameters() if not parameter.grad.abs().max() > 0] == []


def test_an_empty_part_of_the_buffer_does_not_blow_up_the_gradients():
    """Features of exactly 0, where pixel norm is steepest, pass through every stage."""
    net = FilmUNet({**NETWORK, "stages": 4}, [4], 8)
    x = torch.randn(1, 4, 64, 64)
    x[..., :32] = 0
    net([x], torch.randn(1, 8)).abs().mean().backward()
    assert max(parameter.grad.norm() for parameter in net.parameters()) < 10


def test_film_unet_overfits_one_picture():
    net = FilmUNet({**NETWORK, "base_width": 16, "stages": 2}, [4, 4], 8)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    target = torch.stack([x, y, (x * y > 0).float()])[None] * 0.8
    buffer = torch.cat([x[None], y[None], (x * y)[None], torch.ones(1, 32, 32)])[None]
    levels, z = [buffer, F.avg_pool2d(buffer, 2)], torch.randn(1, 8)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    losses = []
    for _ in range(60):
        loss = (net(levels, z) - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5


def test_bfloat16_changes_a_picture_little(monkeypatch):
    """Within the rounding of its 8 bits, through a network of 4 stages; the picture itself is float32."""
    net = FilmUNet({"base_width": 16, "max_width": 64, "stages": 4}, [12], 8)
    x, z = torch.randn(2, 12, 48, 64), torch.randn(2, 8)
    pictures = []
    for native in (False, True):
        monkeypatch.setattr("nrw.core.device.has_bfloat16", lambda device, native=native: native)
        pictures.append(net([x], z))
    assert pictures[1].dtype == torch.float32
    difference = (pictures[1] - pictures[0]).square().mean().sqrt() / pictures[0].square().mean().sqrt()
    assert 0 < difference < 0.02
