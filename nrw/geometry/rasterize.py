"""Exact z-buffered point rasterization in torch.

A pixel's key is an int64 that holds, from the highest bits down, the bits of the nearest point's float32 depth, the
point's index, and its reach. Positive floats sort as their bits do, so the smallest key is the nearest point, and of
equally near ones that with the lower index. One scatter with `amin` is a z-buffer that does not depend on the order of
points, chunks or threads.

Points are drawn as squares of a few pixels (splats). A point that is farther than that from its neighbours in the
picture, on a surface close to the camera, reaches farther where no other point is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

from nrw.core.device import torch_device
from nrw.core.errors import UserError
from nrw.geometry.cameras import Camera

EMPTY = torch.iinfo(torch.int64).max  # key of a pixel without a point
SAME_SURFACE = 0.02  # relative to depth: points at most this far behind the nearest one are on the same surface
REACH_BITS = 4
MAX_POINTS = 1 << 32 - REACH_BITS
LARGEST = 8  # pixels, the largest reach
REACH = 0.75  # spacings: half a spacing would leave the corners between the points empty
NEIGHBOUR = 0.05  # weight of a neighbouring pixel's points in a splat; the pixel's own have 1. A larger one blurs


@dataclass(frozen=True)
class DeepBuffer:
    """The points of a cloud that a camera sees.

    index: (H, W) int32, the point seen, counted over all chunks; -1 where there is none.
    depth: (H, W) float32, its z in the camera, world units, > 0; 0 where there is none.
    reach: (H, W) uint8, pixels around its own that the point covers where there is no other point; None: 0 everywhere.
    """

    index: np.ndarray
    depth: np.ndarray
    reach: np.ndarray | None = None

    @property
    def hit(self) -> np.ndarray:
        """(H, W) bool: pixels that show a point."""
        return self.index >= 0

    @property
    def density(self) -> float:
        """Share of the pixels that show a point."""
        return float(np.mean(self.hit))


def rasterize(
    point_chunks: Iterable[np.ndarray | torch.Tensor],
    camera: Camera,
    splat: int = 1,
    near: float = 0.0,
    device: str = "cpu",
) -> DeepBuffer:
    """Find the nearest point of every pixel.

    point_chunks: (M, 3) float arrays, world; one chunk at a time is in memory, indices run on over the chunks.
    A point at image coordinates (u, v) falls into pixel (floor(v), floor(u)); points at depth <= `near` (world units)
    or outside the image are not seen. With `splat` > 1 each point is a square of that many pixels (odd) that faces the
    camera, at the point's depth.
    Raises UserError for a `splat` that is not positive and odd, for more than MAX_POINTS points, and for CUDA where
    there is no CUDA device.
    """
    keys = torch.full((camera.height * camera.width,), EMPTY, dtype=torch.int64, device=torch_device(device))
    first = 0
    for points in point_chunks:
        _draw(keys, torch.as_tensor(points, dtype=torch.float32, device=keys.device), first, camera, near)
        first += len(points)
    return _buffer(_splat(keys.view(camera.height, camera.width), splat))


def reaching(buffer: DeepBuffer, spacing: np.ndarray, camera: Camera) -> DeepBuffer:
    """The buffer with a reach that closes the gaps between the points.

    buffer: of one-pixel points. spacing: (N,) world units, `geometry.pointcloud.spacing` of all points of the cloud.
    """
    pixels = np.zeros(buffer.depth.shape)
    np.divide(REACH * camera.fx * spacing[buffer.index.clip(0)], buffer.depth, out=pixels, where=buffer.hit)
    return replace(buffer, reach=np.rint(pixels.clip(0, LARGEST)).astype(np.uint8))


def pyramid(buffer: DeepBuffer, levels: int, splat: int = 1) -> list[DeepBuffer]:
    """Buffers of halved sizes from one made with splat=1: level l is (ceil(H / 2^l), ceil(W / 2^l)).

    The nearest point of a 2x2 block of pixels is the nearest point of the coarse pixel, so each level equals
    rasterizing the cloud with the intrinsics divided by 2^l. Then each level gets its splats, in its own pixels, and
    its empty pixels get the points that reach them.
    """
    keys = _keys(buffer)
    buffers = []
    for level in range(levels):
        if level > 0:
            keys = _halve(_halve(keys).T).T
        buffers.append(_buffer(_grow(_splat(keys, splat), splat, level)))
    return buffers


def shade(
    point_chunks: Iterable[np.ndarray | torch.Tensor],
    colors: np.ndarray,
    camera: Camera,
    buffer: DeepBuffer,
    splats: DeepBuffer,
    splat: int = 1,
    device: str = "cpu",
) -> np.ndarray:
    """The anti-aliased picture (H, W, C) uint8 of a cloud: a pixel is the mean of all points of the surface it shows.

    The nearest point alone is one of dozens, and another one after every camera motion: the picture would flicker.
    point_chunks, camera: those that `rasterize` made `buffer` from, with splat=1. colors: (N, C) uint8, of all points.
    splats: the finest level that `pyramid` makes of `buffer` with this `splat`. The points of neighbouring pixels weigh
    less than a pixel's own. 0 where no point is seen. Pixels that only the reach of a point covers are filled from
    their neighbours.
    """
    height, width = buffer.depth.shape
    channels = colors.shape[1] + 1
    front = torch.as_tensor(buffer.depth.ravel(), device=device)  # (H*W,)
    sums = torch.zeros(height * width, channels, device=device)  # of integers: exact in any order
    first = 0
    for chunk in point_chunks:
        points = torch.as_tensor(chunk, dtype=torch.float32, device=device)
        seen, pixel, depth = _project(points, camera)
        shown = depth <= front[pixel] * (1 + SAME_SURFACE)
        seen, pixel = seen[shown], pixel[shown]
        colored = torch.as_tensor(np.array(colors[first : first + len(points)]), device=device)
        sums.index_add_(0, pixel, torch.cat([colored[seen].float(), torch.ones_like(pixel[:, None]).float()], dim=1))
        first += len(points)
    sums = sums.view(height, width, channels).cpu()
    return _blend(sums, torch.as_tensor(buffer.depth), splat, splats)


def color_pyramid(color: np.ndarray, buffers: Sequence[DeepBuffer], splat: int = 1) -> list[np.ndarray]:
    """The anti-aliased pictures (h, w, C) uint8 of a pyramid's buffers.

    color: (H, W, C) uint8, the picture of the first buffer. splat: as for `pyramid`.
    """
    colors = [color]
    for above, buffer in pairwise(buffers):
        colors.append(_shrink(colors[-1], above, splat, buffer))
    return colors


def _shrink(color: np.ndarray, above: DeepBuffer, splat: int, buffer: DeepBuffer) -> np.ndarray:
    """The picture (h, w, C) uint8 of `buffer`, from the picture (H, W, C) and the buffer of the level above."""
    depth = torch.as_tensor(above.depth)
    height, width = depth.shape
    odd = (0, width % 2, 0, height % 2)
    depth = F.pad(depth, odd)
    sums = F.pad(torch.as_tensor(np.array(color)).float(), (0, 0, *odd))
    blocks = depth.unfold(0, 2, 2).unfold(1, 2, 2)  # (h, w, 2, 2)
    front = torch.where(blocks > 0, blocks, torch.inf).amin(dim=(2, 3))
    shown = (blocks > 0) & (blocks <= front[..., None, None] * (1 + SAME_SURFACE))
    sums = (sums.unfold(0, 2, 2).unfold(1, 2, 2) * shown.unsqueeze(2)).sum(dim=(3, 4))  # (h, w, C)
    sums = torch.cat([sums, shown.sum(dim=(2, 3)).unsqueeze(2)], dim=2)
    return _blend(sums, torch.where(torch.isinf(front), 0, front), splat, buffer)


def _blend(sums: torch.Tensor, front: torch.Tensor, splat: int, buffer: DeepBuffer) -> np.ndarray:
    """(H, W, C) uint8 mean colours over splats.

    sums: (H, W, C + 1), of the points' colours and of their number. front: (H, W), depth of each pixel's surface.
    buffer: with splats and reach; its pixels that no splat of the sums covers get the mean of the pixels beside them.
    """
    means = F.pad(_means(sums, front, splat), (0, 0, 1, 1, 1, 1))
    shown = F.pad(torch.as_tensor(buffer.depth), (1, 1, 1, 1))
    around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    for _ in range(LARGEST):
        row, column = ((shown > 0) & (means[..., -1] == 0)).nonzero(as_tuple=True)
        if not len(row):
            break
        beside = torch.stack([means[row + y, column + x] for y, x in around])  # (8, M, C + 1)
        depths = torch.stack([shown[row + y, column + x] for y, x in around])
        depths = torch.where(beside[..., -1] > 0, depths, torch.inf)
        same = torch.isfinite(depths) & (depths <= depths.amin(dim=0) * (1 + SAME_SURFACE))
        count = same.sum(dim=0)[:, None]
        means[row, column] = (beside * same[..., None]).sum(dim=0) / count.clamp_min(1)
    return means[1:-1, 1:-1, :-1].round().byte().numpy()


def _means(sums: torch.Tensor, front: torch.Tensor, splat: int) -> torch.Tensor:
    """(H, W, C + 1): mean colours over splats, then 1 where there is a mean, else 0. sums, front: as for `_blend`."""
    height, width = front.shape
    radius = splat // 2
    padded = F.pad(sums, (0, 0, radius, radius, radius, radius))
    depths = F.pad(torch.where(sums[..., -1] > 0, front, torch.inf), [radius] * 4, value=torch.inf)
    shifts = [(y, x) for y in range(splat) for x in range(splat)]
    nearest = torch.stack([depths[y : y + height, x : x + width] for y, x in shifts]).amin(dim=0)
    total = torch.zeros_like(sums)
    for y, x in shifts:
        part = slice(y, y + height), slice(x, x + width)
        weight = NEIGHBOUR ** ((y - radius) ** 2 + (x - radius) ** 2)
        total += weight * padded[part] * (depths[part] <= nearest * (1 + SAME_SURFACE)).unsqueeze(2)
    return total / torch.where(total[..., -1:] > 0, total[..., -1:], 1)


def _project(
    points: torch.Tensor, camera: Camera, near: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The points (M, 3) that are in the picture: their indices in `points`, pixels and depths, each (S,)."""
    # (3, 4), whose rows give u z, v z and z
    img_from_world = torch.as_tensor(camera.K @ camera.cam_from_world, dtype=torch.float32, device=points.device)
    a, b, c, d = img_from_world.unsqueeze(2).unbind(1)  # columns, each (3, 1)
    x, y, z = points.T.contiguous()  # each (M,)
    # not a matrix product: its rounding of a point depends on the point's place in the chunk
    uz, vz, z = a * x + b * y + c * z + d
    u, v = uz / z, vz / z
    # compared as floats: close to the camera's plane, coordinates may exceed the integers
    seen = ((z > near) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)).nonzero().squeeze(1)
    return seen, v[seen].long() * camera.width + u[seen].long(), z[seen]


