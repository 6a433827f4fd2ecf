"""VGG16 features: the perceptual loss, and the style distances that order photos by appearance."""

import pickle
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nrw.core.device import autocast
from nrw.core.errors import UserError

URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
LAYERS = ("conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")
LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
ACTIVATION_SCALE = 0.1
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's images in [0, 1]


class VGGFeatures(nn.Module):
    """The convolutions of VGG16 (Simonyan and Zisserman, ICLR 2015), frozen, under torchvision's parameter names.

    weights: `url` (torchvision's, downloaded once into torch's hub folder), `random` (He's initialisation from
    `seed`), or the path of a VGG16 state dict (.pth or .safetensors). Raises UserError if they cannot be loaded or are
    not those of a VGG16.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: str | Path, seed: int = 0):
        super().__init__()
        self.features = nn.Sequential()
        self.layer_index = {}  # "conv1_2" -> position of its ReLU in `features`
        channels = 3
        for block, widths in enumerate(WIDTHS, start=1):
            for number, width in enumerate(widths, start=1):
                self.features.append(nn.Conv2d(channels, width, 3, padding=1))
                self.features.append(nn.ReLU())
                self.layer_index[f"conv{block}_{number}"] = len(self.features) - 1
                channels = width
            self.features.append(nn.MaxPool2d(2))
        if weights == "random":
            generator = torch.Generator().manual_seed(seed)
            for layer in self.features:
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                    if layer.bias is not None:
                        nn.init.zeros_(layer.bias)
        else:
            self._load(_read(fetch_weights() if weights == "url" else Path(weights)), weights)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)
        self.requires_grad_(False)

    def _load(self, state: Mapping[str, Tensor], source: str | Path) -> None:
        own = self.state_dict()
        wrong = [name for name, value in own.items() if name not in state or state[name].shape != value.shape]
        if wrong:
            raise UserError(
                f"perceptual.weights: {source} is not a VGG16 state dict with torchvision's names: {wrong[0]} "
                f"is missing or has another shape. The expected file is {URL}"
            )
        self.load_state_dict({name: state[name] for name in own})

    def forward(self, x: Tensor, layers: Sequence[str] = LAYERS) -> list[Tensor]:
        """Compute the activations of the named layers, after ReLU, in the order of `layers`.

        x: (B, 3, H, W) in [-1, 1]; sides of at least 16 pixels for conv5. Returns (B, C, h, w) per layer.
        """
        x = ((x + 1) / 2 - self.mean) / self.std
        wanted = {self.layer_index[name]: name for name in layers}
        found = {}
        with autocast(x.device):
            for position, layer in enumerate(islice(self.features, max(wanted) + 1)):
                x = layer(x)
                if position in wanted:
                    found[wanted[position]] = x.float()
        return [found[name] for name in layers]


def fetch_weights() -> Path:
    """The file in torch's cache with torchvision's weights of VGG16; downloads it where it is missing.

    Raises UserError where it cannot be downloaded.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", Path(URL).name)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(URL, str(path), path.stem.rpartition("-")[2])
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"perceptual.weights is url, but {path} is not there, and {URL} could not be downloaded to it ({error}). "
            "Download the file on a machine with network access and give its path as perceptual.weights, or set "
            "perceptual.weights to random or none"
        ) from error
    return path


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise UserError(
            f"perceptual.weights: there is no file {path}. Download {URL} to it, or set perceptual.weights to url, "
            "random or none"
        )
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError) as error:
        raise UserError(f"perceptual.weights: {path} is not a state dict that can be read safely ({error})") from error
    if not isinstance(state, Mapping):
        raise UserError(f"perceptual.weights: {path} holds a {type(state).__name__}, not a state dict")
    return state


def perceptual_loss(vgg: VGGFeatures, output: Tensor, target: Tensor, keep: Tensor | None = None) -> Tensor:
    """Weighted mean squared difference of VGG16 activations × 0.1 (Meshry et al. 2019): a scalar.

    output, target: (B, 3, H, W) in [-1, 1]. keep: (B, 1, H, W), 1 where the pixel counts. Elsewhere the target replaces
    the output, which then neither adds to the loss nor enters its neighbours' receptive fields; the mean is over the
    kept share. Layers conv1_2 … conv5_2 have the weights 1/32, 1/16, 1/8, 1/4, 1.
    """
    share: Tensor | float = 1.0
    if keep is not None:
        output = torch.where(keep > 0, output, target)
        share = (keep > 0).float().mean().clamp_min(1e-6)
    with torch.no_grad():
        wanted = vgg(target)
    differences = [
        weight * F.mse_loss(ACTIVATION_SCALE * got, ACTIVATION_SCALE * want)
        for weight, got, want in zip(LAYER_WEIGHTS, vgg(output), wanted, strict=True)
    ]
    return torch.stack(differences).sum() / share


def gram_matrices(vgg: VGGFeatures, image: Tensor) -> list[Tensor]:
    """Compute the style of images (B, 3, H, W) in [-1, 1]: per layer conv1_2 … conv5_2 F Fᵀ / (C·h·w), (B, C, C).

    F is the (C, h·w) matrix of activations (Gatys et al., CVPR 2016, equation 3, with the normalisation of the 2019
    release).
    """
    flat = [features.flatten(2) for features in vgg(image)]
    return [features @ features.mT / features[0].numel() for features in flat]


def style_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Style distance (…) of two lists of Gram matrices (…, C, C): mean squared difference, summed over layers."""
    return torch.stack([(x - y).square().mean(dim=(-2, -1)) for x, y in zip(a, b, strict=True)]).sum(dim=0)
