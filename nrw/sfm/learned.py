"""Learned features of photos, and their matches."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nrw.core.device import torch_device
from nrw.core.progress import progress
from nrw.geometry.cameras import fit_size
from nrw.sfm.learned_weights import learned_weights
from nrw.sfm.stationary import Picture

if TYPE_CHECKING:
    from kornia.feature import ALIKED, LightGlue

SIZE = 1024  # pixels, at most, of the longer side of what ALIKED sees
DESCRIPTOR = 128  # numbers of a descriptor of ALIKED
FEATURES = 1024  # per photo; twice as many take five times as long to match


@dataclass(frozen=True)
class Features:
    """The features of a photo: its keypoints, and what LightGlue reads: keypoints, descriptors, size."""

    picture: Picture
    read: Mapping[str, Tensor]


class LearnedMatcher:
    """Matches photos by ALIKED and LightGlue.

    Zhao et al., "ALIKED", IEEE TIM 2023; Lindenberger, Sarlin & Pollefeys, "LightGlue", ICCV 2023.
    Keeps the features of all photos that it has seen, half a megabyte each. Raises UserError where the weights are not
    installed or the device is missing.
    """

    def __init__(self, images_dir: Path | str, device: str) -> None:
        folder = learned_weights()
        self._device = torch_device(device)
        self._images_dir = Path(images_dir)
        self._extractor = _aliked(folder).to(self._device)
        self._matcher = _lightglue(folder).to(self._device)
        self._seen: dict[str, Features] = {}

    def picture(self, name: str) -> Picture:
        """The keypoints of a photo."""
        return self._features(name).picture

    @torch.no_grad()
    def match(self, pairs: Collection[tuple[str, str]], what: str) -> list[np.ndarray]:
        """Of each pair of photos the matches (M, 2) int64, indices of keypoints of both. what: for the log."""
        return [self._match(*map(self._features, pair)) for pair in progress(pairs, len(pairs), what)]

    def _match(self, a: Features, b: Features) -> np.ndarray:
        return self._matcher({"image0": a.read, "image1": b.read})["matches"][0].cpu().numpy()

    @torch.no_grad()
    def _features(self, name: str) -> Features:
        if name not in self._seen:
            with Image.open(self._images_dir / name) as photo:
                resized = photo.convert("RGB").resize(fit_size(*photo.size, SIZE), Image.Resampling.BICUBIC)
            pixels = torch.from_numpy(np.array(resized)).to(self._device)
            (found,) = self._extractor(pixels.permute(2, 0, 1)[None] / 255)
            size = np.array(photo.size, np.float64)
            places = (found.keypoints.cpu().numpy().astype(np.float64) + 0.5) * size / resized.size
            read = {"keypoints": found.keypoints[None], "descriptors": found.descriptors[None]}
            shape = torch.tensor([resized.size], device=self._device)
            self._seen[name] = Features(Picture(places, size), {**read, "image_size": shape})
        return self._seen[name]


def _aliked(folder: Path) -> "ALIKED":
    from kornia.feature import ALIKED  # of the extra `rescue`

    network = ALIKED("aliked-n16", max_num_keypoints=FEATURES, detection_threshold=0)  # the best, however good
    network.load_state_dict(_weights(folder / "aliked-n16.pth"), strict=False)  # without a grid that it computes
    return network.eval()


def _lightglue(folder: Path) -> "LightGlue":
    """LightGlue that computes all layers for all keypoints: pairs that need rescue are not the easy ones."""
    from kornia.feature import LightGlue

    network = LightGlue(
        features=None,  # type: ignore[arg-type]  # documented: no weights are downloaded
        input_dim=DESCRIPTOR,
        depth_confidence=-1,
        width_confidence=-1,
    )
    network.load_state_dict(_weights(folder / "aliked_lightglue.pth"), strict=False)  # thresholds are computed
    return network.eval()


def _weights(path: Path) -> dict[str, Tensor]:
    return torch.load(path, map_location="cpu", weights_only=True)
