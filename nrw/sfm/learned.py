"""Learned features of photos, and their matches."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from nrw.core.device import torch_device
from nrw.core.progress import progress
from nrw.geometry.cameras import fit_size
from nrw.sfm.aliked import DIM, Aliked
from nrw.sfm.learned_weights import learned_weights
from nrw.sfm.lightglue import LightGlue, normalized
from nrw.sfm.stationary import Picture

SIZE = 1024  # pixels, at most, of the longer side of what ALIKED sees
FEATURES = 1024  # per photo; twice as many take five times as long to match


@dataclass(frozen=True)
class Features:
    """The features of a photo: its keypoints, their `lightglue.normalized` positions (N, 2), descriptors (N, DIM)."""

    picture: Picture
    positions: Tensor
    descriptors: Tensor


class LearnedMatcher:
    """Matches photos by ALIKED and LightGlue.

    Keeps the features of all photos that it has seen, half a megabyte each. Raises UserError where the weights are not
    installed or the device is missing.
    """

    def __init__(self, images_dir: Path | str, device: str) -> None:
        folder = learned_weights()
        self._device = torch_device(device)
        self._images_dir = Path(images_dir)
        self._extractor = self._network(Aliked, folder / "aliked-n16.pth")
        self._matcher = self._network(lambda: LightGlue(DIM), folder / "aliked_lightglue.pth")
        self._seen: dict[str, Features] = {}

    def picture(self, name: str) -> Picture:
        """The keypoints of a photo."""
        return self._features(name).picture

    @torch.no_grad()
    def match(self, pairs: Collection[tuple[str, str]], what: str) -> list[np.ndarray]:
        """Of each pair of photos the matches (M, 2) int64, indices of keypoints of both. what: for the log."""
        return [self._match(*map(self._features, pair)) for pair in progress(pairs, len(pairs), what)]

    def _match(self, a: Features, b: Features) -> np.ndarray:
        return self._matcher((a.positions, a.descriptors), (b.positions, b.descriptors)).cpu().numpy()

    @torch.no_grad()
    def _features(self, name: str) -> Features:
        if name not in self._seen:
            with Image.open(self._images_dir / name) as photo:
                resized = photo.convert("RGB").resize(fit_size(*photo.size, SIZE), Image.Resampling.BICUBIC)
            pixels = torch.from_numpy(np.array(resized)).to(self._device)
            points, descriptors = self._extractor(pixels.permute(2, 0, 1)[None] / 255, FEATURES)
            size = np.array(photo.size, np.float64)
            places = (points.cpu().numpy().astype(np.float64) + 0.5) * size / resized.size
            self._seen[name] = Features(Picture(places, size), normalized(points, *resized.size), descriptors)
        return self._seen[name]

    def _network(self, make: Callable[[], nn.Module], weights: Path) -> nn.Module:
        with torch.device("meta"):
            network = make()
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True), strict=False, assign=True)
        return network.eval().to(self._device)
