"""The networks put together."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small_networks import CONFIG, NETWORK, SPEC, n_parameters, photo_and_buffer, pyramid, size_of

from nrw.core.errors import UserError
from nrw.models import paper2019
from nrw.models.appearance import paint_measured
from nrw.models.build import build_networks, with_detail
from nrw.models.detail_channels import DARKEST
from nrw.models.inputs import BufferSpec


def test_an_untrained_renderer_shows_the_measured_colors():
    networks = build_networks(CONFIG, SPEC)
    x = photo_and_buffer(1, 64, 48)
    levels = [F.avg_pool2d(x[:, 3:], 1 << level) for level in range(SPEC.levels)]
    index = [torch.zeros(level.shape[0], *level.shape[2:], dtype=torch.long) for level in levels]
    z = networks.encoder(x)
    assert torch.allclose(networks.render(levels, index, z), paint_measured(SPEC, x[:, 3:], z))


def test_detail_is_a_factor_of_brightness():
    picture, logs = torch.tensor([0.5, -0.2, -1.0])[:, None, None], torch.full((3, 1, 1), 0.7).log()
    found = with_detail(picture, logs, torch.ones(1, 1, 1))
    assert torch.allclose((found + 1) / 2 + DARKEST, ((picture + 1) / 2 + DARKEST) * 0.7, atol=1e-6)
    assert torch.allclose(with_detail(picture, logs, torch.zeros(1, 1, 1)), picture, atol=1e-6)


def test_an_untrained_renderer_shows_the_measured_colors_times_the_detail():
    networks = build_networks(CONFIG, replace(SPEC, detail=True))
    x = photo_and_buffer(1, 64, 48)
    levels = [F.avg_pool2d(x[:, 3:], 1 << level) for level in range(SPEC.levels)]
    index = [torch.zeros(level.shape[0], *level.shape[2:], dtype=torch.long) for level in levels]
    z, detail = networks.encoder(x), torch.randn(1, 5, 64, 48) * 0.3
    measured = paint_measured(SPEC, x[:, 3:], z)
    picture = networks.render([*levels, detail], index, z)
    expected = with_detail(measured, detail[:, :3], torch.ones(1, 1, 64, 48))
    assert torch.allclose(picture, expected, atol=1e-5)
    plain = networks.render([*levels, torch.zeros_like(detail)], index, z)
    assert torch.allclose(plain, measured.clamp_min(-1), atol=1e-5)
    correction = networks.correct([*levels, detail], index, z)
    assert (correction.color == 0).all() and (correction.trust == 1).all()


def test_networks_render_with_learned_channels():
    networks = build_networks(CONFIG, SPEC)
    assert networks.discriminator is None
    torch.nn.init.normal_(networks.renderer.to_rgb.weight)  # as after some training
    rasters = pyramid(2, SPEC.raster_channels, 32, 48, 3)
    index = [torch.randint(-1, 100, (2, 32 >> level, 48 >> level)) for level in range(3)]
    z = networks.encoder(torch.cat([torch.zeros(2, 3, 32, 48), rasters[0]], dim=1))
    before = networks.render(rasters, index, z)
    assert before.shape == (2, 3, 32, 48)
    before.square().mean().backward()
    seen = torch.cat([level.flatten() for level in index]).unique()
    touched = networks.points.table.grad.abs().sum(dim=1) > 0
    assert touched.nonzero().flatten().tolist() == seen[seen >= 0].tolist()
    with torch.no_grad():
        networks.points.table.normal_()
    assert (networks.render(rasters, index, z) - before).abs().max() > 1e-3


def test_networks_without_points_ignore_the_index():
    spec = BufferSpec("corrected", 1, False, 0, 0, 0, (), 1.0, 10.0)
    networks = build_networks(CONFIG, spec)
    assert networks.points is None
    assert networks.render([torch.zeros(1, 5, 16, 16)], None, torch.zeros(1, networks.encoder.z_size)).shape == (
        1,
        3,
        16,
        16,
    )


def test_an_adversarial_weight_brings_the_discriminator():
    config = copy.deepcopy(CONFIG)
    config["training"]["losses"]["adversarial"] = 0.1
    discriminator = build_networks(config, SPEC).discriminator
    level, image = torch.randn(1, SPEC.raster_channels, 64, 64), torch.randn(1, 3, 64, 64)
    assert len(discriminator(level, image)) == 3


def test_paper_architecture_and_an_unknown_one():
    spec = BufferSpec("paper2019", 1, False, 0, 0, 0, (), 1.0, 10.0)
    with torch.device("meta"):
        networks = build_networks({**CONFIG, "network": {**NETWORK, "architecture": "paper2019"}}, spec)
    assert n_parameters(networks.renderer) == size_of(paper2019.Renderer)
    assert n_parameters(networks.encoder) == size_of(paper2019.AppearanceEncoder)
    assert n_parameters(networks.discriminator) == size_of(paper2019.Discriminator)
    with pytest.raises(UserError, match=r"network\.architecture is 'spade'"):
        build_networks({**CONFIG, "network": {**NETWORK, "architecture": "spade"}}, spec)


def test_equal_seeds_give_equal_networks():
    torch.manual_seed(5)
    a = build_networks(CONFIG, SPEC).state_dict()
    torch.manual_seed(5)
    b = build_networks(CONFIG, SPEC).state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
