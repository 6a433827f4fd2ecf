"""The batches of training: which photos a step sees, and which crops of them, as tensors for networks and losses.

Every draw is a function of the seed, the stage and the step's number, so that a resumed stage draws what it would have
drawn uninterrupted, and a checkpoint needs no random state.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nrw.dataset.packed import View, level_size
from nrw.models.inputs import BufferSpec, crop, encoder_input

UNCHANGED = 0.3  # share of the photos without jitter


@dataclass(frozen=True)
class Batch:
    """Crops of training photos, all of one size, on the device of their views.

    seen: for each photo what the encoder sees (`models.inputs.encoder_input`).
    rasters: level l (B, C, h_l, w_l) float32. index: level l (B, h_l, w_l) int64, or None.
    pixels: of the photos, (B, 3, H, W) float32 in [-1, 1]. keep: (B, 1, H, W) float32, 0 where they show something
    transient.
    """

    seen: list[tuple[Tensor, Tensor]]
    rasters: list[Tensor]
    index: list[Tensor] | None
    pixels: Tensor
    keep: Tensor

    def __len__(self) -> int:
        return len(self.seen)

    def pieces(self, count: int) -> Iterator["Batch"]:
        """Split the batch into at most `count` batches of about the same size."""
        size = -(-len(self) // count)
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Batch(
                self.seen[part],
                [level[part] for level in self.rasters],
                [level[part] for level in self.index] if self.index is not None else None,
                self.pixels[part],
                self.keep[part],
            )


def generator_of(seed: int, stage: str, step: int) -> np.random.Generator:
    """Seed the random numbers of one step."""
    return np.random.default_rng([seed, zlib.crc32(stage.encode()), step])


def photos_of(ids: Sequence[str], seed: int, stage: str, step: int, batch_size: int) -> list[str]:
    """Choose the photos of a step: each photo is seen once per round, in a new order in every round."""
    chosen = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        rounds, place = divmod(position, len(ids))
        chosen.append(ids[generator_of(seed, f"{stage} order", rounds).permutation(len(ids))[place]])
    return chosen


def jittered(view: View, rng: np.random.Generator, strength: float) -> View:
    """Change the exposure, white balance and contrast of a view's photo at random, as another camera would.

    At strength 1 the standard deviations are 0.5 stops of exposure, 0.15 stops per channel, and 0.4 in log2 of gamma.
    Three photos in ten stay unchanged.
    """
    if strength == 0 or rng.random() < UNCHANGED:
        return view
    gain = np.exp2(strength * (rng.normal(0, 0.5) + rng.normal(0, 0.15, 3)))
    gamma = np.exp2(strength * rng.normal(0, 0.4))
    table = np.rint(255 * np.clip(np.linspace(0, 1, 256)[:, None] * gain, 0, 1) ** gamma).astype(np.uint8)  # (256, 3)
    if isinstance(view.pixels, np.ndarray):
        return replace(view, pixels=table[view.pixels, np.arange(3)])
    tables = torch.from_numpy(table.T.copy()).to(view.device, non_blocking=True)
    places = view.pixels.int() + 256 * torch.arange(3, device=view.device)
    return replace(view, pixels=tables.flatten()[places])


def random_region(rng: np.random.Generator, share: float) -> tuple[float, float] | None:
    """Draw, for a `share` of the photos, a part of the width (40 % to 80 %) for `encoder_input`; None: the whole width.

    An appearance measured in one part of a photo is partly wrong elsewhere: the renderer learns how far to trust it.
    """
    if rng.random() >= share:
        return None
    width = rng.uniform(0.4, 0.8)
    first = rng.uniform(0, 1 - width)
    return first, first + width


def crop_batch(
    views: list[View],
    regions: Sequence[tuple[float, float] | None],
    spec: BufferSpec,
    transient: Sequence[int],
    crop_size: int,
    shift: int,
    rng: np.random.Generator,
    part: slice = slice(None),
) -> Batch:
    """Crop the photos at random, at level `shift` of the pyramid, where a crop covers 2^shift times the field of view.

    regions: of each photo, where its appearance is taken from. part: of the batch, what is read and returned; the boxes
    are drawn for all photos (`random_boxes`), so that every process draws the same.
    """
    boxes = random_boxes([level_size(*view.shape, shift) for view in views], crop_size, spec.levels, rng)
    chosen = zip(views[part], boxes[part], strict=True)
    crops = [crop(view, spec, transient, box, shift) for view, box in chosen]
    rasters, index, pixels, keep = zip(*crops, strict=True)
    return Batch(
        [encoder_input(view, spec, transient, region) for view, region in zip(views[part], regions[part], strict=True)],
        [torch.stack(level) for level in zip(*rasters, strict=True)],
        None if index[0] is None else [torch.stack(level) for level in zip(*index, strict=True)],
        torch.stack(pixels),
        torch.stack(keep),
    )


def crops_for_one(crop_size: int, smallest: int) -> int:
    """Return how many crops of pictures with sides of `smallest` hold about `crop_size` squared pixels together.

    At most 4: every photo of a step is also read and encoded.
    """
    return min(4, round((crop_size / max(1, min(crop_size, smallest))) ** 2))


def random_boxes(
    sizes: Sequence[tuple[int, int]], crop_size: int, levels: int, rng: np.random.Generator
) -> list[tuple[int, int, int, int]]:
    """Place a crop at random in each picture: x, y, width, height. sizes: (height, width) of the pictures.

    All crops have the same size: crop_size per side, less where a picture is smaller. Size and position are multiples
    of 2^(levels - 1), so that a crop covers whole pixels at every level.
    """
    grid = 1 << (levels - 1)
    height, width = (max(1, min(crop_size, *sides) // grid) * grid for sides in zip(*sizes, strict=True))
    boxes = []
    for full_height, full_width in sizes:
        y, x = (
            int(rng.integers(max(0, space) // grid + 1)) * grid for space in (full_height - height, full_width - width)
        )
        boxes.append((x, y, width, height))
    return boxes
