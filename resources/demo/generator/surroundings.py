"""What stands around the landmark: the square and its furniture, lawns, trees, streets and houses."""

import numpy as np

from . import facade
from .labels import (
    ASHCAN,
    AWNING,
    BENCH,
    BUILDING,
    EARTH,
    GRASS,
    PLANT,
    ROAD,
    SCULPTURE,
    SIDEWALK,
    SIGNBOARD,
    STREETLIGHT,
    TREE,
)
from .mesh import Part, box, join, lathe, tube
from .transients import statue

SQUARE = (84.0, (42.0 + 5.0, 72.0 - 30.0), 9.0)  # metres of paving, centre of the rings in it, their radius
STREETLIGHTS = [(-15, -13), (16, -13.5), (-17, -30), (19, -31), (-14, -50), (16, -51), (-36, -6), (37, -8), (0, -58)]
TREES = [(-30, -17, 8.5), (-33.5, -25, 7.5), (-29.5, -32, 8), (31, -19, 7), (34, -27, 8.5), (30, -37, 7.5),
         (-37, 8, 10), (43, 8, 9), (-42, -52, 8), (43, -52, 8)]  # fmt: skip
LAWNS = [(-36, -26, -36, -12), (27, 37, -41, -14)]  # x0, x1, y0, y1


def grounds(builder, rng) -> None:
    side = SQUARE[0] / 2
    square = box([-side, -72, -0.5], [side, -72 + SQUARE[0], 0])
    top = np.array([[-side, -72], [side, -72], [side, -72 + SQUARE[0]], [-side, -72 + SQUARE[0]]])
    uv = np.zeros((6, 4, 2))
    uv[1] = (top - top[0])[[0, 1, 2, 3]]
    builder.add(Part(square.vertices, square.faces, uv), "paving", SIDEWALK)
    builder.add(box([-260, -260, -0.9], [260, 260, -0.25]), "earth", EARTH, aligned=True)
    for x0, x1 in ((-51, -42), (42, 51)):
        builder.add(box([x0, -120, -0.4], [x1, 60, -0.1]), "asphalt", ROAD, aligned=True)
        for y in np.arange(-110, 50, 5):
            middle = (x0 + x1) / 2
            builder.add(box([middle - 0.07, y, -0.2], [middle + 0.07, y + 2, -0.095]), "painted", ROAD, (0.55,) * 3)
        outer = (x1, x1 + 9) if x0 > 0 else (x0 - 9, x0)
        builder.add(box([outer[0], -120, -0.4], [outer[1], 60, 0.02]), "asphalt", SIDEWALK)
    for x0, x1, y0, y1 in LAWNS:
        builder.add(box([x0, y0, -0.1], [x1, y1, 0.22]), "dressed", SIDEWALK)
        builder.add(box([x0 + 0.3, y0 + 0.3, 0], [x1 - 0.3, y1 - 0.3, 0.26]), "grass", GRASS)
        for _ in range(22):
            x, y = rng.uniform(x0 + 0.8, x1 - 0.8), rng.choice([y0 + 0.8, y1 - 0.8])
            _bush(builder, rng, (x, y, 0.45), rng.uniform(0.4, 0.75))


