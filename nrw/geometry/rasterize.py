"""Exact z-buffered rasterization of triangles and points in torch.

A pixel's key is an int64 that holds, from the highest bits down, the bits of the nearest primitive's float32 depth, the
primitive's number, and its reach. Positive floats sort as their bits do, so the smallest key is the nearest primitive,
and of equally near ones that with the lower number. One scatter with `amin` is a z-buffer that does not depend on the
order of primitives, chunks or threads.

Triangles are tested at the centres of the pixels in their bounding boxes, all boxes of about one size together: no loop
runs over triangles or pixels. Points are drawn as squares of a few pixels (splats). A point that is farther than that
from its neighbours in the picture, on a surface close to the camera, reaches farther where nothing else is.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nrw.core.device import constant, torch_device
from nrw.core.errors import UserError
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import Cloud

EMPTY = torch.iinfo(torch.int64).max  # key of a pixel without a primitive
SAME_SURFACE = 0.02  # relative to depth: what is at most this far behind the nearest is on the same surface
REACH_BITS = 4
MAX_PRIMITIVES = 1 << 32 - REACH_BITS
LARGEST = 8  # pixels, the largest reach
REACH = 0.75  # spacings: half a spacing would leave the corners between the points empty
CHUNK = 1 << 20  # primitives at a time
CANDIDATES = 1 << 20  # pixels that triangles are tested at, at a time
EDGE = 1e-5  # a pixel's centre this far outside a triangle, in barycentric units, still belongs to it: no cracks


@dataclass(frozen=True)
class Geometry:
    """What is drawn of a scene, on one device.

    points: (N, 3) float32, world. faces: (F, 3) int64, the corners of each triangle, of the first points. loose:
    (L,) int64, the points that are drawn as such: those of no triangle. spacing: (L,) float32, theirs, world
    units, within which they reach; 0 beside a surface.
    Primitives are numbered: the faces first, then the loose points.
    """

    points: Tensor
    faces: Tensor
    loose: Tensor
    spacing: Tensor

    @classmethod
    def of(cls, cloud: Cloud, device: torch.device | str = "cpu") -> "Geometry":
        """The geometry of a cloud. Raises UserError for CUDA without a CUDA device, and for too many primitives."""
        first = int(cloud.faces.max()) + 1 if len(cloud.faces) else 0  # the surface's vertices come first
        loose = torch.arange(first, len(cloud.points))
        if len(cloud.faces) + len(loose) > MAX_PRIMITIVES:
            raise UserError(f"the cloud has more than {MAX_PRIMITIVES} points; set mvs.voxel_size to thin it")
        # beside a surface loose points do not reach: they are thin things, or stray
        spacing = np.zeros(len(loose), np.float32) if first else cloud.spacing
        target = torch_device(str(device))
        return cls(
            torch.from_numpy(np.array(cloud.points, np.float32)).to(target),
            torch.from_numpy(np.array(cloud.faces)).long().to(target),
            loose.to(target),
            torch.from_numpy(np.array(spacing)).to(target),
        )

    @property
    def device(self) -> torch.device:
        return self.points.device


@dataclass(frozen=True)
class DeepBuffer:
    """What a camera sees of a geometry, on its device.

    primitive: (H, W) int32, the primitive seen; -1 where there is none. depth: (H, W) float32, its z in the camera at
    the pixel's centre, world units, > 0; 0 where there is none.
    """

    primitive: Tensor
    depth: Tensor

    @property
    def hit(self) -> Tensor:
        """(H, W) bool: pixels that show something."""
        return self.primitive >= 0


@dataclass(frozen=True)
class Samples:
    """The places on the geometry that the pixels of a buffer show.

    pixel: (M,) int64, the pixels with a hit, numbered row by row, in order. corners: (M, 3) int64, points of the cloud,
    three times the same for a loose point. weights: (M, 3) float32, barycentric, sum 1. size: (H, W) of the buffer.
    """

    pixel: Tensor
    corners: Tensor
    weights: Tensor
    size: tuple[int, int]

    def shade(self, channels: Tensor) -> Tensor:
        """Interpolate channels (N, C) of the points, of any type: (H, W, C) float32, 0 where nothing is seen."""
        mixed = torch.zeros(len(self.pixel), channels.shape[1], device=channels.device)
        for corner, weight in zip(self.corners.unbind(1), self.weights.unbind(1), strict=True):
            mixed += channels[corner] * weight[:, None]
        picture = torch.zeros(self.size[0] * self.size[1], channels.shape[1], device=channels.device)
        picture[self.pixel] = mixed
        return picture.view(*self.size, -1)

    def index(self) -> Tensor:
        """(H, W) int32: the point with the largest weight, -1 where nothing is seen."""
        index = torch.full((self.size[0] * self.size[1],), -1, dtype=torch.int32, device=self.pixel.device)
        nearest = self.weights.argmax(dim=1, keepdim=True)
        index[self.pixel] = self.corners.gather(1, nearest).squeeze(1).int()
        return index.view(self.size)


def rasterize(geometry: Geometry, camera: Camera, splat: int = 1, near: float = 0.0) -> DeepBuffer:
    """Find the nearest primitive of every pixel.

    A triangle is seen at the pixels whose centres it covers, from both sides; one with a corner at depth <= `near`
    (world units) is not drawn. A loose point at image coordinates (u, v) is a square of `splat` pixels (odd) around
    pixel (floor(v), floor(u)) that faces the camera, at the point's depth, if it is in the picture and beyond `near`.
    Pixels that stay empty show the nearest loose point in whose reach they are.
    Raises UserError for a `splat` that is not positive and odd.
    """
    if splat < 1 or splat % 2 == 0:
        raise UserError(f"framebuffers.splat is {splat}, which is not an odd number of pixels; use 1, 3, 5, …")
    pixels = camera.width * camera.height
    keys = torch.full((pixels,), EMPTY, dtype=torch.int64, device=geometry.device)
    if len(geometry.loose):
        for first in range(0, len(geometry.loose), CHUNK):
            _draw_points(keys, geometry, slice(first, first + CHUNK), camera, near)
        keys = _splat(keys.view(camera.height, camera.width), splat).flatten()
    if len(geometry.faces):
        u, v, z = _projected(geometry.points, camera)
        for first in range(0, len(geometry.faces), CHUNK):
            _draw_faces(keys, geometry.faces[first : first + CHUNK], first, (u, v, z), camera, near)
    keys = keys.view(camera.height, camera.width)
    return _buffer(_grow(keys, splat) if len(geometry.loose) else keys)


def locate(geometry: Geometry, camera: Camera, buffer: DeepBuffer) -> Samples:
    """Find the places on the geometry that a buffer of this camera shows."""
    pixel = buffer.hit.flatten().nonzero().squeeze(1)
    primitive = buffer.primitive.flatten()[pixel].long()
    corners = torch.empty(len(pixel), 3, dtype=torch.int64, device=pixel.device)
    weights = torch.zeros(len(pixel), 3, device=pixel.device)
    is_face = primitive < len(geometry.faces)
    face, point = is_face.nonzero().squeeze(1), (~is_face).nonzero().squeeze(1)
    corners[point] = geometry.loose[primitive[point] - len(geometry.faces)][:, None]
    weights[point, 0] = 1
    triangles, at = geometry.faces[primitive[face]], pixel[face]
    u, v, z = (values[triangles] for values in _projected(geometry.points, camera))
    x, y = at % camera.width + 0.5, at // camera.width + 0.5
    # linear on the screen times inverse depth is linear on the triangle, up to its sum
    linear = _barycentric(u, v, x[:, None], y[:, None]).squeeze(1) / z
    corners[face], weights[face] = triangles, linear / linear.sum(dim=1, keepdim=True)
    return Samples(pixel, corners, weights, (camera.height, camera.width))


def exact_depth(geometry: Geometry, camera: Camera, buffer: DeepBuffer) -> Tensor:
    """(H, W) float32: the depths of the primitives that a buffer of this camera names, 0 without one."""
    samples = locate(geometry, camera, buffer)
    z = _projected(geometry.points, camera)[2]
    depth = torch.zeros(buffer.depth.numel(), device=z.device)
    depth[samples.pixel] = (z[samples.corners] * samples.weights).sum(dim=1)
    return depth.view(buffer.depth.shape)


def halved(buffer: DeepBuffer, samples: Samples) -> tuple[DeepBuffer, Samples]:
    """The buffer of half the size (ceil(H / 2), ceil(W / 2)), and its samples.

    A coarse pixel shows the nearest of its up to four pixels. samples: of the buffer.
    """
    height, width = buffer.depth.shape
    pixels = torch.arange(height * width, device=buffer.depth.device).view(height, width)
    depth = torch.where(buffer.hit, buffer.depth, torch.inf)
    blocks, numbers = _blocks(depth, torch.inf), _blocks(pixels, 0)  # (h, w, 4)
    nearest = blocks.argmin(dim=2, keepdim=True)
    chosen = numbers.gather(2, nearest).squeeze(2)  # (h, w), of the fine pixels
    found = torch.isfinite(blocks).any(dim=2)
    primitive = torch.where(found, buffer.primitive.flatten()[chosen], -1)
    coarse = DeepBuffer(primitive, torch.where(found, buffer.depth.flatten()[chosen], 0))
    place = torch.full((height * width,), -1, dtype=torch.int64, device=chosen.device)
    place[samples.pixel] = torch.arange(len(samples.pixel), device=chosen.device)
    kept = place[chosen[found]]
    size = (coarse.depth.shape[0], coarse.depth.shape[1])
    where = found.flatten().nonzero().squeeze(1)
    return coarse, Samples(where, samples.corners[kept], samples.weights[kept], size)


def coverage(hit: Tensor, scale: int = 2) -> Tensor:
    """(ceil(H / scale), ceil(W / scale)) float32: the share of each block of (H, W), bool or shares, that is hit.

    scale: a power of 2.
    """
    share = hit.float()
    while scale > 1:
        share, scale = _blocks(share, torch.nan).nanmean(dim=2), scale // 2
    return share


def nearest_of_four(depth: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Halve depth (H, W), 0 = none, and index (H, W), -1 = none: of each 2x2 pixels those of the nearest."""
    blocks = _blocks(torch.where(depth > 0, depth, torch.inf), torch.inf)
    nearest = blocks.argmin(dim=2, keepdim=True)
    front = blocks.gather(2, nearest).squeeze(2)
    return torch.where(torch.isinf(front), 0, front), _blocks(index, -1).gather(2, nearest).squeeze(2)


