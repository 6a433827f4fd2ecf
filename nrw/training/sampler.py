"""What a step is shown: which photos, which crops of them, as the tensors that networks and losses take.

Every draw is a function of the seed, the stage and the step's number, so that a resumed stage sees what it would have
seen, and no random state needs to be kept.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nrw.dataset import View, level_size
from nrw.models.inputs import BufferSpec, raster_tensors

UNCHANGED = 0.3  # share of the photos without jitter
ENCODER_SIZE = 256  # pixels: the encoder sees the finest level of the pyramid whose longer side is no longer


@dataclass(frozen=True)
class Batch:
    """Crops of training photos, all of one size.

    seen: of each photo, what the encoder sees (`encoder_input`).
    rasters: level l (B, C, h_l, w_l) float32; index: level l (B, h_l, w_l) int64, or None.
    photo: (B, 3, H, W) float32 in [-1, 1]. keep: (B, 1, H, W) float32, 0 where the photo shows something transient.
    """

    seen: list[tuple[Tensor, Tensor]]
    rasters: list[Tensor]
    index: list[Tensor] | None
    photo: Tensor
    keep: Tensor

    def __len__(self) -> int:
        return len(self.seen)

    def pieces(self, count: int) -> Iterator["Batch"]:
        """The batch cut into at most `count` batches of like size."""
        size = -(-len(self) // count)
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Batch(
                self.seen[part],
                [level[part] for level in self.rasters],
                [level[part] for level in self.index] if self.index is not None else None,
                self.photo[part],
                self.keep[part],
            )

    def to(self, device: torch.device) -> "Batch":
        return Batch(
            self.seen,
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


def jittered(view: View, rng: np.random.Generator, strength: float) -> View:
    """The view with its photo's exposure, white balance and contrast changed at random, as another camera would.

    At strength 1 the standard deviations are half a stop, 0.15 of a stop and channel, and 0.4 in the logarithm (to base
    2) of gamma. Three photos of ten stay as they are.
    """
    if strength == 0 or rng.random() < UNCHANGED:
        return view
    gain = np.exp2(strength * (rng.normal(0, 0.5) + rng.normal(0, 0.15, 3)))
    gamma = np.exp2(strength * rng.normal(0, 0.4))
    table = np.rint(255 * np.clip(np.linspace(0, 1, 256)[:, None] * gain, 0, 1) ** gamma).astype(np.uint8)  # (256, 3)
    return replace(view, photo=table[view.photo, np.arange(3)])


def random_region(rng: np.random.Generator, share: float) -> tuple[float, float] | None:
    """For a `share` of the photos a part of the width, 40 % to 80 %, as `encoder_input` takes it; else None: all.

    What is measured in a part of a photo is wrong in places elsewhere: the renderer learns how far to trust it.
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
    """Random crops of the photos, at level `shift` of the pyramid, with 2^shift the field of view.

    regions: of each photo, where its appearance is taken from.
    The crops are those of `random_boxes`, which draws for all; `part`: of the batch, what is read and returned.
    """
    boxes = random_boxes([level_size(*view.labels.shape, shift) for view in views], crop_size, spec.levels, rng)
    chosen = zip(views[part], boxes[part], strict=True)
    crops = [crop(view, spec, transient, box, shift) for view, box in chosen]
    rasters, index, photo, keep = zip(*crops, strict=True)
    return Batch(
        [encoder_input(view, spec, transient, region) for view, region in zip(views[part], regions[part], strict=True)],
        [torch.stack(level) for level in zip(*rasters, strict=True)],
        None if index[0] is None else [torch.stack(level) for level in zip(*index, strict=True)],
        torch.stack(photo),
        torch.stack(keep),
    )


def crops_for_one(crop_size: int, smallest: int) -> int:
    """How many crops have about the pixels of one of `crop_size` squared, where the pictures' sides are `smallest`.

    At most 4: every photo of a step is also read and encoded.
    """
    return min(4, round((crop_size / max(1, min(crop_size, smallest))) ** 2))