def furniture(builder, rng) -> None:
    for x, y in STREETLIGHTS:
        pole = [(0.28, 0), (0.24, 0.5), (0.1, 0.8), (0.07, 4.3), (0.14, 4.4), (0.06, 4.5)]
        builder.add(lathe(pole, 10, (x, y, 0)), "iron", STREETLIGHT)
        builder.add(lathe([(0.12, 4.5), (0.25, 5.1)], 6, (x, y, 0), False), "lantern", STREETLIGHT)
        builder.add(lathe([(0.32, 5.1), (0.06, 5.4), (0.02, 5.6)], 6, (x, y, 0), False), "iron", STREETLIGHT)
    for x, y in ((-16, -19), (15.5, -21)):
        builder.add(box([x - 1.3, y - 1.3, 0], [x + 1.3, y + 1.3, 0.5]), "dressed", SCULPTURE)
        builder.add(box([x - 0.9, y - 0.9, 0.5], [x + 0.9, y + 0.9, 2.6]), "stone", SCULPTURE)
        builder.add(box([x - 1.1, y - 1.1, 2.6], [x + 1.1, y + 1.1, 2.9]), "dressed", SCULPTURE)
        builder.add(facade.carved(rng, 1.5, 1.5, 3, 0.12).moved((x, y - 0.91, 0.8)), "dressed", SCULPTURE)
        builder.add(statue(rng, 3.2).moved((x, y, 2.9)), "bronze" if x > 0 else "dressed", SCULPTURE)
    for x, y, turn in (
        (-24.5, -20, 1.57),
        (-24.5, -27, 1.57),
        (25.5, -22, 1.57),
        (25.5, -33, 1.57),
        (-8, -44, 0),
        (12, -46, 0),
    ):
        seat = [box([-0.9, -0.25 + 0.17 * i, 0.42], [0.9, -0.12 + 0.17 * i, 0.47]) for i in range(3)]
        seat += [box([-0.9, 0.25, 0.6 + 0.16 * i], [0.9, 0.29, 0.72 + 0.16 * i]) for i in range(2)]
        builder.add(join(seat).moved((x, y, 0), turn), "painted", BENCH, (0.22, 0.1, 0.04))
        legs = [box([s - 0.04, -0.25, 0], [s + 0.04, 0.28, 0.42]) for s in (-0.7, 0.7)]
        builder.add(join(legs).moved((x, y, 0), turn), "iron", BENCH)
    for x in np.arange(-20, 21, 2.5):
        builder.add(lathe([(0.16, 0), (0.13, 0.8), (0.17, 0.85), (0.05, 1.0)], 8, (x, -60, 0)), "iron", SIDEWALK)
    for x, y in ((-13, -14), (22, -24), (-20, -43)):
        builder.add(lathe([(0.25, 0), (0.3, 0.9), (0.05, 1.0)], 10, (x, y, 0)), "painted", ASHCAN, (0.03, 0.09, 0.05))
    for x in (-13.5, 13.5, -18, 18):
        builder.add(lathe([(0.55, 0), (0.7, 0.7), (0.6, 0.72)], 12, (x, -3, 0)), "dressed", PLANT)
        _bush(builder, rng, (x, -3, 1.1), 0.65)


def _leaves(rng, blobs, count: int, size: float) -> np.ndarray:
    """(count, 4, 3) corners of leaf quads near the surfaces of spheres, blobs: (K, 4) centres and radii."""
    pick = rng.integers(len(blobs), size=count)
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    centre = blobs[pick, :3] + direction * blobs[pick, 3:] * rng.uniform(0.55, 1.05, (count, 1))
    a = rng.standard_normal((count, 3))
    b = np.cross(a, direction + 0.8 * rng.standard_normal((count, 3)))
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) * size * rng.uniform(0.6, 1.3, (count, 1)) for v in (a, b))
    return np.stack([centre - a, centre + b, centre + a, centre - b], 1)


def _add_leaves(builder, rng, corners: np.ndarray, label: int, hue) -> None:
    groups = np.array_split(corners, 8)
    for group in groups:
        shade = np.asarray(hue) * rng.uniform(0.6, 1.35) * rng.uniform(0.85, 1.15, 3)
        faces = np.arange(len(group) * 4).reshape(-1, 4)
        builder.add(Part(group.reshape(-1, 3), faces), "leaves", label, tuple(shade))


def _bush(builder, rng, centre, radius: float) -> None:
    _add_leaves(builder, rng, _leaves(rng, np.array([[*centre, radius]]), 320, 0.09), PLANT, (0.13, 0.23, 0.06))


def trees(builder, rng) -> None:
    """Each tree its own leaves: no two alike, so that none is mistaken for another."""
    for x, y, height in TREES:
        trunk = height * 0.38
        builder.add(
            tube((x, y, 0), (x + rng.uniform(-0.2, 0.2), y, trunk), 0.26, 0.18, 9), "bark", TREE, (0.12, 0.09, 0.06)
        )
        blobs = []
        for _ in range(9):
            offset = rng.standard_normal(3) * [1.25, 1.25, 0.9]
            tip = np.array([x, y, height * 0.68]) + offset * height / 8
            blobs.append([*tip, rng.uniform(0.9, 1.7) * height / 8])
            builder.add(tube((x, y, trunk - 0.2), tip, 0.1, 0.04, 6), "bark", TREE, (0.12, 0.09, 0.06))
        hue = np.array([0.16, 0.25, 0.06]) * rng.uniform(0.8, 1.3, 3)
        _add_leaves(builder, rng, _leaves(rng, np.array(blobs), 7000, 0.13), TREE, hue)
    builder.build("trees")