def shrink(picture: Tensor, depth: Tensor) -> Tensor:
    """Halve a picture (H, W, C): each pixel is the mean of those of its four that show its nearest surface.

    depth: (H, W), 0 = none. Returns (ceil(H / 2), ceil(W / 2), C) float32, 0 where nothing is seen.
    """
    blocks = _blocks(torch.where(depth > 0, depth, torch.inf), torch.inf)  # (h, w, 4)
    front = blocks.amin(dim=2, keepdim=True)
    shown = (torch.isfinite(blocks) & (blocks <= front * (1 + SAME_SURFACE))).float()
    channels = torch.stack([_blocks(channel, 0) for channel in picture.float().unbind(2)], dim=3)  # (h, w, 4, C)
    return (channels * shown.unsqueeze(3)).sum(dim=2) / shown.sum(dim=2, keepdim=True).clamp_min(1)


def _blocks(values: Tensor, fill: float) -> Tensor:
    """The 2x2 blocks of (H, W): (ceil(H / 2), ceil(W / 2), 4), with `fill` beyond an odd border."""
    height, width = values.shape
    if height % 2 or width % 2:
        padded = values.new_full((height + height % 2, width + width % 2), fill)
        padded[:height, :width] = values
        values = padded
    return torch.stack([values[0::2, 0::2], values[0::2, 1::2], values[1::2, 0::2], values[1::2, 1::2]], dim=2)


