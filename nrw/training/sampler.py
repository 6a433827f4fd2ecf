"""What a step is shown: which photos, which crops of them, as the tensors that networks and losses take.

Every draw is a function of the seed, the stage and the step's number, so that a resumed stage sees what it would have
seen, and no random state needs to be kept.
"""

import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nrw.dataset import PackedDataset, View, level_size
from nrw.models.inputs import BufferSpec, raster_tensors

ENCODER_SIZE = 256  # pixels: the encoder sees the finest level of the pyramid whose longer side is no longer


@dataclass(frozen=True)
class Batch:
    """Crops of training photos, all of one size.

    ids: the photos. rasters: level l (B, C, h_l, w_l) float32; index: level l (B, h_l, w_l) int64, or None.
    photo: (B, 3, H, W) float32 in [-1, 1]. keep: (B, 1, H, W) float32, 0 where the photo shows something transient.
    """

    ids: list[str]
    rasters: list[Tensor]
    index: list[Tensor] | None
    photo: Tensor
    keep: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def pieces(self, count: int) -> Iterator["Batch"]:
        """The batch cut into at most `count` batches of like size."""
        size = -(-len(self) // count)
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Batch(
                self.ids[part],
                [level[part] for level in self.rasters],
                [level[part] for level in self.index] if self.index is not None else None,
                self.photo[part],
                self.keep[part],
            )

    def to(self, device: torch.device) -> "Batch":
        return Batch(
            self.ids,
            [level.to(device, non_blocking=True) for level in self.rasters],
            [level.to(device, non_blocking=True) for level in self.index] if self.index is not None else None,
            self.photo.to(device, non_blocking=True),
            self.keep.to(device, non_blocking=True),
        )


def generator_of(seed: int, stage: str, step: int) -> np.random.Generator:
    """The random numbers of one step."""
    return np.random.default_rng([seed, zlib.crc32(stage.encode()), step])


def photos_of(ids: Sequence[str], seed: int, stage: str, step: int, batch_size: int) -> list[str]:
    """The photos of a step: each photo is seen once before any is seen twice, in an order new at every round."""
    chosen = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        rounds, place = divmod(position, len(ids))
        chosen.append(ids[generator_of(seed, f"{stage} order", rounds).permutation(len(ids))[place]])
    return chosen


def crop_batch(
    dataset: PackedDataset, spec: BufferSpec, ids: list[str], crop_size: int, halved: bool, rng: np.random.Generator
) -> Batch:
    """Random crops of the photos, at level 0 of the pyramid or, `halved`, at level 1 with twice the field of view.

    The side is crop_size, less where a photo of the batch is smaller, and a multiple of 2^(levels - 1), as are the
    crop's coordinates, so that a crop of every level covers the same part of the picture.
    """
    shift, grid = int(halved), 1 << (spec.levels - 1)
    views = [dataset.view(photo) for photo in ids]
    sizes = np.array([level_size(*view.labels.shape, shift) for view in views])  # (B, 2) height, width
    height, width = (max(1, min(crop_size, int(side)) // grid) * grid for side in sizes.min(axis=0))
    crops = []
    for view, (full_height, full_width) in zip(views, sizes, strict=True):
        y = int(rng.integers(max(0, full_height - height) // grid + 1)) * grid
        x = int(rng.integers(max(0, full_width - width) // grid + 1)) * grid
        crops.append(crop(view, spec, dataset.meta["transient"], (x, y, width, height), shift))
    rasters, index, photo, keep = zip(*crops, strict=True)
    return Batch(
        ids,
        [torch.stack(level) for level in zip(*rasters, strict=True)],
        None if index[0] is None else [torch.stack(level) for level in zip(*index, strict=True)],
        torch.stack(photo),
        torch.stack(keep),
    )


def crop(
    view: View, spec: BufferSpec, transient: Sequence[int], box: tuple[int, int, int, int] | None = None, shift: int = 0
) -> tuple[list[Tensor], list[Tensor] | None, Tensor, Tensor]:
    """A part of a view as tensors: rasters (C, h_l, w_l), indices (h_l, w_l) or None, photo (3, H, W), keep (1, H, W).

    box: x, y, width, height in pixels of pyramid level `shift`, which becomes level 0; None: all of it. The photo is
    averaged over each pixel's 2^shift squared; keep is 1 where all of them show something lasting.
    """
    height, width = level_size(*view.labels.shape, shift)
    x, y, w, h = box or (0, 0, width, height)
    levels = [_level(view, spec, shift + level, (x >> level, y >> level, -(-w >> level), -(-h >> level))) for level in range(spec.levels)]
    rasters, index = raster_tensors(spec, levels)
    part = slice(y << shift, (y + h) << shift), slice(x << shift, (x + w) << shift)
    photo = torch.from_numpy(np.ascontiguousarray(view.photo[part])).permute(2, 0, 1).float().div_(127.5).sub_(1)
    keep = torch.from_numpy(~np.isin(view.labels[part], transient)).float()[None]
    if shift:
        photo = F.avg_pool2d(photo, 1 << shift)
        keep = (F.avg_pool2d(keep, 1 << shift) == 1).float()
    return rasters, index, photo, keep
