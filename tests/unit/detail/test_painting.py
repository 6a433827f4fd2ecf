import torch
from small_networks import SPEC

from nrw.detail.painting import (
    SHARED,
    alpha_of,
    enlarged,
    joined,
    lit_points,
    sharpened,
    spread_out,
)
from nrw.geometry.pointcloud import decode_lighting
from nrw.models.appearance import paint_labels, paint_measured


def test_a_constant_stays_constant_and_nothing_bleeds_over_the_outline():
    known = torch.zeros(1, 1, 6, 8)
    known[..., 4:] = 1
    small = torch.where(known > 0, 0.3, -0.9).expand(1, 3, -1, -1)
    for mask, value in ((known, 0.3), (1 - known, -0.9)):
        large = enlarged(small, mask, 2, (12, 16))
        side = torch.nn.functional.interpolate(mask, scale_factor=2)[0, 0] > 0
        torch.testing.assert_close(large[0, :, side], torch.full_like(large[0, :, side], value))
    assert enlarged(small, known, 2, (11, 15)).shape == (1, 3, 11, 15)


def test_coverage_is_soft_at_the_outline_alone():
    hit = torch.zeros(8, 8, dtype=torch.bool)
    hit[:, 4:] = True
    alpha = alpha_of(hit)
    assert alpha[4].tolist() == [0, 0, 0, 0.25, 0.75, 1, 1, 1]
    color = torch.where(hit, 0.5, 0.0).expand(3, -1, -1)
    around = spread_out(color, hit)
    assert torch.allclose(around[:, :, 3:], torch.tensor(0.5))
    picture = joined(around, torch.full((3, 8, 8), 0.5), alpha)
    torch.testing.assert_close(picture, torch.full((3, 8, 8), 0.5))


def test_sharpening_gains_in_the_finest_brightness_only():
    hit = torch.ones(32, 32, dtype=torch.bool)
    hit[:, :8] = False
    column = torch.arange(32.0)
    stripes = torch.where(column % 2 < 1, 0.1, -0.1)  # as fine as pixels get
    wave = 0.1 * torch.sin(column * 2 * torch.pi / 32)
    gray, color = torch.ones(3, 1, 1), torch.tensor([1.0, -1, 0]).view(3, 1, 1)
    whole, half = torch.ones(1, 32, 32), torch.full((1, 32, 32), 0.5)
    four = (SHARED + (1 - SHARED) / 4) ** -0.5
    cases = [(stripes * gray, 4, whole, four), (wave * gray, 4, whole, 1), (stripes * color, 4, whole, 1)]
    cases += [(stripes * gray, 1, whole, 1), (stripes * gray, 0, whole, 1)]  # there is no mean that loses anything
    cases += [(stripes * gray, 4, half, 2 * four)]  # what little trust takes, the gain gives back
    for logs, photos, trust, gain in cases:
        logs = logs.expand(3, 32, 32)
        sharp = sharpened(logs * hit, torch.full((32, 32), float(photos)), trust, hit)[:, :, 12:30]
        assert abs(float((sharp.square().sum() / logs[:, :, 12:30].square().sum()).sqrt()) - gain) < 0.04
    flat = torch.full((3, 32, 32), 0.2) * hit
    torch.testing.assert_close(sharpened(flat, whole[0], whole, hit), flat)  # nothing at an outline, nothing beside it


def test_the_parts_of_a_picture_add_up_to_the_painted_whole():
    """On a covered pixel: the lit point, and what its label adds."""
    z = torch.randn(3 * SPEC.color_terms + 8)
    channels = torch.randint(1, 256, (1, 3 + SPEC.lighting), dtype=torch.uint8)
    raster = torch.randn(1, SPEC.raster_channels, 1, 2)
    raster[..., :5, :, :] = raster[..., -SPEC.lighting :, :, :] = 0
    raster[0, :3, 0, 0], raster[0, 4, 0, 0] = channels[0, :3] / 127.5 - 1, 1
    raster[0, -SPEC.lighting :, 0, 0] = decode_lighting(channels[0, 3:].float())
    whole = paint_measured(SPEC, raster, z[None])
    on_surface = lit_points(SPEC, channels.T, z)[:, 0] + paint_labels(SPEC, raster, z[None])[0, :, 0, 0]
    torch.testing.assert_close(on_surface, whole[0, :, 0, 0], atol=1e-4, rtol=1e-4)
