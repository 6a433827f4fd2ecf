import pytest
import torch
import torch.nn.functional as F

from nrw.models.layers import LEAK, DoublingConv2d, ScaledConv2d, leaky_pixel_norm, pad_levels, pixel_norm


def test_pixel_norm_by_hand():
    x = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    assert torch.allclose(pixel_norm(x).flatten(), torch.tensor([3.0, 4.0]) / 12.5**0.5)


def test_the_gradient_of_pixel_norm():
    x = torch.randn(2, 5, 3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: pixel_norm(x, 1e-2), x)


def test_leaky_relu_and_pixel_norm_in_one_are_those_after_each_other():
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    expected = pixel_norm(F.leaky_relu(x, LEAK), 1e-2)
    torch.testing.assert_close(leaky_pixel_norm(x.clone(), 1e-2), expected)
    assert torch.autograd.gradcheck(lambda x: leaky_pixel_norm(x.clone(), 1e-2), x)


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


def test_a_doubling_convolution_is_one_of_the_doubled_picture():
    torch.manual_seed(0)
    doubling, plain = DoublingConv2d(5, 4).double(), ScaledConv2d(5, 4, 3).double()
    plain.load_state_dict(doubling.state_dict())
    torch.nn.init.normal_(plain.bias)
    doubling.load_state_dict(plain.state_dict())
    x = torch.randn(2, 5, 3, 6, dtype=torch.float64)
    torch.testing.assert_close(doubling(x), plain(F.interpolate(x, scale_factor=2, mode="nearest")))
