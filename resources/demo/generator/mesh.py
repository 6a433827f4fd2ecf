"""Meshes built with numpy and handed to Blender: parts are collected by (label, material), each group is one object."""

from collections import defaultdict
from dataclasses import dataclass

import bpy
import numpy as np


@dataclass
class Part:
    """vertices (N, 3) metres; faces (M, 4) int, -1 in the last column for a triangle; uv (M, 4, 2) metres or None."""

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None = None
    smooth: bool = False

    def moved(self, offset=(0, 0, 0), turn: float = 0.0, scale=1.0) -> "Part":
        """Scaled, then turned about z by `turn` radians, then shifted."""
        c, s = np.cos(turn), np.sin(turn)
        rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        return Part(self.vertices * scale @ rotation.T + offset, self.faces, self.uv, self.smooth)


def join(parts: list[Part]) -> Part:
    """One part without texture coordinates of its own; smooth where the first is."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    faces = [np.where(part.faces < 0, -1, part.faces + start) for part, start in zip(parts, starts[:-1], strict=True)]
    return Part(np.concatenate([part.vertices for part in parts]), np.concatenate(faces), smooth=parts[0].smooth)


def box(low, high) -> Part:
    low, high = np.asarray(low, float), np.asarray(high, float)
    corners = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)])
    faces = np.array([[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]])
    return Part(low + corners * (high - low), faces)


def _grid_faces(rows: int, columns: int, wrap: bool) -> np.ndarray:
    """Quads of a (rows, columns) grid of vertices; `wrap` closes the last column onto the first."""
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns if wrap else columns - 1), indexing="ij")
    right = (c + 1) % columns
    return np.stack(
        [r * columns + c, r * columns + right, (r + 1) * columns + right, (r + 1) * columns + c], -1
    ).reshape(-1, 4)


def sheet(points: np.ndarray) -> Part:
    """A smooth surface through a (rows, columns, 3) grid of points."""
    return Part(points.reshape(-1, 3), _grid_faces(*points.shape[:2], wrap=False), smooth=True)


def lathe(profile, segments: int = 16, offset=(0, 0, 0), smooth: bool = True, phase: float = 0.0) -> Part:
    """A profile [(radius, z), …] from bottom to top turned about the z axis; uv runs round the widest radius."""
    profile = np.asarray(profile, float)
    angle = np.arange(segments) / segments * 2 * np.pi + phase
    ring = np.stack([np.cos(angle), np.sin(angle)], -1)
    xy = profile[:, None, :1] * ring[None]
    z = np.broadcast_to(profile[:, None, 1:], (len(profile), segments, 1))
    faces = _grid_faces(len(profile), segments, wrap=True)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    u = np.arange(segments + 1) / segments * 2 * np.pi * profile[:, 0].max()
    row, column = np.meshgrid(np.arange(len(profile) - 1), np.arange(segments), indexing="ij")
    corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
    uv = np.stack([np.stack([u[c], length[r] + profile[0, 1]], -1) for r, c in corners], 2).reshape(-1, 4, 2)
    return Part(np.concatenate([xy, z], -1).reshape(-1, 3) + offset, faces, uv + offset[0] * 1.7, smooth)


def tube(start, end, r0: float, r1: float, segments: int = 8) -> Part:
    """A tapered limb with rounded ends."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    axis = end - start
    length = np.linalg.norm(axis)
    axis /= length
    side = np.cross(axis, [0, 0, 1] if abs(axis[2]) < 0.9 else [1, 0, 0])
    side /= np.linalg.norm(side)
    profile = [(0.02 * r0, -0.6 * r0), (0.7 * r0, -0.4 * r0), (r0, 0), (r1, length), (0.7 * r1, length + 0.4 * r1)]
    profile.append((0.02 * r1, length + 0.6 * r1))
    part = lathe(profile, segments)
    frame = np.stack([side, np.cross(axis, side), axis])
    return Part(part.vertices @ frame + start, part.faces, smooth=True)


def ellipsoid(center, radii, segments: int = 12, rings: int = 8) -> Part:
    t = np.linspace(-np.pi / 2, np.pi / 2, rings)
    part = lathe(np.stack([np.maximum(np.cos(t), 1e-3), np.sin(t)], -1), segments)
    return Part(part.vertices * np.asarray(radii) + center, part.faces, smooth=True)


