"""Renderers, appearance encoders, discriminators and how they are put together."""

import copy

import pytest
import torch
import torch.nn.functional as F

from nrw.core.errors import UserError
from nrw.models import paper2019
from nrw.models.appearance import AppearanceEncoder, apply_colours
from nrw.models.build import build_networks
from nrw.models.discriminator import MinibatchDeviation, MultiScaleDiscriminator
from nrw.models.generator import FilmUNet
from nrw.models.inputs import BufferSpec
from nrw.models.layers import ScaledConv2d, pad_levels, pixel_norm

NETWORK = {"architecture": "film", "base_width": 8, "max_width": 32, "stages": 3, "z_dim": 8}
CONFIG = {
    "network": NETWORK,
    "training": {"losses": {"adversarial": 0.0}},
}
SPEC = BufferSpec("corrected", 3, True, 3, 4, 100, (1, 2), 1.0, 10.0)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def pyramid(batch: int, channels: int, height: int, width: int, levels: int) -> list[torch.Tensor]:
    return [torch.randn(batch, channels, -(-height // 2**level), -(-width // 2**level)) for level in range(levels)]


def n_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def size_of(network: type[torch.nn.Module]) -> int:
    """Parameters of a network built with its defaults, without allocating them."""
    with torch.device("meta"):
        return n_parameters(network())


# --- layers


def test_pixel_norm_by_hand():
    x = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    assert torch.allclose(pixel_norm(x).flatten(), torch.tensor([3.0, 4.0]) / 12.5**0.5)


@pytest.mark.parametrize(("size", "stride", "extent", "out"), [(3, 1, 7, 7), (4, 1, 7, 7), (4, 2, 8, 4), (4, 2, 7, 4)])
def test_scaled_convolution_keeps_the_size_and_the_variance(size, stride, extent, out):
    layer = ScaledConv2d(64, 128, size, stride, leak=1)
    y = layer(torch.randn(8, 64, extent, extent))
    assert y.shape == (8, 128, out, out)
    assert torch.isclose(layer.weight.std(), torch.tensor(1.0), rtol=0.02)
    assert torch.isclose(y[..., 1 : out - 2, 1 : out - 2].std(), torch.tensor(1.0), rtol=0.1)


def test_scaled_convolution_pads_the_odd_row_below_as_tensorflow_does():
    layer = ScaledConv2d(1, 1, 4, leak=1)
    with torch.no_grad():
        layer.weight.zero_()[0, 0, 3, 3] = 4.0  # He's constant for 16 inputs is 1/4: a shift by two pixels
    x = torch.arange(25.0).view(1, 1, 5, 5)
    assert torch.equal(layer(x)[0, 0, :3, :3], x[0, 0, 2:, 2:])
    assert torch.equal(layer(x)[0, 0, 3:], torch.zeros(2, 5))


def test_pad_levels_repeats_the_border_and_rejects_what_is_no_pyramid():
    levels = pad_levels([torch.rand(1, 1, 24, 40), torch.rand(1, 1, 12, 20)], 16)
    assert [tuple(level.shape[-2:]) for level in levels] == [(32, 48), (16, 24)]
    assert torch.equal(levels[1][0, 0, 12:, :20], levels[1][0, 0, 11:12, :20].expand(4, -1))
    with pytest.raises(ValueError, match="level 1"):
        pad_levels([torch.rand(1, 1, 24, 40), torch.rand(1, 1, 24, 40)], 16)


# --- our renderer


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


def test_film_unet_treats_each_picture_of_a_batch_alone():
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


# --- our encoder and discriminator


def photo_and_buffer(batch, height, width, seed=0):
    """x of an encoder for SPEC: a random photo beside a random buffer, half of it empty."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, 3 + SPEC.raster_channels, height, width, generator=generator) * 2 - 1
    hit = torch.arange(height)[:, None].expand(height, width) > height // 2
    x[:, 3:8] *= hit
    x[:, 7] = hit.float()
    return x


def test_encoder_ignores_what_is_masked():
    encoder = AppearanceEncoder(SPEC, 8)
    x, keep = photo_and_buffer(2, 64, 48), torch.ones(2, 1, 64, 48)
    keep[..., 24:] = 0
    changed = torch.where(keep > 0, x, torch.full_like(x, 5.0))
    z = encoder(x, keep)
    assert z.shape == (2, encoder.z_size) == (2, 3 * SPEC.colour_terms + 8)
    assert torch.allclose(z, encoder(changed, keep), atol=1e-5)
    whole = encoder(x)
    assert (encoder.learned(z) - encoder.learned(whole)).abs().max() > 1e-3
    assert torch.equal(whole, encoder(x, torch.ones_like(keep)))


def test_encoder_averages_over_the_kept_part_only():
    """In a photo of one colour, away from the borders, the mean over a kept half is that of the whole."""
    encoder = AppearanceEncoder(SPEC, 8)
    x = torch.full((1, 3 + SPEC.raster_channels, 512, 512), 0.3)
    keep = torch.ones(1, 1, 512, 512)
    keep[..., 256:] = 0
    half, whole = encoder.learned(encoder(x, keep)), encoder.learned(encoder(x))
    assert (half - whole).abs().max() < 0.2 * whole.abs().max()


def test_learned_codes_are_inside_the_cube_and_all_are_finite_when_all_is_masked():
    encoder = AppearanceEncoder(SPEC, 8)
    assert encoder.learned(encoder(100 * photo_and_buffer(4, 40, 24))).abs().max() <= 1
    z = encoder(photo_and_buffer(1, 40, 24), torch.zeros(1, 1, 40, 24))
    colours = z[:, : 3 * SPEC.colour_terms].view(-1, 3)
    assert torch.allclose(colours, encoder.usual_colours, atol=1e-5)  # nothing is known of the photo


def test_brightness_changes_the_code():
    encoder = AppearanceEncoder(SPEC, 8)
    x = photo_and_buffer(1, 64, 64)
    darker = torch.cat([x[:, :3] * 0.5, x[:, 3:]], dim=1)
    assert (encoder.learned(encoder(x)) - encoder.learned(encoder(darker))).abs().max() > 1e-2


def test_colours_are_measured_and_painted():
    """A photo that is another exposure of the render, under a sky that brightens upwards, over a lawn: all is found."""
    encoder = AppearanceEncoder(SPEC, 8)
    x = photo_and_buffer(2, 64, 48, seed=1)
    raster, hit = x[:, 3:], x[:, 7:8]
    elevation = torch.linspace(0.6, -0.6, 64)[:, None].expand(64, 48)
    raster[:, 7] = elevation
    sky = torch.tensor([0.1, 0.3, 0.6])[:, None, None] + elevation * 0.4
    empty = torch.where(elevation > 0, sky, torch.tensor([-0.5, 0.1, -0.8])[:, None, None])
    seen = raster[:, :3].flip(1) * 0.7 + 0.1
    x[:, :3] = torch.where(hit > 0, seen, empty)
    z = encoder(x)
    error = (apply_colours(SPEC, raster, z) - x[:, :3]).abs()
    clear = elevation.abs() > 0.06  # off the horizon
    assert error[..., clear].mean() < 0.01 and error[..., clear].max() < 0.1
    left = torch.ones(2, 1, 64, 48)
    left[..., 24:] = 0
    assert (apply_colours(SPEC, raster, encoder(x, left)) - x[:, :3]).abs()[..., clear].mean() < 0.01
    between = apply_colours(SPEC, raster, z.mean(dim=0, keepdim=True))  # appearances mix as pictures do
    apart = [apply_colours(SPEC, raster[:1], code[None]) for code in z]
    assert torch.allclose(between[:1], (apart[0] + apart[1]) / 2, atol=1e-5)


def test_an_untrained_renderer_shows_the_measured_colours():
    networks = build_networks(CONFIG, SPEC)
    x = photo_and_buffer(1, 64, 48)
    levels = [F.avg_pool2d(x[:, 3:], 1 << level) for level in range(SPEC.levels)]
    index = [torch.zeros(level.shape[0], *level.shape[2:], dtype=torch.long) for level in levels]
    z = networks.encoder(x)
    assert torch.allclose(networks.render(levels, index, z), apply_colours(SPEC, x[:, 3:], z))


def test_minibatch_deviation_by_hand():
    x = torch.stack([torch.zeros(2, 3, 3), torch.full((2, 3, 3), 4.0)])
    y = MinibatchDeviation()(x)
    assert y.shape == (2, 3, 3, 3)
    assert torch.allclose(y[:, 2], torch.tensor(2.0))
    assert torch.equal(y[:, :2], x)


def test_discriminator_maps_and_conditioning():
    discriminator = MultiScaleDiscriminator(3 + 5, filters=8)
    level, image = torch.randn(2, 5, 96, 64), torch.randn(2, 3, 96, 64)
    maps = discriminator(level, image)
    assert [tuple(m.shape) for m in maps] == [(2, 1, 12, 8), (2, 1, 6, 4), (2, 1, 3, 2)]
    others = discriminator(level + 1, image)
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(maps, others, strict=True))


# --- the networks of 2019


def convolution(size: int, channels_in: int, channels_out: int) -> int:
    return size * size * channels_in * channels_out + channels_out


def test_paper_renderer_has_the_parameters_of_the_notes():
    """From-RGB; six encoder stages; six decoder stages, the first from the bottleneck and z (512 + 8 channels), the
    others from twice their width, as skips are concatenated; to-RGB."""
    widths = [min(2 ** (11 - stage), 512) for stage in range(7)]
    assert widths == [512, 512, 512, 256, 128, 64, 32]
    count = convolution(1, 7, 32)
    for above, below in zip([32, 64, 128, 256, 512, 512], [64, 128, 256, 512, 512, 512], strict=True):
        count += convolution(3, above, below) + convolution(3, below, below)
    for below, above in zip([520, 1024, 1024, 512, 256, 128], [512, 512, 256, 128, 64, 32], strict=True):
        count += convolution(3, below, above) + convolution(3, above, above)
    count += convolution(1, 32, 3)
    assert size_of(paper2019.Renderer) == count


def test_paper_encoder_has_the_parameters_of_the_notes():
    count = convolution(4, 10, 64)
    for below, above in [(64, 128), (128, 192), (192, 256)]:
        count += convolution(3, below, above) + convolution(3, above, above) + convolution(1, below, above)
    count += 2 * (256 * 8 + 8)
    assert size_of(paper2019.AppearanceEncoder) == count


def test_paper_discriminator_has_the_parameters_of_the_notes():
    """Per scale: 10 → 64 → 128 → 256, a deviation channel, → 512 → 1; instance norm (scale, shift) but at the ends."""
    scale = convolution(4, 10, 64) + convolution(4, 64, 128) + 2 * 128 + convolution(4, 128, 256) + 2 * 256
    scale += convolution(4, 256 + 1, 512) + 2 * 512 + convolution(4, 512, 1)
    assert size_of(paper2019.Discriminator) == 3 * scale


def test_paper_shapes():
    small = torch.randn(1, 7, 40, 72)
    with torch.no_grad():
        assert paper2019.Renderer()([small], torch.randn(1, 8)).shape == (1, 3, 40, 72)
        assert paper2019.AppearanceEncoder()(torch.randn(1, 10, 64, 48)).shape == (1, 8)
        maps = paper2019.Discriminator()(torch.randn(1, 7, 64, 64), torch.randn(1, 3, 64, 64))
    assert [tuple(m.shape) for m in maps] == [(1, 1, 8, 8), (1, 1, 4, 4), (1, 1, 2, 2)]


def test_paper_code_is_mean_plus_deviation_and_masks_hold():
    encoder = paper2019.AppearanceEncoder()
    with torch.no_grad():
        encoder.mean.weight.zero_()
        encoder.logvar.weight.zero_()
        encoder.mean.bias.fill_(0.25)
        encoder.logvar.bias.fill_(2.0)
    assert torch.allclose(encoder(torch.randn(1, 10, 32, 32)), torch.tensor(0.25) + torch.tensor(1.0).exp())
    encoder = paper2019.AppearanceEncoder()
    x, keep = torch.randn(1, 10, 32, 32), torch.ones(1, 1, 32, 32)
    assert torch.allclose(encoder(x), encoder(x, keep), atol=1e-6)
    keep[..., 16:] = 0
    assert torch.equal(encoder(x, keep), encoder(torch.where(keep > 0, x, 9.0), keep))


# --- put together


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
    assert networks.render([torch.zeros(1, 5, 16, 16)], [None], torch.zeros(1, networks.encoder.z_size)).shape == (
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