def _projected(points: Tensor, camera: Camera) -> tuple[Tensor, Tensor, Tensor]:
    """Image coordinates and depths of points (M, 3): u, v and z, each (M,)."""
    # (3, 4), whose rows give u z, v z and z
    img_from_world = constant(camera.K @ camera.cam_from_world, points.device)
    a, b, c, d = img_from_world.unsqueeze(2).unbind(1)  # columns, each (3, 1)
    x, y, z = points.T.contiguous()  # each (M,)
    # not a matrix product: its rounding of a point depends on the point's place in the chunk
    uz, vz, z = a * x + b * y + c * z + d
    return uz / z, vz / z, z


def _draw_points(keys: Tensor, geometry: Geometry, part: slice, camera: Camera, near: float) -> None:
    """Lower the keys (H*W,) in place to those of some of the loose points."""
    u, v, z = _projected(geometry.points[geometry.loose[part]], camera)
    # compared as floats: close to the camera's plane, coordinates may exceed the integers
    seen = ((z > near) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)).nonzero().squeeze(1)
    pixel, depth = v[seen].long() * camera.width + u[seen].long(), z[seen]
    spacing = geometry.spacing[part][seen]
    reach = (REACH * camera.fx * spacing / depth).clamp_max(LARGEST).round().long()
    number = seen + (part.start + len(geometry.faces))
    keys.scatter_reduce_(0, pixel, (_bits(depth) << 32) | number << REACH_BITS | reach, "amin")


