"""The static scene: a domed town hall with portico and bell tower on a paved square, in metres.

x runs right along the façade (which stands in the plane y = 0 and looks towards -y), z up.
"""

from itertools import pairwise

import bpy
import numpy as np

from . import facade, materials
from .labels import BUILDING, COLUMN, DOOR, FLAG, FOUNTAIN, SCULPTURE, STAIRS, TOWER, WATER
from .mesh import Builder, Part, box, lathe, prism, tube
from .surroundings import SQUARE, furniture, grounds, neighbours, trees
from .transients import statue

FOUNTAIN_AT = (5.0, -30.0)


def build(rng: np.random.Generator, texture_scale: float = 1.0) -> Builder:
    """Make all static objects; returns the builder, with its materials, for the transients."""
    builder = Builder(materials.make(rng, texture_scale, SQUARE), rng)
    for part in (grounds, _hall, _portico, _dome, _tower, _wing, _fountain, furniture, neighbours):
        part(builder, rng)
    builder.build("static")
    trees(builder, rng)
    _inscription(builder)
    return builder


def _hall(builder, rng) -> None:
    looks = {"wall": "stone", "trim": "dressed"}
    floors = [facade.floor(0, 8.6, 1.15, 2.6, 5.6), facade.floor(8.6, 15.5, 1.0, 10.2, 13.4, arched=False)]
    facade.wall(builder, (-22, 0, 0), 0, 44, floors, 11, looks, BUILDING, rng, plain=(4, 5, 6))
    for i in (4, 5, 6):
        parts = facade.bay(i * 4, i * 4 + 4, 0, 8.6, 1.35, 2.0, 5.4, depth=0.7)
        for name, look in (("wall", "stone"), ("trim", "dressed")):
            builder.add(parts[name].moved((-22, 0, 0)), look, BUILDING, aligned=name == "wall")
        builder.add(
            parts["pane"].moved((-22, 0, 0)), "painted", DOOR, (0.16, 0.07, 0.035) if i != 5 else (0.09, 0.1, 0.05)
        )
        builder.add(parts["bars"].moved((-22, -0.05, 0)), "bronze", DOOR)
    facade.wall(builder, (22, 0, 0), np.pi / 2, 26, floors, 6, looks, BUILDING, rng)
    facade.wall(builder, (-22, 26, 0), -np.pi / 2, 26, floors, 6, looks, BUILDING, rng)
    builder.add(box([-22, 25.8, 0], [22, 26, 15.5]), "stone", BUILDING)
    builder.add(box([-22.3, -0.35, 0], [-10.8, 0.05, 1.5]), "dressed", BUILDING)
    builder.add(box([10.8, -0.35, 0], [22.35, 0.05, 1.5]), "dressed", BUILDING)
    builder.add(box([21.9, 0, 0], [22.35, 26.3, 1.5]), "dressed", BUILDING)
    builder.add(box([-22.35, 0, 0], [-21.9, 26.3, 1.5]), "dressed", BUILDING)
    builder.add(box([-22, 0.05, 15.3], [22, 26, 15.6]), "slate", BUILDING)
    for x0, x1 in ((-22, -10), (10, 22)):
        builder.add(
            facade.carved(rng, x1 - x0 - 1, 0.95, 14, 0.22).moved(((x0 + x1) / 2, -0.02, 7.35)), "dressed", SCULPTURE
        )
        builder.add(facade.balustrade(x1 - x0).moved((x0, -0.1, 15.55)), "dressed", BUILDING)
        for x in np.linspace(x0 + 0.8, x1 - 0.8, 3):
            builder.add(box([x - 0.45, -0.5, 15.5], [x + 0.45, 0.3, 16.7]), "dressed", BUILDING)
            builder.add(statue(rng, 2.5).moved((x, -0.1, 16.7)), "dressed", SCULPTURE)
        for x in np.arange(x0 + 4, x1 - 1, 4):
            builder.add(box([x - 0.4, -0.16, 1.5], [x + 0.4, 0.02, 15.2]), "dressed", BUILDING)
    for side, y in ((22, 0.2), (-22, 0.2)):
        builder.add(facade.balustrade(25.5).moved((side, y, 15.55), np.pi / 2), "dressed", BUILDING)
    builder.add(facade.gable_roof(40, 20, 2.6, 0).moved((-20, 3, 15.6)), "slate", BUILDING)