def _draw(keys: torch.Tensor, points: torch.Tensor, first: int, camera: Camera, near: float) -> None:
    """Lower the keys (H*W,) in place to those of the points (M, 3), whose indices start at `first`."""
    if first + len(points) > MAX_POINTS:
        raise UserError(f"the cloud has more than {MAX_POINTS} points; set mvs.voxel_size to thin it")
    seen, pixel, depth = _project(points, camera, near)
    depth_bits = depth.view(torch.int32).long()
    keys.scatter_reduce_(0, pixel, (depth_bits << 32) | (seen + first) << REACH_BITS, "amin")


def _splat(keys: torch.Tensor, diameter: int) -> torch.Tensor:
    """The minimum of the keys (H, W) over squares of an odd diameter: of overlapping splats the nearest is seen."""
    if diameter < 1 or diameter % 2 == 0:
        raise UserError(f"framebuffers.splat is {diameter}, which is not an odd number of pixels; use 1, 3, 5, …")
    radius = diameter // 2
    height, width = keys.shape
    for dim, size in ((0, height), (1, width)):
        grown = keys.clone()
        for shift in range(1, min(radius, size - 1) + 1):
            near, far = (0, size - shift), (shift, size - shift)
            for target, source in ((near, far), (far, near)):
                part = grown.narrow(dim, *target)
                torch.minimum(part, keys.narrow(dim, *source), out=part)
        keys = grown
    return keys


