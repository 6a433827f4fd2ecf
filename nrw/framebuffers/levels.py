"""The levels of the networks' buffer: what a camera sees of the scene, at several sizes."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nrw.core.io import atomic_path
from nrw.geometry.cameras import Camera
from nrw.geometry.rasterize import DeepBuffer, Geometry, Samples, coverage, halved, locate, nearest_of_four, shrink


@dataclass(frozen=True)
class Level:
    """One level, as tensors on one device.

    color: (h, w, 3 + K) uint8, colors and lighting of the points, 0 where nothing is seen. depth: (h, w) float32, z in
    the camera, world units, 0 = none. index: (h, w) int32, the nearest point of the cloud, -1 = none. coverage: (h, w)
    uint8, the share of the pixel that shows anything, times 255; 0 exactly where the depth is 0.
    """

    color: Tensor
    depth: Tensor
    index: Tensor
    coverage: Tensor


def level_path(framebuffers_dir: Path, photo_id: str) -> Path:
    """Return the path of the finest level of a photo."""
    return framebuffers_dir / f"{photo_id}_level.npz"


def save_level(path: Path, level: Level) -> None:
    """Write a level as .npz, an array per field."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **{name: values.cpu().numpy() for name, values in vars(level).items()})


def load_level(path: Path) -> Level:
    """Read a level. Raises OSError, ValueError, KeyError, EOFError or BadZipFile for a missing or damaged file."""
    with np.load(path, allow_pickle=False) as arrays:
        return Level(*(torch.from_numpy(arrays[field.name]) for field in fields(Level)))


def finest_level(
    geometry: Geometry, channels: Tensor, camera: Camera, buffer: DeepBuffer, scale: int
) -> tuple[Level, Samples]:
    """Find what the networks see at their finest level, and the samples of the whole buffer.

    channels: (C, N) uint8 of the points. camera: of the buffer, which is `scale` (a power of 2) times as large as the
    level.
    """
    samples = whole = locate(geometry, camera, buffer)
    covered = coverage(buffer.hit, scale)
    while scale > 1:
        buffer, samples = halved(buffer, samples)
        scale //= 2
    color = samples.shade(channels).round().byte().movedim(0, 2)
    return Level(color, buffer.depth, samples.index(), (255 * covered).ceil().byte()), whole


def pyramid(finest: Level, levels: int) -> list[Level]:
    """Halve a level `levels - 1` times: (ceil(h / 2^l), ceil(w / 2^l)).

    A pixel has depth and index of the nearest of its up to four pixels, and the mean color of those on its surface.
    """
    found = [finest]
    for _ in range(levels - 1):
        above = found[-1]
        depth, index = nearest_of_four(above.depth, above.index)
        color = shrink(above.color, above.depth).round().byte()
        found.append(Level(color, depth, index, coverage(above.coverage).ceil().byte()))
    return found