def _portico(builder, rng) -> None:
    builder.add(box([-10.5, -6.2, 0], [10.5, 0.2, 2.0]), "dressed", BUILDING)
    builder.add(facade.steps(21, 12, 2 / 12, 0.36).moved((-10.5, -6.2, 0)), "dressed", STAIRS)
    for x in (-11.4, 10.4):
        builder.add(box([x, -10.4, 0], [x + 1, 0, 1.2]), "dressed", BUILDING)
        builder.add(statue(rng, 2.1).moved((x + 0.5, -9.8, 1.2)), "bronze", SCULPTURE)
    for x in np.linspace(-9, 9, 6):
        for y in (-5.2, -0.6):
            builder.add(facade.column(11.0, 0.62).moved((x, y, 2.1)), "dressed", COLUMN)
            builder.add(facade.capital(11.0, 0.62).moved((x, y, 2.1)), "dressed", COLUMN)
    builder.add(box([-10.2, -6.0, 13.1], [10.2, 0.1, 15.0]), "dressed", BUILDING)
    builder.add(box([-10.7, -6.5, 14.85], [10.7, 0.1, 15.3]), "dressed", BUILDING)
    for x in np.arange(-10.4, 10.3, 0.5):
        builder.add(box([x, -6.35, 14.6], [x + 0.26, -6.0, 14.86]), "dressed", BUILDING)
    builder.add(prism([(-10.3, 15.3), (10.3, 15.3), (0, 19.3)], 6).moved((0, -5.9, 0)), "stone", BUILDING)
    for side in (-1, 1):
        outline = [(side * 10.9, 15.3), (side * 10.9, 15.75), (0, 20.0), (0, 19.55)]
        builder.add(prism(outline if side < 0 else outline[::-1], 0.75).moved((0, -6.6, 0)), "dressed", BUILDING)
    roof = [
        [-10.9, -6.5, 15.75],
        [0, -6.5, 20.0],
        [0, 3, 20.0],
        [-10.9, 3, 15.75],
        [10.9, -6.5, 15.75],
        [10.9, 3, 15.75],
    ]
    builder.add(Part(np.array(roof, float), np.array([[0, 1, 2, 3], [1, 4, 5, 2]])), "copper", BUILDING)
    builder.add(facade.carved(rng, 17.5, 3.3, 13, 0.55, gable=True).moved((0, -5.92, 15.45)), "dressed", SCULPTURE)
    for x, z in ((-10.3, 15.8), (0, 20.0), (10.3, 15.8)):
        builder.add(statue(rng, 2.4).moved((x, -6.1, z)), "dressed", SCULPTURE)
    colors = [(0.45, 0.03, 0.03), (0.5, 0.32, 0.04), (0.04, 0.09, 0.3)]
    for x, color in zip((-7.2, 0.0, 7.2), colors, strict=True):
        builder.add(box([x - 0.6, -5.0, 9.0], [x + 0.6, -4.96, 13.0]), "painted", FLAG, color)
        builder.add(box([x - 0.6, -5.02, 10.2], [x + 0.6, -4.94, 10.9]), "painted", FLAG, (0.6, 0.58, 0.5))


