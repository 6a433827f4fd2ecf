"""Exact z-buffered point rasterization in torch.

A pixel's key is an int64: the bits of the nearest point's float32 depth above that point's index. Positive floats order
as their bits do, so the smallest key is the nearest point, ties going to the lower index: one scatter with `amin` is a
z-buffer that no order of points, chunks or threads can change.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from nrw.cameras import Camera
from nrw.errors import UserError

EMPTY = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class DeepBuffer:
    """What a camera sees of a cloud.

    index: (H, W) int32, the point seen, counted over all chunks; -1 = none.
    depth: (H, W) float32, its z in the camera, world units, > 0; 0 = none.
    """

    index: np.ndarray
    depth: np.ndarray

    @property
    def hit(self) -> np.ndarray:
        """(H, W) bool: pixels that show a point."""
        return self.index >= 0

    @property
    def density(self) -> float:
        """Share of the pixels that show a point."""
        return float(np.mean(self.hit))


def rasterize(
    point_chunks: Iterable[np.ndarray], camera: Camera, splat: int = 1, near: float = 0.0, device: str = "cpu"
) -> DeepBuffer:
    """The nearest point of every pixel.

    point_chunks: (M, 3) float arrays, world; one chunk at a time is in memory, indices run on over the chunks.
    A point at image coordinates (u, v) falls into pixel (floor(v), floor(u)); points at depth <= `near` (world units)
    or outside the image are not seen. With `splat` > 1 each seen point is a square of that many pixels (odd) that faces
    the camera at the point's own depth.
    Raises UserError if `device` is cuda and there is none.
    """
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise UserError("device: cuda is asked for, but torch finds no CUDA device; set device: cpu")
    keys = torch.full((camera.height * camera.width,), EMPTY, dtype=torch.int64, device=device)
    first = 0
    for points in point_chunks:
        _draw(keys, torch.as_tensor(points, dtype=torch.float32, device=device), first, camera, near)
        first += len(points)
    return _buffer(_splat(keys.view(camera.height, camera.width), splat))


def pyramid(buffer: DeepBuffer, levels: int, splat: int = 1) -> list[DeepBuffer]:
    """Buffers of halved sizes from one made with splat=1: level l is (ceil(H / 2^l), ceil(W / 2^l)).

    The nearest point of a 2x2 block of pixels is the nearest point of the coarse pixel, so each level equals
    rasterizing the cloud with the intrinsics divided by 2^l. Then every level gets its splats, in its own pixels.
    """
    keys = _keys(buffer)
    pyramid = []
    for level in range(levels):
        if level > 0:
            keys = _halve(_halve(keys).T).T
        pyramid.append(_buffer(_splat(keys, splat)))
    return pyramid


def _draw(keys: torch.Tensor, points: torch.Tensor, first: int, camera: Camera, near: float) -> None:
    """Lower the keys (H*W,) to those of the points (M, 3), whose indices start at `first`."""
    if first + len(points) > torch.iinfo(torch.int32).max:
        raise UserError(
            f"the cloud has more than {torch.iinfo(torch.int32).max} points; set mvs: voxel_size to thin it"
        )
    # (3, 4): its rows give u z, v z and z
    img_from_world = torch.as_tensor(camera.K @ camera.cam_from_world, dtype=torch.float32, device=points.device)
    a, b, c, d = img_from_world.unsqueeze(2).unbind(1)  # columns, each (3, 1)
    x, y, z = points.T.contiguous()  # each (M,)
    # spelled out: a matrix product would round a point differently with its place in the chunk
    uz, vz, z = a * x + b * y + c * z + d
    u, v = uz / z, vz / z
    # compared as floats: a point almost in the camera's plane may have coordinates that no integer holds
    seen = ((z > near) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)).nonzero().squeeze(1)  # (S,)
    pixel = v[seen].long() * camera.width + u[seen].long()
    depth_bits = z[seen].view(torch.int32).long()
    keys.scatter_reduce_(0, pixel, (depth_bits << 32) | (seen + first), "amin")


def _splat(keys: torch.Tensor, diameter: int) -> torch.Tensor:
    """Minimum of the keys (H, W) over squares of an odd diameter: of overlapping splats the nearest is seen."""
    if diameter < 1 or diameter % 2 == 0:
        raise UserError(f"framebuffers: splat: {diameter} is not an odd number of pixels; use 1, 3, 5, …")
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


def _halve(keys: torch.Tensor) -> torch.Tensor:
    """Minimum of rows 0 and 1, 2 and 3, …; an odd last row stands alone."""
    halved = keys[0::2].clone()
    pairs = halved[: len(keys) // 2]
    torch.minimum(pairs, keys[1::2], out=pairs)
    return halved


def _keys(buffer: DeepBuffer) -> torch.Tensor:
    """(H, W) int64 keys of a buffer."""
    index = torch.from_numpy(np.asarray(buffer.index)).long()
    depth = torch.from_numpy(np.asarray(buffer.depth))
    return torch.where(index >= 0, (depth.view(torch.int32).long() << 32) | index, EMPTY)


def _buffer(keys: torch.Tensor) -> DeepBuffer:
    hit = keys != EMPTY
    index = torch.where(hit, keys & 0xFFFFFFFF, -1).to(torch.int32)
    depth = torch.where(hit, keys >> 32, 0).to(torch.int32).view(torch.float32)
    return DeepBuffer(index.cpu().numpy(), depth.cpu().numpy())
