"""Exact z-buffered rasterization of triangles and points in torch.

A pixel's key is an int64 that holds, from the highest bits down, the bits of the nearest primitive's float32 depth, the
primitive's number, and its reach. Positive floats sort as their bits do, so the smallest key is the nearest primitive,
and of equally near ones that with the lower number. One scatter with `amin` is a z-buffer that does not depend on the
order of primitives, chunks or threads.

Triangles are tested at the centres of the pixels in their bounding boxes, all pixels of many boxes together: no loop
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
CANDIDATES = 1 << 18  # pixels that triangles are tested at, at a time
EDGE = 1e-5  # a pixel's centre this far outside a triangle, in barycentric units, still belongs to it: no cracks


@dataclass(frozen=True)
class Geometry:
    """What is drawn of a scene, on one device.

    points: (N, 3) float32, world. faces: (F, 3) int64, the corners of each triangle. Both are stored column by column.
    spacing: (L,) float32, of the last L points, the loose ones, which are drawn as such and belong to no triangle:
    world units, within which they reach; 0 beside a surface.
    Primitives are numbered: the faces first, then the loose points.
    """

    points: Tensor
    faces: Tensor
    spacing: Tensor

    @classmethod
    def of(cls, cloud: Cloud, device: torch.device | str = "cpu") -> "Geometry":
        """The geometry of a cloud. Raises UserError for CUDA without a CUDA device, and for too many primitives."""
        first = int(cloud.faces.max()) + 1 if len(cloud.faces) else 0  # the surface's vertices come first
        loose = len(cloud.points) - first
        if len(cloud.faces) + loose > MAX_PRIMITIVES:
            raise UserError(f"the cloud has more than {MAX_PRIMITIVES} points; set mvs.voxel_size to thin it")
        # beside a surface loose points do not reach: they are thin things, or stray
        spacing = np.zeros(loose, np.float32) if first else cloud.spacing
        target = torch_device(str(device))
        return cls(
            torch.from_numpy(np.array(cloud.points, np.float32, order="F")).to(target),
            torch.from_numpy(np.array(cloud.faces, np.int64, order="F")).to(target),
            torch.from_numpy(np.array(spacing)).to(target),
        )

    @property
    def device(self) -> torch.device:
        return self.points.device

    @property
    def first_loose(self) -> int:
        """The number of the first loose point."""
        return len(self.points) - len(self.spacing)


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
    three times the same for a loose point. weights: (M, 3) float32, barycentric, sum 1. Both are stored column by
    column. size: (H, W) of the buffer.
    """

    pixel: Tensor
    corners: Tensor
    weights: Tensor
    size: tuple[int, int]

    def shade(self, channels: Tensor) -> Tensor:
        """Interpolate channels (C, N) of the points, of any type: (C, H, W) float32, 0 where nothing is seen."""
        mixed = torch.zeros(len(channels), len(self.pixel), device=channels.device)
        for corner, weight in zip(self.corners.T, self.weights.T, strict=True):
            mixed.addcmul_(channels.gather(1, corner.expand(len(channels), -1)).float(), weight)
        return self.picture(mixed)

    def picture(self, values: Tensor, empty: float = 0) -> Tensor:
        """Put values (C, M) of the samples where they are seen: (C, H, W), `empty` where nothing is."""
        height, width = self.size
        picture = values.new_full((len(values), height * width), empty)
        return picture.scatter_(1, self.pixel.expand(len(values), -1), values).view(-1, height, width)

    def index(self) -> Tensor:
        """(H, W) int32: the point with the largest weight, -1 where nothing is seen."""
        nearest = self.weights.max(dim=1, keepdim=True).indices  # argmax takes ten times as long
        return self.picture(self.corners.gather(1, nearest).int().T, empty=-1)[0]


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
    if len(geometry.spacing):
        for first in range(0, len(geometry.spacing), CHUNK):
            _draw_points(keys, geometry, first, camera, near)
        keys = _splat(keys.view(camera.height, camera.width), splat).flatten()
    if len(geometry.faces):
        corners = _Corners.of(geometry.points[: geometry.first_loose], camera, near)
        for first in range(0, len(geometry.faces), CHUNK):
            _draw_faces(keys, geometry.faces[first : first + CHUNK], first, corners, camera)
    keys = keys.view(camera.height, camera.width)
    return _buffer(keys if len(geometry.faces) else _grow(keys, splat))