def _grow(keys: torch.Tensor, splat: int, level: int) -> torch.Tensor:
    """Fill empty pixels of a level's keys (H, W), ring by ring around the splats, with the nearest points in reach."""
    for radius in range(splat // 2 + 1, LARGEST + 1):
        far = torch.where(((keys & (1 << REACH_BITS) - 1) >= (radius << level)) & (keys != EMPTY), keys, EMPTY)
        if (far == EMPTY).all():
            break
        keys = torch.where(keys == EMPTY, _splat(far, 3), keys)
    return keys


def _halve(keys: torch.Tensor) -> torch.Tensor:
    """The minimum of rows 0 and 1, 2 and 3, …; an odd last row stands alone."""
    halved = keys[0::2].clone()
    pairs = halved[: len(keys) // 2]
    torch.minimum(pairs, keys[1::2], out=pairs)
    return halved


def _keys(buffer: DeepBuffer) -> torch.Tensor:
    """(H, W) int64 keys of a buffer."""
    index = torch.from_numpy(np.asarray(buffer.index)).long()
    depth = torch.from_numpy(np.asarray(buffer.depth))
    reach = 0 if buffer.reach is None else torch.from_numpy(np.asarray(buffer.reach)).long()
    return torch.where(index >= 0, (depth.view(torch.int32).long() << 32) | index << REACH_BITS | reach, EMPTY)


def _buffer(keys: torch.Tensor) -> DeepBuffer:
    """The buffer of keys (H, W) int64, without reach."""
    hit = keys != EMPTY
    index = torch.where(hit, (keys & 0xFFFFFFFF) >> REACH_BITS, -1).to(torch.int32)
    depth = torch.where(hit, keys >> 32, 0).to(torch.int32).view(torch.float32)
    return DeepBuffer(index.cpu().numpy(), depth.cpu().numpy())