def random_boxes(
    sizes: Sequence[tuple[int, int]], crop_size: int, levels: int, rng: np.random.Generator
) -> list[tuple[int, int, int, int]]:
    """A random crop in each picture, as x, y, width, height; sizes: (height, width) of the pictures.

    All have one size: crop_size a side, less where a picture is smaller. Size and place are multiples of
    2^(levels - 1), so that a crop covers whole pixels of every level.
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


def crop(
    view: View, spec: BufferSpec, transient: Sequence[int], box: tuple[int, int, int, int] | None = None, shift: int = 0
) -> tuple[list[Tensor], list[Tensor] | None, Tensor, Tensor]:
    """A part of a photo and of its deep buffer: rasters and indices of `crop_buffer`, photo (3, H, W), keep (1, H, W).

    The photo, in [-1, 1], is averaged over each pixel's 2^shift squared; keep is 1 where all of them show something
    lasting.
    """
    rasters, index = crop_buffer(view, spec, box, shift)
    height, width = level_size(*view.labels.shape, shift)
    x, y, w, h = box or (0, 0, width, height)
    part = slice(y << shift, (y + h) << shift), slice(x << shift, (x + w) << shift)
    photo, keep = photo_tensor(view.photo[part]), lasting(view.labels[part], transient)
    if shift:
        photo = F.avg_pool2d(photo, 1 << shift)
        keep = (F.avg_pool2d(keep, 1 << shift) == 1).float()
    return rasters, index, photo, keep


def crop_buffer(
    view: View, spec: BufferSpec, box: tuple[int, int, int, int] | None = None, shift: int = 0
) -> tuple[list[Tensor], list[Tensor] | None]:
    """A part of a view's deep buffer: level l (C, h_l, w_l) float32 and, with point channels, (h_l, w_l) int64.

    box: x, y, width, height in pixels of pyramid level `shift`, which becomes level 0; None: all of it.
    """
    height, width = level_size(*view.labels.shape, shift)
    x, y, w, h = box or (0, 0, width, height)
    levels = [
        _level(view, spec, shift + level, (x >> level, y >> level, *reversed(level_size(h, w, level))))
        for level in range(spec.levels)
    ]
    rasters, index = raster_tensors(spec, levels)
    return rasters, index if spec.point_channels else None


def encoder_input(
    view: View, spec: BufferSpec, transient: Sequence[int], region: tuple[float, float] | None = None
) -> tuple[Tensor, Tensor]:
    """What the appearance encoder sees of a photo: all of it, or the columns of `region` and nothing else.

    region: first and last column as fractions of the width. Returns x (3 + C, h, w) float32, the photo in [-1, 1] and
    the fixed channels of the pyramid's finest level of at most 256 pixels (else of its coarsest), and keep (1, h, w)
    float32, 0 where the photo shows nothing lasting. A pixel of x is the mean of the lasting pixels that it covers.
    """
    full_height, full_width = view.labels.shape
    sizes = [level_size(full_height, full_width, level) for level in range(spec.levels)]
    level = next((level for level, size in enumerate(sizes) if max(size) <= ENCODER_SIZE), spec.levels - 1)
    height, width = sizes[level]
    first, last = (round(fraction * width) for fraction in region or (0, 1))
    rasters, _ = raster_tensors(spec, [_level(view, spec, level, (first, 0, last - first, height))])
    columns = slice(first << level, last << level)
    photo, keep = photo_tensor(view.photo[:, columns]), lasting(view.labels[:, columns], transient)
    share = F.adaptive_avg_pool2d(keep, (height, last - first))
    photo = F.adaptive_avg_pool2d(photo * keep, (height, last - first)) / share.clamp_min(1e-6)
    return torch.cat([photo, rasters[0]]), (share > 0).float()


def photo_tensor(pixels: np.ndarray) -> Tensor:
    """Pixels (H, W, 3) uint8 as (3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1) / 127.5 - 1


def lasting(labels: np.ndarray, transient: Sequence[int]) -> Tensor:
    """(1, H, W) float32 mask of a label map (H, W): 1 but where it shows something transient."""
    return torch.from_numpy(~np.isin(labels, transient)).float()[None]


def encode(encoder: torch.nn.Module, inputs: Sequence[tuple[Tensor, Tensor]], device: torch.device) -> Tensor:
    """The codes z (B, Z) of what `encoder_input` gave for B photos; photos of one size go through together."""
    codes: list[Tensor | None] = [None] * len(inputs)
    shapes = [x.shape for x, _ in inputs]
    for shape in dict.fromkeys(shapes):
        members = [number for number, other in enumerate(shapes) if other == shape]
        x, keep = (torch.stack([inputs[number][part] for number in members]).to(device) for part in (0, 1))
        for number, z in zip(members, encoder(x, keep), strict=True):
            codes[number] = z
    return torch.stack(codes)


def _level(view: View, spec: BufferSpec, level: int, box: tuple[int, int, int, int]) -> dict:
    """A part of a level of a view's deep buffer, as `raster_tensors` takes it; box: x, y, width, height."""
    x, y, width, height = box
    part = slice(y, y + height), slice(x, x + width)
    if level < len(view.depth):
        color, depth = view.color[level][part], view.depth[level][part]
        lighting = view.lighting[level][part] if spec.lighting else None
        index = view.index[level][part] if spec.point_channels else None
    else:  # beyond the packed pyramid: the nearest hit of each 2x2 pixels of the level above
        above = _level(view, spec, level - 1, (2 * x, 2 * y, 2 * width, 2 * height))
        color, depth, lighting, index = _halve(*(above[kind] for kind in ("color", "depth", "lighting", "index")))
    found = {
        "color": color,
        "depth": depth,
        "lighting": lighting,
        "index": index,
        "labels": view.labels[:: 1 << level, :: 1 << level][part],
    }
    if spec.view_direction and view.camera is not None:
        full_height, full_width = level_size(*view.labels.shape, level)
        camera = view.camera.resized(full_width, full_height)
        window = replace(camera, width=width, height=height, cx=camera.cx - x, cy=camera.cy - y)
        found["rays"] = window.ray_directions()
    return found


def _halve(
    color: np.ndarray, depth: np.ndarray, lighting: np.ndarray | None, index: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Colour, depth, lighting and index at half the size: of each 2x2 block the nearest pixel with a hit."""

    def blocks(array: np.ndarray) -> np.ndarray:
        """(h, w, …) to (h / 2, w / 2, 4, …); an odd last row or column stands twice."""
        odd = [(0, array.shape[0] % 2), (0, array.shape[1] % 2), *[(0, 0)] * (array.ndim - 2)]
        array = np.pad(array, odd, mode="edge")
        height, width = array.shape[:2]
        array = array.reshape(height // 2, 2, width // 2, 2, *array.shape[2:]).swapaxes(1, 2)
        return array.reshape(height // 2, width // 2, 4, *array.shape[4:])

    depths = blocks(depth)
    nearest = np.where(depths > 0, depths, np.inf).argmin(axis=2)[..., None]  # (h / 2, w / 2, 1)

    def pick(array: np.ndarray | None) -> np.ndarray | None:
        if array is None:
            return None
        place = nearest.reshape(*nearest.shape, *[1] * (array.ndim - 2))
        return np.take_along_axis(blocks(array), place, axis=2)[:, :, 0]

    return pick(color), pick(depth), pick(lighting), pick(index)