def prism(outline, thickness: float) -> Part:
    """A convex outline (N, 2) in the x-z plane, counter-clockwise seen from -y, extruded from y = 0 to `thickness`."""
    outline = np.asarray(outline, float)
    n = len(outline)
    front = np.stack([outline[:, 0], np.zeros(n), outline[:, 1]], -1)
    vertices = np.concatenate([front, np.add(front, [0, thickness, 0])])
    i = np.arange(n)
    j = (i + 1) % n
    sides = np.stack([j, i, i + n, j + n], -1)
    fan = np.stack([np.zeros(n - 2, int), i[1:-1], i[2:], np.full(n - 2, -1)], -1)
    back = np.where(fan < 0, -1, fan + n)[:, [0, 2, 1, 3]]
    return Part(vertices, np.concatenate([sides, fan, back]))


def _box_uv(part: Part, shift: float) -> np.ndarray:
    """Texture coordinates in metres by projecting each face along the axis that it faces most."""
    corners = part.vertices[part.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    axis = np.abs(normal).argmax(1)
    u = np.where(axis[:, None] == 0, corners[..., 1] + 17.3, corners[..., 0])
    v = np.where(axis[:, None] == 2, corners[..., 1], corners[..., 2])
    return np.stack([u + shift, v], -1)


class Builder:
    """Collects parts and makes Blender objects of them.

    `materials` maps a name to (bpy material, metres that its texture covers). An object's pass index is its label.
    """

    def __init__(self, materials: dict[str, tuple[bpy.types.Material, float]], rng: np.random.Generator):
        self.materials, self.rng = materials, rng
        self.groups = defaultdict(list)

    def add(self, part: Part, material: str, label: int, color=None, aligned: bool = False) -> None:
        """`color`: linear RGB of the whole part. `aligned` keeps texture coordinates continuous with the world."""
        uv = part.uv if part.uv is not None else _box_uv(part, 0.0 if aligned else self.rng.uniform(0, 50))
        self.groups[label, material].append((part, uv, color))

    def build(self, name: str) -> list[bpy.types.Object]:
        """An object for each (label, material); the collected parts are forgotten."""
        objects = []
        for (label, material), entries in self.groups.items():
            mesh = _mesh(f"{name} {label} {material}", entries, self.materials[material][1])
            mesh.materials.append(self.materials[material][0])
            item = bpy.data.objects.new(mesh.name, mesh)
            item.pass_index = label
            bpy.context.scene.collection.objects.link(item)
            objects.append(item)
        self.groups.clear()
        return objects


def _mesh(name: str, entries: list, tile: float) -> bpy.types.Mesh:
    starts = np.cumsum([0] + [len(part.vertices) for part, _, _ in entries])
    vertices = np.concatenate([part.vertices for part, _, _ in entries])
    faces = np.concatenate(
        [np.where(p.faces < 0, -1, p.faces + s) for (p, _, _), s in zip(entries, starts[:-1], strict=True)]
    )
    uv = np.concatenate([uv for _, uv, _ in entries])
    used = faces >= 0
    totals = used.sum(1)
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", vertices.astype(np.float32).ravel())
    mesh.loops.add(int(totals.sum()))
    mesh.loops.foreach_set("vertex_index", faces[used].astype(np.int32))
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", (np.cumsum(totals) - totals).astype(np.int32))
    smooth = np.concatenate([np.full(len(part.faces), part.smooth) for part, _, _ in entries])
    mesh.polygons.foreach_set("use_smooth", smooth)
    mesh.uv_layers.new(name="uv").data.foreach_set("uv", (uv[used] / tile).astype(np.float32).ravel())
    if any(color is not None for _, _, color in entries):
        colors = np.concatenate(
            [np.tile([*(color or (1, 1, 1)), 1.0], (len(p.vertices), 1)) for p, _, color in entries]
        )
        mesh.color_attributes.new("tint", "FLOAT_COLOR", "POINT").data.foreach_set("color", colors.ravel())
    mesh.update(calc_edges=True)
    mesh.validate()
    return mesh
