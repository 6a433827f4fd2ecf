"""Our appearance encoder."""

import torch
from small_networks import SPEC, photo_and_buffer

from nrw.models.appearance import AppearanceEncoder, Moments, cloud_map, fit_prior, paint_measured


def test_encoder_ignores_what_is_masked():
    encoder = AppearanceEncoder(SPEC, 8)
    x, keep = photo_and_buffer(2, 64, 48), torch.ones(2, 1, 64, 48)
    keep[..., 24:] = 0
    changed = torch.where(keep > 0, x, torch.full_like(x, 5.0))
    z = encoder(x, keep)
    assert z.shape == (2, encoder.z_size) == (2, 3 * SPEC.color_terms + 8)
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
    colors = z[:, : 3 * SPEC.color_terms].view(-1, 3)
    assert torch.allclose(colors, encoder.usual_colours, atol=1e-5)  # nothing is known of the photo


def test_brightness_changes_the_code():
    encoder = AppearanceEncoder(SPEC, 8)
    x = photo_and_buffer(1, 64, 64)
    darker = torch.cat([x[:, :3] * 0.5, x[:, 3:]], dim=1)
    assert (encoder.learned(encoder(x)) - encoder.learned(encoder(darker))).abs().max() > 1e-2


def test_photos_of_several_sizes_are_encoded_together_as_they_are_alone(float32):
    encoder = AppearanceEncoder(SPEC, 8)
    photos = [(photo_and_buffer(1, *size)[0], torch.ones(1, *size)) for size in ((40, 56), (64, 31), (19, 64))]
    photos[0][1][:, :20] = 0
    alone = torch.cat([encoder(x[None], keep[None]) for x, keep in photos])
    torch.testing.assert_close(encoder.encode(photos), alone, rtol=1e-4, atol=1e-5)


def test_colors_are_measured_and_painted():
    """A photo is another exposure of the render, under a sky that brightens upwards, over a lawn: all recovered."""
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
    error = (paint_measured(SPEC, raster, z) - x[:, :3]).abs()
    clear = elevation.abs() > 0.06  # off the horizon
    assert error[..., clear].mean() < 0.01 and error[..., clear].max() < 0.1
    left = torch.ones(2, 1, 64, 48)
    left[..., 24:] = 0
    assert (paint_measured(SPEC, raster, encoder(x, left)) - x[:, :3]).abs()[..., clear].mean() < 0.01
    between = paint_measured(SPEC, raster, z.mean(dim=0, keepdim=True))  # appearances mix as pictures do
    apart = [paint_measured(SPEC, raster[:1], code[None]) for code in z]
    assert torch.allclose(between[:1], (apart[0] + apart[1]) / 2, atol=1e-5)


def photos_of(maps, terms, noise, generator):
    """Second moments of photos (N) whose pixels are `terms` (N, P, K) times `maps` (N, K, 3), and noise."""
    pixels = terms @ maps + noise * torch.randn(*terms.shape[:2], 3, generator=generator)
    count = terms.shape[1]
    return Moments(terms.mT @ terms / count, terms.mT @ pixels / count, (pixels**2).mean(dim=1))


def test_what_is_usual_among_photos_is_found():
    generator = torch.Generator().manual_seed(0)
    usual = torch.tensor([[0.8, 0.1, 0.0], [0.0, 0.7, 0.2], [0.3, 0.3, 0.5]])
    spread = torch.tensor([0.02, 0.1, 0.3])  # of each term's colours
    maps = usual + spread[:, None] * torch.randn(300, 3, 3, generator=generator)
    terms = torch.rand(300, 200, 3, generator=generator)
    mean, precision = fit_prior(photos_of(maps, terms, 0.1, generator))
    assert (mean - maps.mean(dim=0)).abs().max() < 0.02
    found = torch.linalg.inv(precision).diagonal()
    noise = 0.1**2 / 500  # a precision is in units of the noise
    assert torch.allclose((found * noise).sqrt(), spread, rtol=0.25, atol=0.03)  # the prior counts as ten photos


def test_few_photos_in_one_light_do_not_forbid_another():
    generator = torch.Generator().manual_seed(0)
    usual = torch.tensor([[0.8, 0.1, 0.0], [0.0, 0.7, 0.2], [0.3, 0.3, 0.5]])
    terms = torch.rand(3, 200, 3, generator=generator)
    mean, precision = fit_prior(photos_of(usual.expand(2, 3, 3), terms[:2], 0.1, generator))
    darker = photos_of(0.5 * usual[None], terms[2:], 0.1, generator)
    found = torch.linalg.solve(darker.terms + precision, darker.mixed + precision @ mean)
    assert (terms[2:] @ (found - 0.5 * usual)).abs().mean() < 0.02


def test_a_photo_that_shows_half_of_the_terms_takes_the_others_from_the_usual():
    """What varies together among photos is inferred: the unseen term follows the seen one."""
    generator = torch.Generator().manual_seed(0)
    light = 0.2 * torch.randn(200, 1, 3, generator=generator)
    maps = torch.tensor([[0.5], [0.2], [0.4], [-0.1]]) + light * torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    terms = torch.rand(200, 100, 4, generator=generator)
    encoder = AppearanceEncoder(SPEC, 8)
    mean, precision = fit_prior(photos_of(maps, terms, 0.05, generator))
    seen = terms[:1] * torch.tensor([1.0, 0.0, 1.0, 0.0])
    moments = photos_of(maps[:1], seen, 0.0, generator)
    found = torch.linalg.solve(moments.terms + precision, moments.mixed + precision @ mean)[0]
    assert (found - maps[0]).abs().max() < 0.03
    unlike = (mean - maps[0]).abs()[1].max()
    assert unlike > 0.1  # without the link to the seen term it would be this far off
    size = SPEC.color_terms
    encoder.set_prior(torch.full((size, 3), 0.25), torch.eye(size))
    z = encoder(photo_and_buffer(1, 40, 24), torch.zeros(1, 1, 40, 24))
    assert torch.allclose(z[:, : 3 * size], torch.full((1, 3 * size), 0.25), atol=1e-5)
    assert {"precision", "usual_colours"} <= encoder.state_dict().keys()  # files of networks hold the prior


def test_points_are_painted_by_the_same_map_as_pixels():
    z = torch.randn(3 * SPEC.color_terms + 8)
    raster = torch.zeros(1, SPEC.raster_channels, 1, 1)
    color, lighting = torch.tensor([0.3, -0.2, 0.9]), torch.tensor([0.1, 0.5, -0.7])
    raster[0, :3, 0, 0], raster[0, 4], raster[0, -3:, 0, 0] = color, 1, lighting
    expected = torch.cat([color, torch.ones(1), lighting]) @ cloud_map(SPEC, z)
    assert torch.allclose(paint_measured(SPEC, raster, z[None])[0, :, 0, 0], expected, atol=1e-5)