def neighbours(builder, rng) -> None:
    rows = [
        (
            -60.0,
            np.pi / 2,
            [(-64, -41, "green", 3), (-40, -25, "cream", 4), (-24, -6, "rose", 3), (-5, 14, "ochre", 4)],
        ),
        (
            60.0,
            -np.pi / 2,
            [(16, -9, "ochre", 3), (-10, -27, "green", 4), (-28, -45, "cream", 3), (-46, -62, "rose", 4)],
        ),
    ]
    for x, turn, houses in rows:
        for start, end, look, storeys in houses:
            _house(builder, rng, (x, start, 0), turn, abs(end - start), look, storeys, rng.choice(["tiles", "slate"]))
    x = -85.0
    for look in rng.permutation(["ochre", "rose", "cream", "green", "brick", "cream", "rose", "ochre"]):
        width = rng.uniform(16, 24)
        _house(
            builder,
            rng,
            (x, 62 + rng.uniform(0, 4), 0),
            0,
            width,
            look,
            int(rng.integers(3, 6)),
            rng.choice(["tiles", "slate"]),
        )
        x += width + rng.uniform(0, 1)


def _house(builder, rng, origin, turn, length, look, storeys, roof) -> None:
    rise = rng.uniform(3.1, 3.8)
    floors = [facade.floor(0, rise + 0.6, 1.1, 0.5, 2.8, depth=0.3)]
    arched = rng.random() < 0.4
    half = rng.uniform(0.45, 0.65)
    for i in range(1, storeys):
        z = i * rise + 0.6
        floors.append(facade.floor(z, z + rise, half, z + 0.9, z + rise - 1.1, arched, 0.25))
    bays = max(3, round(length / rng.uniform(2.8, 3.6)))
    looks = {"wall": look, "trim": "dressed", "bars": tuple(rng.uniform(0.1, 0.6, 3))}
    facade.wall(builder, origin, turn, length, floors, bays, looks, BUILDING, rng)
    top = storeys * rise + 0.6
    body = [
        box([0, 0.3, 0], [0.2, 12, top]),
        box([length - 0.2, 0.3, 0], [length, 12, top]),
        box([0, 11.8, 0], [length, 12, top]),
    ]
    for part in body:
        builder.add(part.moved(origin, turn), look, BUILDING)
    builder.add(facade.gable_roof(length, 12, rng.uniform(2.5, 4.5)).moved((*origin[:2], top), turn), roof, BUILDING)
    for _ in range(int(rng.integers(1, 4))):
        a, b = rng.uniform(1, length - 1), rng.uniform(2, 9)
        builder.add(box([a, b, top], [a + 0.9, b + 0.7, top + 5]).moved(origin, turn), "brick", BUILDING)
    for i in range(bays):
        if rng.random() < 0.6:
            a, b = (i + 0.08) * length / bays, (i + 0.92) * length / bays
            cover = np.array(
                [[a, 0, 3.4], [b, 0, 3.4], [b, -1.5, 2.7], [a, -1.5, 2.7], [b, -1.5, 2.45], [a, -1.5, 2.45]]
            )
            part = Part(cover, np.array([[0, 1, 2, 3], [3, 2, 4, 5]]))
            builder.add(part.moved(origin, turn), "painted", AWNING, tuple(rng.uniform(0.03, 0.5, 3)))
        if rng.random() < 0.5:
            a, b = (i + 0.15) * length / bays, (i + 0.85) * length / bays
            board = box([a, -0.15, rise - 0.15], [b, 0, rise + 0.35])
            builder.add(board.moved(origin, turn), "painted", SIGNBOARD, tuple(rng.uniform(0.02, 0.6, 3)))