def locate(geometry: Geometry, camera: Camera, buffer: DeepBuffer) -> Samples:
    """Find the places on the geometry that a buffer of this camera shows."""
    pixel = buffer.hit.flatten().nonzero().squeeze(1)
    primitive = buffer.primitive.flatten().index_select(0, pixel).long()
    loose = primitive - len(geometry.faces)
    corners = (loose + geometry.first_loose).expand(3, -1)
    weights = torch.eye(3, 1, device=pixel.device).expand(-1, len(pixel))
    if len(geometry.faces):
        on_face = loose < 0
        faces = geometry.faces.T.index_select(1, torch.where(on_face, primitive, 0))
        corners = torch.where(on_face, faces, corners)
        u, v, z = (_picked(values, corners) for values in _projected(geometry.points, camera))
        # linear on the screen times inverse depth is linear on the triangle, up to its sum
        linear = _barycentric(u, v, pixel % camera.width + 0.5, pixel // camera.width + 0.5) / z
        weights = torch.where(on_face, linear / linear.sum(dim=0), weights)
    return Samples(pixel, corners.T, weights.T, (camera.height, camera.width))


def exact_depth(geometry: Geometry, camera: Camera, buffer: DeepBuffer) -> Tensor:
    """(H, W) float32: the depths of the primitives that a buffer of this camera names, 0 without one."""
    samples = locate(geometry, camera, buffer)
    z = _projected(geometry.points, camera)[2]
    return samples.shade(z[None])[0]


def halved(buffer: DeepBuffer, samples: Samples) -> tuple[DeepBuffer, Samples]:
    """The buffer of half the size (ceil(H / 2), ceil(W / 2)), and its samples.

    A coarse pixel shows the nearest of its up to four pixels. samples: of the buffer.
    """
    height, width = buffer.depth.shape
    pixels = torch.arange(height * width, device=buffer.depth.device).view(height, width)
    depth = torch.where(buffer.hit, buffer.depth, torch.inf)
    front, nearest = _blocks(depth, torch.inf).min(dim=0)
    chosen = _blocks(pixels, 0).gather(0, nearest[None])[0]  # (h, w), of the fine pixels
    found = torch.isfinite(front)
    primitive = buffer.primitive.flatten().index_select(0, chosen.flatten()).view(chosen.shape)
    coarse = DeepBuffer(torch.where(found, primitive, -1), torch.where(found, front, 0))
    size = (coarse.depth.shape[0], coarse.depth.shape[1])
    where = found.flatten().nonzero().squeeze(1)
    place = buffer.hit.flatten().cumsum(dim=0) - 1  # of a pixel among the samples
    kept = place.index_select(0, chosen.flatten().index_select(0, where))
    corners, weights = (values.T.index_select(1, kept).T for values in (samples.corners, samples.weights))
    return coarse, Samples(where, corners, weights, size)


def coverage(hit: Tensor, scale: int = 2) -> Tensor:
    """(ceil(H / scale), ceil(W / scale)) float32: the share of each block of (H, W), bool or shares, that is hit.

    scale: a power of 2.
    """
    share = hit.float()
    while scale > 1:
        share, scale = _blocks(share, torch.nan).nanmean(dim=0), scale // 2
    return share


def nearest_of_four(depth: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Halve depth (H, W), 0 = none, and index (H, W), -1 = none: of each 2x2 pixels those of the nearest."""
    front, nearest = _blocks(torch.where(depth > 0, depth, torch.inf), torch.inf).min(dim=0)
    return torch.where(torch.isinf(front), 0, front), _blocks(index, -1).gather(0, nearest[None])[0]


def shrink(picture: Tensor, depth: Tensor) -> Tensor:
    """Halve a picture (H, W, C): each pixel is the mean of those of its four that show its nearest surface.

    depth: (H, W), 0 = none. Returns (ceil(H / 2), ceil(W / 2), C) float32, 0 where nothing is seen.
    """
    blocks = _blocks(torch.where(depth > 0, depth, torch.inf), torch.inf)  # (4, h, w)
    shown = (torch.isfinite(blocks) & (blocks <= blocks.amin(dim=0) * (1 + SAME_SURFACE))).float()
    share = (shown / shown.sum(dim=0).clamp_min(1)).unsqueeze(3)
    parts = _blocks(picture, 0)  # (4, h, w, C)
    mean = parts[0] * share[0]
    for part, weight in zip(parts[1:], share[1:], strict=True):
        mean.addcmul_(part.float(), weight)
    return mean


def _blocks(values: Tensor, fill: float) -> Tensor:
    """The 2x2 blocks of (H, W, …): (4, ceil(H / 2), ceil(W / 2), …), with `fill` beyond an odd border."""
    height, width = values.shape[:2]
    if height % 2 or width % 2:
        padded = values.new_full((height + height % 2, width + width % 2, *values.shape[2:]), fill)
        padded[:height, :width] = values
        values = padded
    return torch.stack([values[0::2, 0::2], values[0::2, 1::2], values[1::2, 0::2], values[1::2, 1::2]])


def _projected(points: Tensor, camera: Camera) -> tuple[Tensor, Tensor, Tensor]:
    """Image coordinates and depths of points (M, 3): u, v and z, each (M,)."""
    # (3, 4), whose rows give u z, v z and z
    img_from_world = constant(camera.K @ camera.cam_from_world, points.device)
    a, b, c, d = img_from_world.unsqueeze(2).unbind(1)  # columns, each (3, 1)
    x, y, z = points.T
    # not a matrix product: its rounding of a point depends on the point's place in the chunk
    uz, vz, z = a * x + b * y + c * z + d
    return uz / z, vz / z, z


def _draw_points(keys: Tensor, geometry: Geometry, first: int, camera: Camera, near: float) -> None:
    """Lower the keys (H*W,) in place to those of a chunk of the loose points, from number `first` of them on."""
    part = slice(geometry.first_loose + first, geometry.first_loose + first + CHUNK)
    u, v, z = _projected(geometry.points[part], camera)
    # compared as floats: close to the camera's plane, coordinates may exceed the integers
    seen = ((z > near) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)).nonzero().squeeze(1)
    pixel, depth = v[seen].long() * camera.width + u[seen].long(), z[seen]
    spacing = geometry.spacing[first : first + CHUNK][seen]
    reach = (REACH * camera.fx * spacing / depth).clamp_max(LARGEST).round().long()
    number = seen + (first + len(geometry.faces))
    keys.scatter_reduce_(0, pixel, (_bits(depth) << 32) | number << REACH_BITS | reach, "amin")


@dataclass(frozen=True)
class _Corners:
    """The points of a surface on the screen, each (N,) float32.

    u, v, z: image coordinates and depths. column, row: the first pixel whose centre does not lie before the point,
    within the picture or just beyond it; NaN for points that are not in front of the camera.
    """

    u: Tensor
    v: Tensor
    z: Tensor
    column: Tensor
    row: Tensor

    @classmethod
    def of(cls, points: Tensor, camera: Camera, near: float) -> "_Corners":
        u, v, z = _projected(points, camera)
        column = (u - 0.5).ceil_().clamp_(0, camera.width).masked_fill_(z <= near, torch.nan)
        return cls(u, v, z, column, (v - 0.5).ceil_().clamp_(0, camera.height))


def _draw_faces(keys: Tensor, faces: Tensor, first: int, corners: _Corners, camera: Camera) -> None:
    """Lower the keys (H*W,) in place to those of the faces (M, 3), whose numbers start at `first`."""
    left, right = _extent(corners.column, faces.T)
    top, bottom = _extent(corners.row, faces.T)
    # most triangles of a fine mesh lie between the centres, and are gone here
    drawn = ((left < right) & (top < bottom)).nonzero().squeeze(1)
    box = torch.stack([values.index_select(0, drawn) for values in (left, right, top, bottom)]).int()
    count = (box[1] - box[0]) * (box[3] - box[2])
    sizes = torch.bincount(count.cumsum(0) // CANDIDATES).tolist()
    for part, part_box, part_count in zip(drawn.split(sizes), box.split(sizes, dim=1), count.split(sizes), strict=True):
        triangles = faces.T.index_select(1, part)
        _test_boxes(keys, part + first, triangles, corners, part_box, part_count, camera)


def _extent(values: Tensor, triangles: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest of a value (N,) of the corners of triangles (3, M): each (M,)."""
    a, b, c = (values.index_select(0, corner) for corner in triangles)
    return torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)


def _test_boxes(
    keys: Tensor, numbers: Tensor, triangles: Tensor, corners: _Corners, box: Tensor, count: Tensor, camera: Camera
) -> None:
    """Draw triangles (3, M) of these numbers (M,): test them at all pixels, `count` (M,), of their boxes (4, M)."""
    # (P,), of each pixel's triangle; int32, whose division is the faster one
    which = torch.arange(len(numbers), dtype=torch.int32, device=keys.device).repeat_interleave(count)
    left, right, top, _ = box
    start = (count.cumsum(0) - count).int()
    place = torch.arange(len(which), dtype=torch.int32, device=keys.device).sub_(start.index_select(0, which))
    width = (right - left).index_select(0, which)
    row = torch.div(place, width, rounding_mode="floor")
    column = place.sub_(row * width).add_(left.index_select(0, which))
    row += top.index_select(0, which)
    u, v = (_picked(values, triangles).index_select(1, which) for values in (corners.u, corners.v))
    weights = _barycentric(u, v, column + 0.5, row + 0.5)  # (3, P)
    covered = (weights.amin(dim=0) >= -EDGE).nonzero().squeeze(1)
    which = which.index_select(0, covered)
    inverse = (weights.index_select(1, covered) / _picked(corners.z, triangles).index_select(1, which)).sum(dim=0)
    pixel = (row * camera.width + column).index_select(0, covered).long()
    keys.scatter_reduce_(0, pixel, (_bits(1 / inverse) << 32) | numbers.index_select(0, which) << REACH_BITS, "amin")


def _picked(values: Tensor, corners: Tensor) -> Tensor:
    """(3, M): a value (N,) of each corner (3, M)."""
    return values.index_select(0, corners.flatten()).view(corners.shape)


def _barycentric(u: Tensor, v: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(3, M): barycentric coordinates on the screen of places x, y (M,), each in a triangle with corners u, v (3, M).

    Not finite in triangles without an area.
    """
    (u0, u1, u2), (v0, v1, v2) = u, v
    area = (u1 - u0) * (v2 - v0) - (v1 - v0) * (u2 - u0)
    second = ((x - u0) * (v2 - v0) - (y - v0) * (u2 - u0)) / area
    third = ((u1 - u0) * (y - v0) - (v1 - v0) * (x - u0)) / area
    return torch.stack([1 - second - third, second, third])


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
