"""VGG16: its layers, its weights' sources, perceptual loss and style distance."""

import urllib.error

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from nrw.core.errors import UserError
from nrw.models.perceptual import MEAN, STD, URL, VGGFeatures, gram_matrices, perceptual_loss, style_distance


@pytest.fixture(scope="module")
def vgg() -> VGGFeatures:
    return VGGFeatures("random", seed=3)


@pytest.fixture(scope="module")
def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))


def test_it_is_vgg16_with_torchvisions_names(vgg):
    state = vgg.state_dict()
    assert [int(name.split(".")[1]) for name in state if name.endswith("weight")] == [
        0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28,
    ]  # fmt: skip
    assert sum(value.numel() for value in state.values()) == 14_714_688  # the published count of the convolutional part
    assert state["features.26.weight"].shape == (512, 512, 3, 3)


def test_activations_are_those_after_relu_of_the_named_layers(vgg, images, float32):
    x = images[0]
    deep, shallow = vgg(x, ["conv2_2", "conv1_2"])
    state = vgg.state_dict()
    y = ((x + 1) / 2 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    for number in (0, 2, 5, 7):
        y = F.max_pool2d(y, 2) if number == 5 else y
        y = F.relu(F.conv2d(y, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1))
        if number == 2:
            assert torch.allclose(shallow, y, atol=1e-5)
    assert torch.allclose(deep, y, atol=1e-5)
    assert [tuple(f.shape[1:]) for f in vgg(x)] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]


def test_random_weights_follow_the_seed(vgg):
    name = "features.10.weight"
    assert torch.equal(VGGFeatures("random", seed=3).state_dict()[name], vgg.state_dict()[name])
    assert not torch.equal(VGGFeatures("random", seed=4).state_dict()[name], vgg.state_dict()[name])


def test_weights_from_a_file(vgg, images, tmp_path):
    """A whole VGG16 has a classifier too, which is not needed."""
    state = {**vgg.state_dict(), "classifier.0.bias": torch.zeros(5)}
    torch.save(state, tmp_path / "vgg.pth")
    safetensors.torch.save_file(state, tmp_path / "vgg.safetensors")
    for name in ("vgg.pth", "vgg.safetensors"):
        assert torch.equal(VGGFeatures(str(tmp_path / name))(images[0])[4], vgg(images[0])[4])


def test_weights_that_are_none_are_the_users_error(vgg, tmp_path):
    with pytest.raises(UserError, match=r"perceptual\.weights: there is no file .*absent\.pth"):
        VGGFeatures(str(tmp_path / "absent.pth"))
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(UserError, match=r"text\.pth is not a state dict"):
        VGGFeatures(str(tmp_path / "text.pth"))
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(UserError, match=r"text\.safetensors is not a state dict"):
        VGGFeatures(str(tmp_path / "text.safetensors"))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds a list"):
        VGGFeatures(str(tmp_path / "list.pth"))
    torch.save({**vgg.state_dict(), "features.28.bias": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"not a VGG16 state dict.*features\.28\.bias"):
        VGGFeatures(str(tmp_path / "other.pth"))


def test_a_pickle_that_would_execute_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"features.0.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(UserError, match="read safely"):
        VGGFeatures(str(tmp_path / "trap.pth"))
    assert not (tmp_path / "sprung").exists()


def test_weights_are_downloaded_once(monkeypatch, tmp_path):
    asked = []

    def download(url, path, hash_prefix):
        assert (url, hash_prefix) == (URL, "397923af")
        asked.append(url)
        torch.save(VGGFeatures("random", seed=3).state_dict(), path)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    first, second = VGGFeatures("url"), VGGFeatures("url")
    assert len(asked) == 1
    assert torch.equal(first.features[0].weight, VGGFeatures("random", seed=3).features[0].weight)
    assert torch.equal(first.features[0].weight, second.features[0].weight)


def test_a_failed_download_says_what_to_do(monkeypatch, tmp_path):
    def unreachable(url, path, hash_prefix):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(UserError, match=r"perceptual\.weights is url.*no route to host.*give its path"):
        VGGFeatures("url")


def test_perceptual_loss_is_the_weighted_sum_of_the_notes(vgg, images):
    a, b = images
    expected = sum(
        weight * ((0.1 * (x - y)) ** 2).mean()
        for weight, x, y in zip([1 / 32, 1 / 16, 1 / 8, 1 / 4, 1], vgg(a), vgg(b), strict=True)
    )
    assert torch.allclose(perceptual_loss(vgg, a, b), expected, rtol=1e-4)
    assert perceptual_loss(vgg, a, a).item() == 0


def test_perceptual_loss_of_masked_pixels(vgg, images):
    output, target = images[0].clone().requires_grad_(), images[1]
    mask = torch.ones(2, 1, 32, 32)
    mask[..., 16:] = 0
    loss = perceptual_loss(vgg, output, target, mask)
    loss.backward()
    assert (output.grad * (1 - mask)).abs().max() == 0
    assert (output.grad * mask).abs().max() > 0
    half = perceptual_loss(vgg, torch.where(mask > 0, images[0], target), target)
    assert torch.allclose(loss, 2 * half)  # the mean is over the kept half
    assert perceptual_loss(vgg, images[0], target, torch.zeros_like(mask)).item() == 0


def test_gram_matrices_by_hand():
    class TwoChannels(torch.nn.Module):
        def forward(self, image):
            return [torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])]  # (1, 2, 1, 2)

    (gram,) = gram_matrices(TwoChannels(), torch.zeros(1, 3, 1, 2))
    assert torch.equal(gram, torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4)


def test_gram_matrices_do_not_know_where_things_are(vgg):
    """A texture of 16 pixels' period, rolled by 16 pixels, has the same style."""
    texture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)).tile(1, 1, 4, 4) * 2 - 1
    a, b = gram_matrices(vgg, texture), gram_matrices(vgg, texture.roll(16, dims=3))
    assert style_distance(a, b).item() == pytest.approx(0, abs=1e-9)
    assert style_distance(a, gram_matrices(vgg, texture * 0.3)).item() > 1e-4


def test_style_distance_by_hand_and_in_pairs():
    a = [torch.zeros(2, 2, 2), torch.zeros(2, 1, 1)]
    b = [torch.tensor([[[1.0, 1.0], [1.0, 3.0]]]), torch.tensor([[[2.0]]])]
    assert style_distance(a, b).tolist() == [3 + 4, 3 + 4]
    grams = [torch.rand(3, 2, 2), torch.rand(3, 4, 4)]
    pairs = style_distance([g[:, None] for g in grams], [g[None] for g in grams])
    assert pairs.shape == (3, 3)
    assert torch.equal(pairs, pairs.T)
    assert pairs.diagonal().tolist() == [0, 0, 0]