def _draw_faces(
    keys: Tensor, faces: Tensor, first: int, projected: tuple[Tensor, Tensor, Tensor], camera: Camera, near: float
) -> None:
    """Lower the keys (H*W,) in place to those of the faces (M, 3), whose numbers start at `first`.

    projected: of all points.
    """
    u, v, z = (values[faces] for values in projected)  # (M, 3)
    # centres of pixels are at +0.5: the first and last column and row whose centres lie in the bounding box
    left, right = (u.amin(1) - 0.5).ceil().clamp_min(0), (u.amax(1) - 0.5).floor().clamp_max(camera.width - 1)
    top, bottom = (v.amin(1) - 0.5).ceil().clamp_min(0), (v.amax(1) - 0.5).floor().clamp_max(camera.height - 1)
    # most triangles of a fine mesh lie between the centres, and are gone here
    drawn = ((z > near).all(dim=1) & (right >= left) & (bottom >= top)).nonzero().squeeze(1)
    side = torch.maximum(right - left, bottom - top)[drawn] + 1
    box = torch.stack([left, right, top, bottom], dim=1)
    doubling = side.log2().ceil().long()
    for power in torch.unique(doubling).tolist():
        some = drawn[doubling == power]
        for part in some.split(max(1, CANDIDATES >> 2 * power)):
            _test_boxes(keys, part + first, (u[part], v[part], z[part]), box[part], 1 << power, camera)


def _test_boxes(
    keys: Tensor, numbers: Tensor, corners: tuple[Tensor, Tensor, Tensor], box: Tensor, side: int, camera: Camera
) -> None:
    """Draw triangles of these numbers (M,) whose bounding boxes (M, 4) are at most `side` pixels wide and high."""
    u, v, z = corners
    left, right, top, bottom = box.unsqueeze(2).unbind(1)  # each (M, 1)
    place = torch.arange(side * side, device=keys.device)
    column, row = left + place % side, top + place // side  # (M, side^2)
    weights = _barycentric(u, v, column + 0.5, row + 0.5)  # (M, side^2, 3)
    covered = (weights >= -EDGE).all(dim=2) & (column <= right) & (row <= bottom)
    triangle, candidate = covered.nonzero(as_tuple=True)
    inverse = (weights[triangle, candidate] / z[triangle]).sum(dim=1)
    pixel = (row * camera.width + column)[triangle, candidate].long()
    keys.scatter_reduce_(0, pixel, (_bits(1 / inverse) << 32) | numbers[triangle] << REACH_BITS, "amin")


def _barycentric(u: Tensor, v: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(M, P, 3): barycentric coordinates on the screen of the places x, y (M, P) in triangles with corners u, v (M, 3).

    Not finite in triangles without an area.
    """
    (u0, u1, u2), (v0, v1, v2) = u.unsqueeze(2).unbind(1), v.unsqueeze(2).unbind(1)
    area = (u1 - u0) * (v2 - v0) - (v1 - v0) * (u2 - u0)
    second = ((x - u0) * (v2 - v0) - (y - v0) * (u2 - u0)) / area
    third = ((u1 - u0) * (y - v0) - (v1 - v0) * (x - u0)) / area
    return torch.stack([1 - second - third, second, third], dim=2)


def _bits(depth: Tensor) -> Tensor:
    """The bits of positive float32 depths, as int64."""
    return depth.view(torch.int32).long()


def _splat(keys: Tensor, diameter: int) -> Tensor:
    """The minimum of the keys (H, W) over squares of an odd diameter: of overlapping splats the nearest is seen."""
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


def _grow(keys: Tensor, splat: int) -> Tensor:
    """Fill empty pixels of keys (H, W), ring by ring around the splats, with the nearest points in reach."""
    reach = torch.where(keys != EMPTY, keys & (1 << REACH_BITS) - 1, 0)
    for radius in range(splat // 2 + 1, int(reach.max()) + 1):
        far = torch.where(((keys & (1 << REACH_BITS) - 1) >= radius) & (keys != EMPTY), keys, EMPTY)
        keys = torch.where(keys == EMPTY, _splat(far, 3), keys)
    return keys


def _buffer(keys: Tensor) -> DeepBuffer:
    """The buffer of keys (H, W) int64."""
    hit = keys != EMPTY
    primitive = torch.where(hit, (keys & 0xFFFFFFFF) >> REACH_BITS, -1).to(torch.int32)
    return DeepBuffer(primitive, torch.where(hit, keys >> 32, 0).to(torch.int32).view(torch.float32))
