"""The networks of 2019."""

import torch
from small_networks import size_of

from nrw.models import paper2019


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


def test_all_networks_compute_in_float32(monkeypatch):
    monkeypatch.setattr("nrw.core.device.has_bfloat16", lambda device: True)
    picture, buffer = torch.rand(1, 3, 64, 64), torch.rand(1, 7, 64, 64)
    judge, renderer = paper2019.Discriminator(), paper2019.Renderer()
    scores, rendered = judge(buffer, picture), renderer([buffer], torch.zeros(1, 8))
    monkeypatch.setattr("nrw.core.device.has_bfloat16", lambda device: False)
    assert torch.equal(rendered, renderer([buffer], torch.zeros(1, 8)))
    assert all(torch.equal(one, other) for one, other in zip(scores, judge(buffer, picture), strict=True))
