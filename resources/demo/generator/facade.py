"""Architectural elements. A wall's own axes: x along it, -y outwards to the street, z up; all in metres."""

import numpy as np

from . import textures
from .mesh import Part, box, join, lathe, prism, sheet


def _opening(centre: float, half: float, sill: float, spring: float, arched: bool) -> np.ndarray:
    """(N, 2) outline from the lower left round the top to the lower right."""
    if not arched:
        top = np.array([[centre - half, spring], [centre + half, spring]])
    else:
        angle = np.linspace(np.pi, 0, 13)
        top = np.stack([centre + half * np.cos(angle), spring + half * np.sin(angle)], -1)
    return np.concatenate([[[centre - half, sill]], top, [[centre + half, sill]]])


def _at(outline: np.ndarray, y: float) -> np.ndarray:
    return np.stack([outline[:, 0], np.full(len(outline), y), outline[:, 1]], -1)


def _strip(a: np.ndarray, b: np.ndarray) -> Part:
    """Quads between two polylines (N, 3)."""
    n = len(a)
    i = np.arange(n - 1)
    return Part(np.concatenate([a, b]), np.stack([i, i + 1, i + 1 + n, i + n], -1))


def _quad(x0, x1, z0, z1) -> Part:
    return Part(np.array([[x0, 0, z0], [x1, 0, z0], [x1, 0, z1], [x0, 0, z1]], float), np.array([[0, 1, 2, 3]]))


def bay(x0, x1, z0, z1, half, sill, spring, arched=True, depth=0.5) -> dict[str, Part]:
    """A piece of wall with one opening: the `wall` with its reveals, the `trim` round it, its `pane` and `bars`."""
    centre = (x0 + x1) / 2
    outline = _opening(centre, half, sill, spring, arched)
    front, back = _at(outline, 0), _at(outline, depth)
    arc = front[1:-1]
    ceiling = arc * [1, 1, 0] + [0, 0, z1]
    closed = np.append(np.arange(len(front)), 0)
    pieces = [
        _quad(x0, centre - half, z0, z1),
        _quad(centre + half, x1, z0, z1),
        _quad(centre - half, centre + half, z0, sill),
        _strip(arc, ceiling),
        _strip(front[closed], back[closed]),
    ]
    wide = _opening(centre, half + 0.22, sill, spring + (0 if arched else 0.22), arched)
    proud, outer = _at(outline, -0.1), _at(wide, -0.1)
    trim = [_strip(proud, outer), _strip(outer, _at(wide, 0)), _strip(front, proud)]
    trim.append(box([centre - half - 0.35, -0.28, sill - 0.22], [centre + half + 0.35, 0.05, sill]))
    crown = spring + half if arched else spring
    if arched:
        trim.append(box([centre - 0.18, -0.2, crown - 0.1], [centre + 0.18, 0.02, crown + 0.45]))
    else:
        trim.append(box([centre - half - 0.4, -0.3, crown + 0.3], [centre + half + 0.4, 0.02, crown + 0.5]))
    bars = [box([centre - 0.05, depth - 0.16, sill], [centre + 0.05, depth - 0.08, crown])]
    bars += [
        box([centre - half, depth - 0.16, z - 0.04], [centre + half, depth - 0.08, z + 0.04])
        for z in np.linspace(sill, spring, 4)[1:]
    ]
    pane = prism(outline[::-1], 0.05).moved([0, depth - 0.06, 0])
    return {"wall": join(pieces), "trim": join(trim), "pane": pane, "bars": join(bars)}


def floor(z0, z1, half, sill, spring, arched=True, depth=0.5) -> dict:
    """The measures of one floor of a `wall`: heights of its ends, opening's half width, sill and springing."""
    return {"z0": z0, "z1": z1, "half": half, "sill": sill, "spring": spring, "arched": arched, "depth": depth}


def wall(builder, origin, turn, length, floors, bays, looks, label, rng, lit=0.35, plain=()) -> None:
    """A wall of `bays` equal bays with its lower left corner at `origin`, turned by `turn` about z.

    floors: dicts of z0, z1, half, sill, spring, arched as in `bay`. looks: materials of wall, trim. Bays in `plain` of
    the lowest floor are left out (the caller fills them).
    """
    step = length / bays
    for level, floor in enumerate(floors):
        for i in range(bays):
            if level == 0 and i in plain:
                continue
            parts = bay(i * step, (i + 1) * step, **floor)
            pane = "pane_lit" if rng.random() < lit else "pane_dark" if rng.random() < 0.75 else "pane_blind"
            for name, look in [("wall", looks["wall"]), ("trim", looks["trim"]), ("pane", pane), ("bars", "painted")]:
                color = looks.get("bars", (0.6, 0.58, 0.52)) if name == "bars" else None
                builder.add(parts[name].moved(origin, turn), look, label, color, aligned=name == "wall")
        cornice = join(
            [
                box([-0.25, -0.25, floor["z1"] - 0.3], [length + 0.25, 0.1, floor["z1"]]),
                box([-0.4, -0.4, floor["z1"] - 0.12], [length + 0.4, 0.1, floor["z1"] + 0.04]),
            ]
        )
        builder.add(cornice.moved(origin, turn), looks["trim"], label)