def _dome(builder, rng) -> None:
    x, y = 0.0, 13.0
    builder.add(box([-9, y - 9, 15], [9, y + 9, 18.4]), "stone", BUILDING, aligned=True)
    builder.add(box([-9.4, y - 9.4, 18.1], [9.4, y + 9.4, 18.6]), "dressed", BUILDING)
    builder.add(lathe([(7.4, 18.4), (7.4, 25.4)], 48, (x, y, 0)), "stone", BUILDING)
    for z, out in ((18.6, 8.3), (24.6, 8.5), (25.2, 8.8)):
        builder.add(
            lathe([(7.3, z), (out, z + 0.05), (out + 0.1, z + 0.45), (7.3, z + 0.6)], 48, (x, y, 0)),
            "dressed",
            BUILDING,
        )
    for i in range(16):
        turn = (i + 0.5) / 16 * 2 * np.pi
        c, s = np.sin(turn), -np.cos(turn)
        builder.add(facade.column(5.4, 0.36).moved((x + 8.0 * c, y + 8.0 * s, 19.2)), "dressed", COLUMN)
        turn = i / 16 * 2 * np.pi
        c, s = np.sin(turn), -np.cos(turn)
        window = facade.bay(-0.95, 0.95, 19.6, 24.4, 0.6, 20.3, 22.6, depth=0.1)
        for name, look in (("trim", "dressed"), ("pane", "pane_lit" if i % 3 else "pane_dark")):
            builder.add(window[name].moved((x + 7.45 * c, y + 7.45 * s, 0), turn), look, BUILDING)
    t = np.linspace(0, np.pi / 2 * 0.9, 14)
    builder.add(lathe(np.stack([7.9 * np.cos(t), 25.8 + 8.2 * np.sin(t)], -1), 48, (x, y, 0)), "copper", BUILDING)
    for i in range(16):
        turn = i / 16 * 2 * np.pi
        spine = np.stack(
            [8.0 * np.cos(t) * np.sin(turn) + x, -8.0 * np.cos(t) * np.cos(turn) + y, 25.8 + 8.3 * np.sin(t)], -1
        )
        for a, b in pairwise(spine):
            builder.add(tube(a, b, 0.17, 0.17, 6), "copper", BUILDING)
    lantern = [(1.9, 33.6), (1.9, 34.0), (1.5, 34.1), (1.5, 36.6), (1.9, 36.8), (1.6, 37.3), (0.25, 38.8), (0.12, 41)]
    builder.add(lathe(lantern, 12, (x, y, 0), smooth=False), "dressed", BUILDING)


def _tower(builder, rng) -> None:
    low, size = np.array([-31.0, 1.0]), 7.6
    looks = {"wall": "brick", "trim": "dressed"}
    floors = [facade.floor(0, 7, 0.5, 3, 5), facade.floor(7, 14, 0.5, 9.5, 12), facade.floor(14, 21, 0.55, 16, 18.6)]
    belfry = [facade.floor(27.4, 34.2, 0.85, 28.6, 31.6, depth=0.9)]
    corners = [(low[0], low[1]), (low[0] + size, low[1]), (low[0] + size, low[1] + size), (low[0], low[1] + size)]
    centre = low + size / 2
    for k, (x, y) in enumerate(corners):
        turn = k * np.pi / 2
        facade.wall(builder, (x, y, 0), turn, size, floors, 2, looks, TOWER, rng)
        facade.wall(builder, (x, y, 0), turn, size, belfry, 2, looks, TOWER, rng, lit=1.0)
        along, out = np.array([np.cos(turn), np.sin(turn)]), np.array([np.sin(turn), -np.cos(turn)])
        middle = np.array([x, y]) + along * size / 2
        _clock(builder, (*(middle + out * 0.02), 24.2), turn)
        pilaster = box([0, -0.18, 0], [0.9, 0.1, 27.2])
        for shift in (-0.15, size - 0.75):
            builder.add(pilaster.moved((*(np.array([x, y]) + along * shift), 0), turn), "dressed", TOWER)
    builder.add(box([*low, 21], [*(low + size), 27.4]), "brick", TOWER, aligned=True)
    builder.add(box([*(low - 0.5), 27.1], [*(low + size + 0.5), 27.6]), "dressed", TOWER)
    builder.add(box([*(low - 0.4), 34.1], [*(low + size + 0.4), 34.8]), "dressed", TOWER)
    builder.add(facade.pyramid(size / 2 + 0.3, 9.5).moved((*centre, 34.8)), "copper", TOWER)
    builder.add(lathe([(0.3, 44), (0.1, 45), (0.3, 45.4), (0.05, 47)], 8, (*centre, 0)), "bronze", TOWER)
    builder.add(box([low[0] + size - 0.2, 3, 0], [-21.9, 8, 11]), "stone", BUILDING, aligned=True)


