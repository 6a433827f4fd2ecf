"""From views to tensors: the one place that defines the channels of the networks' input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.dataset.packed import View, level_size
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import decode_lighting
from nrw.models.detail_channels import DETAIL, decode_detail, pooled_detail

ENCODER_SIZE = 256  # pixels, longer side: the encoder sees the finest level of the pyramid within it
SKY_TERMS = 16  # spherical harmonics up to degree 3

Array = np.ndarray | Tensor


@dataclass(frozen=True)
class BufferSpec:
    """The channels of the deep buffer.

    representation: `corrected`, or `paper2019` (RGB, depth and the label's colour, all in [-1, 1], one level).
    levels: sizes at which the cloud is rasterized, each half the one before.
    view_direction: whether there are three channels with the unit ray in the world.
    lighting: channels per point that describe its response to light (`framebuffers.lighting`).
    point_channels: learned channels per point. n_points: points in the cloud.
    classes: groups of labels (`core.ade20k.GROUPS`) with a channel of their own, all other labels share one more;
      empty without segmentation.
    near, far: depths at which the depth channel saturates, world units.
    detail: whether the finest level has the detail of source photos beside it.
    """

    representation: str
    levels: int
    view_direction: bool
    lighting: int
    point_channels: int
    n_points: int
    classes: tuple[int, ...]
    near: float
    far: float
    detail: bool = False

    @classmethod
    def from_config(cls, config: Mapping, meta: Mapping) -> "BufferSpec":
        """Derive the spec from a configuration and the `meta` of a packed data set, opened with its detail if any.

        Raises UserError if the data set lacks what the configuration asks for.
        """
        buffer = config["buffer"]
        representation = buffer["representation"]
        if buffer["levels"] > meta["levels"]:
            raise UserError(
                f"buffer.levels is {buffer['levels']}, but the packed data set holds {meta['levels']}: "
                "pack the data set again, or lower buffer.levels"
            )
        if buffer["lighting"] > meta["lighting"]:
            raise UserError(
                f"buffer.lighting is {buffer['lighting']}, but the data set holds {meta['lighting']} such channels "
                "(sets in the 2019 format have none): pack the data set again, or lower buffer.lighting"
            )
        if buffer["point_channels"] and not meta["has_index"]:
            raise UserError(
                f"buffer.point_channels is {buffer['point_channels']}, but the data set has no point indices "
                "(sets in the 2019 format have none): set buffer.point_channels to 0"
            )
        if representation == "paper2019":
            extras = {"levels": 1, "view_direction": False, "lighting": 0, "point_channels": 0, "detail": False}
            wrong = [f"buffer.{key}: {buffer[key]}" for key, value in extras.items() if buffer[key] != value]
            if wrong:
                raise UserError(
                    f"buffer.representation paper2019 has 7 channels at one size, but the configuration has "
                    f"{', '.join(wrong)}: set buffer.levels to 1, buffer.view_direction and "
                    "buffer.detail to false, buffer.lighting and buffer.point_channels to 0"
                )
        elif representation != "corrected":
            raise UserError(f"buffer.representation is {representation!r}: choose corrected or paper2019")
        if buffer["detail"] and not meta["has_index"]:
            raise UserError(
                "buffer.detail is true, but the data set has no cameras and no cloud (sets in the 2019 format have "
                "none): set buffer.detail to false"
            )
        return cls(
            representation,
            buffer["levels"],
            buffer["view_direction"],
            buffer["lighting"],
            buffer["point_channels"],
            meta["n_points"],
            tuple(meta["classes"]) if representation == "corrected" else (),
            meta["near"],
            meta["far"],
            buffer["detail"],
        )

    @classmethod
    def from_record(cls, record: Mapping) -> "BufferSpec":
        """Restore the spec from its fields as JSON holds them."""
        return cls(**{**record, "classes": tuple(record["classes"])})

    @property
    def raster_channels(self) -> int:
        """Channels per level without the learned ones."""
        if self.representation == "paper2019":
            return 7
        return 5 + 3 * self.view_direction + (len(self.classes) + 1 if self.classes else 0) + self.lighting

    @property
    def color_terms(self) -> int:
        """Number of terms of the function `color_terms`; 0 in the representation of 2019."""
        if self.representation == "paper2019":
            return 0
        empty = SKY_TERMS + 2 if self.view_direction else 1
        return 4 + empty + (len(self.classes) + 1 if self.classes else 0) + self.lighting

    @property
    def channels(self) -> int:
        """Channels per level, including the learned ones."""
        return self.raster_channels + self.point_channels


def raster_tensors(spec: BufferSpec, levels: Sequence[Mapping]) -> tuple[list[Tensor], list[Tensor] | None]:
    """Compute the fixed channels of each level, and its point indices.

    levels: `spec.levels` mappings, finest first, of arrays or tensors (on any device) with any leading batch
    dimensions: color (…, h, w, 3) uint8; depth (…, h, w) float32, 0 without a hit; coverage (…, h, w) uint8, the share
    of the pixel with a hit, times 255; lighting (…, h, w, at least spec.lighting) uint8, or None where the spec has
    none; index (…, h, w) int32, -1 without a hit, or None where the
    spec has no point channels; labels (…, h, w) uint8, or None where it has no classes; rays (…, 3, h, w) float32 unit
    vectors in the world, or None without view direction.

    Returns per level (…, C, h, w) float32, C = spec.raster_channels, and per level (…, h, w) int64, or None where the
    spec has no learned channels. The channels in order, for `corrected`: RGB in [-1, 1], times hit; inverse
    depth, 0 at `far` and 1 at `near`, clamped, 0 without a hit; hit (0 to 1); view direction; one-hot labels, the last
    for all other labels; lighting in [-1, 1], times hit. For `paper2019`: RGB, depth, label colour.

    Raises UserError if the spec has view directions and there are no rays.
    """
    channels = _paper2019_channels if spec.representation == "paper2019" else _corrected_channels
    tensors = [channels(spec, level) for level in levels[: spec.levels]]
    if not spec.point_channels:
        return tensors, None
    return tensors, [as_tensor(level["index"]).long() for level in levels[: spec.levels]]


def as_tensor(values: Array) -> Tensor:
    """Return a tensor unchanged, an array as a copy, because those of a data set are memory-mapped and read-only."""
    return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))


def _signed(pixels: Tensor) -> Tensor:
    """Convert colours (…, h, w, 3) uint8 to (…, 3, h, w) float32 in [-1, 1]."""
    return pixels.movedim(-1, -3) / 127.5 - 1


def _corrected_channels(spec: BufferSpec, level: Mapping) -> Tensor:
    depth = as_tensor(level["depth"])  # (…, h, w)
    hit = as_tensor(level["coverage"]) / 255
    out = depth.new_zeros((*depth.shape[:-2], spec.raster_channels, *depth.shape[-2:]))
    out[..., :3, :, :] = _signed(as_tensor(level["color"])) * hit.unsqueeze(-3)
    inverse = (1 / depth - 1 / spec.far) / (1 / spec.near - 1 / spec.far)  # infinite without a hit
    out[..., 3, :, :] = torch.where(depth > 0, inverse.clamp(0, 1), 0)
    out[..., 4, :, :] = hit
    filled = 5
    if spec.view_direction:
        if level.get("rays") is None:
            raise UserError(
                "buffer.view_direction is true, but this view has no camera (sets in the 2019 format have none): "
                "set buffer.view_direction to false"
            )
        out[..., 5:8, :, :] = as_tensor(level["rays"])
        filled = 8
    if spec.classes:
        slot = _class_slots(spec.classes, depth.device)[as_tensor(level["labels"]).long()]
        out[..., filled:, :, :].scatter_(-3, slot.unsqueeze(-3), 1.0)
    if spec.lighting:
        lighting = decode_lighting(as_tensor(level["lighting"])[..., : spec.lighting].float())
        out[..., -spec.lighting :, :, :] = lighting.movedim(-1, -3) * hit.unsqueeze(-3)
    return out


def _paper2019_channels(spec: BufferSpec, level: Mapping) -> Tensor:
    """RGB, depth, label colour. Depth is linear from 0 (also: no hit) to `far`.

    The release scaled 16-bit depth by 2/255 as if it were 8-bit, so that its range depended on how the file was made.
    """
    depth = as_tensor(level["depth"])
    labels = level.get("labels")
    labels = torch.zeros_like(depth, dtype=torch.long) if labels is None else as_tensor(labels).long()
    linear = (depth / spec.far).clamp(0, 1) * 2 - 1
    colors = _signed(_label_colors(depth.device)[labels])
    return torch.cat([_signed(as_tensor(level["color"])), linear.unsqueeze(-3), colors], dim=-3)


@cache
def _label_colors(device: torch.device) -> Tensor:
    """Return the colour of each label, (151, 3) uint8."""
    return torch.from_numpy(ade20k.colorize(np.arange(ade20k.N_LABELS + 1))).to(device)


@cache
def _class_slots(classes: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the one-hot channel of each label, (151,) int64; labels of other groups share the last."""
    slots = torch.full((ade20k.N_GROUPS,), len(classes))
    slots[list(classes)] = torch.arange(len(classes))
    return slots[torch.from_numpy(ade20k.GROUPS).long()].to(device)


@cache
def _is_kept(transient: tuple[int, ...], device: torch.device) -> Tensor:
    """Return whether each label counts, (256,) float32: 0 for transient ones, else 1."""
    kept = torch.ones(256)
    kept[list(transient)] = 0
    return kept.to(device)


def crop(
    view: View, spec: BufferSpec, transient: Sequence[int], box: tuple[int, int, int, int] | None = None, shift: int = 0
) -> tuple[list[Tensor], list[Tensor] | None, Tensor, Tensor]:
    """Crop a photo and its deep buffer: rasters and indices as of `crop_buffer`, pixels (3, H, W), keep (1, H, W).

    The pixels, in [-1, 1], are means over 2^shift by 2^shift pixels of the photo; keep is 1 where none of these is
    transient.
    """
    rasters, index = crop_buffer(view, spec, box, shift)
    height, width = level_size(*view.shape, shift)
    x, y, w, h = box or (0, 0, width, height)
    part = slice(y << shift, (y + h) << shift), slice(x << shift, (x + w) << shift)
    pixels, keep = photo_tensor(view.pixels[part]), keep_mask(view.labels[part], transient)
    if shift:
        pixels = F.avg_pool2d(pixels, 1 << shift)
        keep = (F.avg_pool2d(keep, 1 << shift) == 1).float()
    return rasters, index, pixels, keep


def crop_buffer(
    view: View, spec: BufferSpec, box: tuple[int, int, int, int] | None = None, shift: int = 0
) -> tuple[list[Tensor], list[Tensor] | None]:
    """Crop a view's deep buffer: level l (C, h_l, w_l) float32 and, with point channels, (h_l, w_l) int64.

    Computed where the view is.

    Behind the levels, where the spec has it, is the detail (5, h, w) float32 of the finest (`decode_detail`).

    box: x, y, width, height in pixels of pyramid level `shift`, which becomes level 0; None: the whole view.
    """
    height, width = level_size(*view.shape, shift)
    x, y, w, h = box or (0, 0, width, height)
    levels = []
    for level in range(spec.levels):
        rows, columns = level_size(h, w, level)
        levels.append(_level(view, spec, shift + level, (x >> level, y >> level, columns, rows)))
    rasters, index = raster_tensors(spec, levels)
    return [*rasters, _detail(view, (x, y, w, h), shift)] if spec.detail else rasters, index


def _detail(view: View, box: tuple[int, int, int, int], shift: int) -> Tensor:
    """Crop the detail of a view: (5, h, w) float32. box: in pixels of level `shift`. 0 where the view has none."""
    x, y, width, height = box
    if view.detail is None:
        return torch.zeros(DETAIL, height, width, device=view.device)
    found = as_tensor(view.detail[y << shift : (y + height) << shift, x << shift : (x + width) << shift])
    detail = decode_detail(found)
    padding = (0, (width << shift) - detail.shape[2], 0, (height << shift) - detail.shape[1])
    return pooled_detail(F.pad(detail, padding), 1 << shift) if shift else detail


def encoder_input(
    view: View, spec: BufferSpec, transient: Sequence[int], region: tuple[float, float] | None = None
) -> tuple[Tensor, Tensor]:
    """Prepare what the appearance encoder sees of a photo: all of it, or only the columns of `region`.

    region: first and last column as fractions of the width. Returns x (3 + C, h, w) float32, the photo in [-1, 1] and
    the fixed channels of the pyramid's finest level of at most 256 pixels (else of its coarsest), and keep (1, h, w)
    float32, 0 where all covered pixels are transient. A pixel of x is the mean of the kept pixels that it covers.
    """
    full_height, full_width = view.labels.shape
    sizes = [level_size(full_height, full_width, level) for level in range(spec.levels)]
    level = next((level for level, size in enumerate(sizes) if max(size) <= ENCODER_SIZE), spec.levels - 1)
    height, width = sizes[level]
    first, last = (round(fraction * width) for fraction in region or (0, 1))
    rasters, _ = raster_tensors(spec, [_level(view, spec, level, (first, 0, last - first, height))])
    columns = slice(first << level, last << level)
    pixels, keep = photo_tensor(view.pixels[:, columns]), keep_mask(view.labels[:, columns], transient)
    share = F.adaptive_avg_pool2d(keep, (height, last - first))
    pixels = F.adaptive_avg_pool2d(pixels * keep, (height, last - first)) / share.clamp_min(1e-6)
    return torch.cat([pixels, rasters[0]]), (share > 0).float()


def photo_tensor(pixels: Array) -> Tensor:
    """Convert pixels (H, W, 3) uint8 to (3, H, W) float32 in [-1, 1]."""
    return _signed(as_tensor(pixels))


def keep_mask(labels: Array, transient: Sequence[int]) -> Tensor:
    """Mask a label map (H, W): (1, H, W) float32, 0 where a label is transient, else 1."""
    numbers = as_tensor(labels).int()
    return _is_kept(tuple(transient), numbers.device)[numbers][None]


def rays(camera: Camera, device: torch.device) -> Tensor:
    """The unit vectors in the world through the pixel centres, (3, H, W) float32, computed on the device."""
    x = (torch.arange(camera.width, device=device) + (0.5 - camera.cx)) / camera.fx
    y = (torch.arange(camera.height, device=device) + (0.5 - camera.cy)) / camera.fy
    inverse = (x.square() + (y.square() + 1)[:, None]).rsqrt_()  # of the rays' lengths
    along_x, along_y, forward = camera.rotation.tolist()
    both = [a * x + (b * y + c)[:, None] for a, b, c in zip(along_x, along_y, forward, strict=True)]
    return torch.stack(both).mul_(inverse)


def _level(view: View, spec: BufferSpec, level: int, box: tuple[int, int, int, int]) -> dict:
    """Crop one level of a view's deep buffer, as `raster_tensors` takes it; box: x, y, width, height."""
    x, y, width, height = box
    part = slice(y, y + height), slice(x, x + width)
    color: Array
    depth: Array
    coverage: Array
    lighting: Array | None
    index: Array | None
    if level < len(view.depth):
        color, depth = view.color[level][part], view.depth[level][part]
        coverage = view.coverage[level][part]
        lighting = _of_cloud(view.lighting, "lighting", "lighting")[level][part] if spec.lighting else None
        index = _of_cloud(view.index, "point_channels", "point indices")[level][part] if spec.point_channels else None
    else:  # beyond the packed pyramid: the nearest hit of each 2x2 pixels of the level above
        above = _level(view, spec, level - 1, (2 * x, 2 * y, 2 * width, 2 * height))
        kinds = ("color", "depth", "coverage", "lighting", "index")
        color, depth, coverage, lighting, index = _halve(*(above[kind] for kind in kinds))
    found = {
        "color": color,
        "depth": depth,
        "coverage": coverage,
        "lighting": lighting,
        "index": index,
        "labels": view.labels[:: 1 << level, :: 1 << level][part],
    }
    if spec.view_direction and view.camera is not None:
        full_height, full_width = level_size(*view.shape, level)
        camera = view.camera.resized(full_width, full_height)
        window = replace(camera, width=width, height=height, cx=camera.cx - x, cy=camera.cy - y)
        found["rays"] = rays(window, view.device)
    return found


def _of_cloud(levels: list[np.ndarray] | None, key: str, what: str) -> list[np.ndarray]:
    """Return what `buffer.<key>` needs of a view. Raises UserError where the view lacks it."""
    if levels is None:
        raise UserError(
            f"buffer.{key} is above 0, but this view has no {what} (sets in the 2019 format have none): "
            f"set buffer.{key} to 0"
        )
    return levels


def _halve(
    color: Array, depth: Array, coverage: Array, lighting: Array | None, index: Array | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """Halve colour, depth, lighting and index: of each 2x2 block the nearest pixel with a hit; coverage: the mean."""

    def blocks(values: Array) -> Tensor:
        """(h, w, …) to (h / 2, w / 2, 4, …); an odd last row or column is repeated."""
        whole = as_tensor(values)
        rows, columns = (
            torch.arange(size + size % 2, device=whole.device).clamp_max(size - 1) for size in whole.shape[:2]
        )
        paired = whole[rows][:, columns].unflatten(0, (-1, 2)).unflatten(2, (-1, 2))
        return paired.transpose(1, 2).flatten(2, 3)

    depths = blocks(depth)
    nearest = torch.where(depths > 0, depths, torch.inf).argmin(dim=2, keepdim=True)  # (h / 2, w / 2, 1)

    def pick(values: Array) -> Tensor:
        of_blocks = blocks(values)
        place = nearest.reshape(*nearest.shape, *[1] * (of_blocks.ndim - 3))
        return of_blocks.take_along_dim(place, dim=2)[:, :, 0]

    return (
        pick(color),
        pick(depth),
        blocks(coverage).float().mean(dim=2).round().byte(),
        None if lighting is None else pick(lighting),
        None if index is None else pick(index),
    )