def column(height: float, radius: float) -> Part:
    """A fluted-looking column with base, entasis and capital, standing on z = 0."""
    r = radius
    profile = [(r * 1.35, 0), (r * 1.35, 0.25), (r * 1.15, 0.35), (r * 1.25, 0.5), (r, 0.65), (r * 1.02, height * 0.35)]
    profile += [(r * 0.85, height - 1.2), (r * 0.95, height - 1.1), (r * 0.88, height - 1.0), (r * 1.05, height - 0.6)]
    profile += [(r * 1.4, height - 0.25), (r * 1.2, height - 0.2)]
    return lathe(profile, 20)


def capital(height: float, radius: float) -> Part:
    """The plinth under and the abacus over a column, with leaves carved as small blocks."""
    r = radius * 1.45
    blocks = [box([-r, -r, -0.15], [r, r, 0.05]), box([-r, -r, height - 0.22], [r, r, height])]
    for i in range(10):
        a = i / 10 * 2 * np.pi
        x, y = np.cos(a) * radius, np.sin(a) * radius
        blocks.append(box([x - 0.11, y - 0.11, height - 1.0], [x + 0.11, y + 0.11, height - 0.55]))
    return join(blocks)


def balustrade(length: float) -> Part:
    """Balusters and rail along x from 0, 1.1 m high."""
    parts = [
        lathe([(0.1, 0.1), (0.06, 0.25), (0.13, 0.45), (0.06, 0.75), (0.1, 0.9)], 7, (x, 0, 0))
        for x in np.arange(0.25, length, 0.5)
    ]
    parts += [box([0, -0.16, 0], [length, 0.16, 0.12]), box([0, -0.18, 0.9], [length, 0.18, 1.08])]
    parts += [box([x - 0.22, -0.22, 0], [x + 0.22, 0.22, 1.2]) for x in np.linspace(0, length, max(2, int(length / 5)))]
    return join(parts)


def steps(width: float, count: int, rise: float, tread: float) -> Part:
    """`count` steps that climb in +y to z = count * rise at y = 0; x from 0 to `width`."""
    return join([box([0, -(count - i) * tread, 0], [width, 0.5, (i + 1) * rise]) for i in range(count)])


def carved(rng, width: float, height: float, figures: int, depth: float = 0.35, gable: bool = False) -> Part:
    """A relief in the plane y = 0 that stands out towards -y; `gable` cuts it to a triangle."""
    rows, columns = (int(height * 26) + 2, int(width * 26) + 2)
    z = np.linspace(0, 1, rows)[:, None]
    x = np.linspace(-0.5, 0.5, columns)[None]
    heights = textures.relief(rng, rows, columns, figures)[::-1]
    top = np.minimum(z, 1 - np.abs(2 * x)) if gable else np.broadcast_to(z, heights.shape)
    return sheet(np.stack([np.broadcast_to(x * width, heights.shape), -depth * heights, top * height], -1))


def gable_roof(length: float, depth: float, rise: float, overhang: float = 0.6) -> Part:
    """A ridge along x over y from 0 to `depth`, eaves at z = 0."""
    o = overhang
    points = [[-o, -o, -0.2], [length + o, -o, -0.2], [length + o, depth / 2, rise], [-o, depth / 2, rise],
              [-o, depth + o, -0.2], [length + o, depth + o, -0.2]]  # fmt: skip
    faces = [[0, 1, 2, 3], [3, 2, 5, 4], [0, 3, 4, -1], [1, 5, 2, -1]]
    return Part(np.array(points, float), np.array(faces))


def pyramid(half: float, height: float) -> Part:
    """A square pyramid about the z axis with its base at z = 0."""
    points = [[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0], [0, 0, height]]
    return Part(np.array(points, float), np.array([[0, 1, 4, -1], [1, 2, 4, -1], [2, 3, 4, -1], [3, 0, 4, -1]]))
