import torch

from nrw.models.discriminator import MinibatchDeviation, MultiScaleDiscriminator


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