def _clock(builder, centre, turn) -> None:
    face = lathe([(0.01, 0), (2.0, 0), (2.0, 0.1), (2.3, 0.12), (2.3, -0.1)], 40)
    upright = face.vertices[:, [0, 2, 1]] * [1, -1, 1]
    parts = [(Part(upright, face.faces), "painted", (0.75, 0.72, 0.62))]
    for hour in range(12):
        angle = hour * np.pi / 6
        mark = box([-0.09, -0.14, 1.45], [0.09 if hour % 3 else 0.2, -0.1, 1.9]).vertices
        turned = mark @ np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]).T
        parts.append((Part(turned, box([0] * 3, [1] * 3).faces), "painted", (0.02, 0.02, 0.03)))
    for angle, length, width in ((0.9, 1.1, 0.12), (4.1, 1.65, 0.08)):
        end = (np.sin(angle) * length, -0.2, np.cos(angle) * length)
        parts.append((tube((0, -0.2, 0), end, width, width * 0.6, 5), "painted", (0.02, 0.02, 0.03)))
    for part, look, color in parts:
        builder.add(part.moved(centre, turn), look, TOWER, color)


def _wing(builder, rng) -> None:
    looks = {"wall": "brick", "trim": "dressed"}
    floors = [facade.floor(0, 5.4, 1.1, 0.2, 3.0, depth=1.0), facade.floor(5.4, 10, 0.7, 6.8, 8.6, arched=False)]
    facade.wall(builder, (22, 6, 0), 0, 15, floors, 5, looks, BUILDING, rng)
    facade.wall(builder, (37, 6, 0), np.pi / 2, 16, floors, 5, looks, BUILDING, rng)
    builder.add(facade.gable_roof(15, 16, 4.2).moved((22, 6, 10)), "tiles", BUILDING)
    builder.add(box([33, 12, 11], [34.2, 13.2, 16]), "brick", BUILDING)


def _fountain(builder, rng) -> None:
    x, y = FOUNTAIN_AT
    at = (x, y, 0)
    basin = [(5.0, 0), (5.0, 0.25), (4.6, 0.3), (4.6, 0.8), (4.8, 0.95), (4.3, 0.98), (4.2, 0.4)]
    builder.add(lathe(basin, 32, at, False), "dressed", FOUNTAIN)
    builder.add(lathe([(0.01, 0.75), (4.3, 0.75)], 32, at), "water", WATER)
    stem = [(1.5, 0.5), (1.2, 1.0), (0.5, 1.4), (0.45, 2.2), (0.7, 2.4), (2.1, 2.75), (2.2, 2.95), (1.9, 2.9)]
    builder.add(lathe(stem, 28, at), "stone", FOUNTAIN)
    builder.add(lathe([(0.01, 2.86), (1.95, 2.86)], 24, at), "water", FOUNTAIN)
    builder.add(lathe([(0.5, 2.8), (0.35, 3.6), (0.6, 3.7)], 16, at), "dressed", FOUNTAIN)
    builder.add(statue(rng, 2.2).moved((x, y, 3.7)), "bronze", SCULPTURE)
    for i in range(8):
        a = i / 8 * 2 * np.pi + 0.2
        p = [(x + np.cos(a) * r, y + np.sin(a) * r, z) for r, z in ((2.1, 2.85), (2.5, 2.6), (2.8, 1.8), (2.9, 0.75))]
        for start, end in pairwise(p):
            builder.add(tube(start, end, 0.035, 0.05, 5), "painted", FOUNTAIN, (0.55, 0.6, 0.62))
        c, s = np.cos(a + 0.4) * 4.0, np.sin(a + 0.4) * 4.0
        builder.add(lathe([(0.4, 0.6), (0.25, 1.0), (0.4, 1.3), (0.1, 1.7)], 9, (x + c, y + s, 0)), "dressed", FOUNTAIN)


def _inscription(builder) -> None:
    curve = bpy.data.curves.new("inscription", "FONT")
    curve.body = "CVRIA · CIVIVM · REFECTA · MDCCCXLVII"
    curve.size, curve.extrude, curve.align_x = 1.05, 0.04, "CENTER"
    item = bpy.data.objects.new("inscription", curve)
    item.location, item.rotation_euler = (0, -6.03, 13.5), (np.pi / 2, 0, 0)
    item.pass_index = BUILDING
    curve.materials.append(builder.materials["bronze"][0])
    bpy.context.scene.collection.objects.link(item)
