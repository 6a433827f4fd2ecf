"""Colour textures drawn with numpy: detail at every scale and no repetition, so every patch is its own landmark."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def _noise(rng: np.random.Generator, shape, cells) -> np.ndarray:
    """Smooth noise of unit variance: random values on a (rows, columns) lattice, interpolated."""
    lattice = rng.standard_normal((max(2, int(cells[0])), max(2, int(cells[1])))).astype(np.float32)
    return np.asarray(Image.fromarray(lattice).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def fractal(rng: np.random.Generator, shape, coarsest=(4, 4), octaves: int = 8, persistence: float = 0.6) -> np.ndarray:
    """(H, W) float32 noise of about unit variance; each octave halves the size and multiplies the amplitude."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        total += persistence**octave * _noise(rng, shape, (coarsest[0] * 2**octave, coarsest[1] * 2**octave))
    return total / total.std()


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _spots(rng: np.random.Generator, shape, count: int, radii) -> np.ndarray:
    """(H, W) in [-1, 1]: irregular dark and light marks (chips, lichen, droppings), `radii` pixels large."""
    image = Image.new("L", (shape[1], shape[0]), 128)
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        r = radii[0] * (radii[1] / radii[0]) ** rng.random()
        x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        value = int(128 + rng.choice([-1, -1, 1]) * rng.uniform(30, 110))
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        reach = r * rng.uniform(0.5, 1.3, 9)
        draw.polygon([(x + a * np.cos(t), y + a * np.sin(t)) for a, t in zip(reach, angles, strict=True)], fill=value)
    blurred = image.filter(ImageFilter.GaussianBlur(1.0))
    return (np.asarray(blurred, np.float32) - 128) / 128


def _courses(rng, shape, height, width, joint: float) -> tuple[np.ndarray, np.ndarray]:
    """Irregular coursed blocks: a random tone for each pixel's block (unit variance) and a joint mask in [0, 1].

    `height`, `width`: (least, most) size of a block in pixels.
    """
    tone, joints = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    columns = np.arange(shape[1])
    top = 0
    while top < shape[0]:
        bottom = min(shape[0], top + max(2, int(rng.uniform(*height))))
        edges = np.cumsum(rng.uniform(*width, size=int(shape[1] / width[0]) + 2)) - rng.uniform(0, width[1])
        block = np.searchsorted(edges, columns)
        tone[top:bottom] = rng.standard_normal(len(edges) + 1)[block]
        distance = np.abs(columns - edges[np.clip(block, 0, len(edges) - 1)])
        before = np.abs(columns - edges[np.clip(block - 1, 0, len(edges) - 1)])
        joints[top:bottom] = np.clip(joint + 0.5 - np.minimum(distance, before), 0, 1)
        joints[top : top + max(1, round(joint))] = 1
        top = bottom
    return tone, joints


def _finish(color: np.ndarray) -> np.ndarray:
    """sRGB values in [0, 1] to 8 bits."""
    return np.round(np.clip(color, 0.01, 1) * 255).astype(np.uint8)


def stone(rng, size: int, base, metres: float, block=(0.4, 0.62), length=(0.6, 1.5), dirt: float = 1.0) -> np.ndarray:
    """(size, size, 3) uint8 weathered ashlar covering `metres`; `base`: mean sRGB colour; blocks in metres."""
    shape, pixel = (size, size), size / metres
    tone, joints = _courses(rng, shape, np.multiply(block, pixel), np.multiply(length, pixel), 0.018 * pixel)
    rough = fractal(rng, shape, (24, 24), octaves=6, persistence=0.75)
    blotches = _smoothstep(fractal(rng, shape, (6, 6), 7, 0.65) * 0.7 - 0.2)
    streaks = _smoothstep(fractal(rng, shape, (3, 60), 5, 0.7) * 0.6 - 0.15) * _smoothstep(
        fractal(rng, shape, (4, 8), 4) * 0.6 + 0.4
    )
    replaced = (tone > 1.75)[..., None]
    value = 1 + 0.15 * tone + 0.08 * rough - dirt * (0.2 * blotches + 0.22 * streaks) - 0.25 * joints
    value += 0.36 * _spots(rng, shape, int(metres**2 * 2.4), (0.07 * pixel, 0.42 * pixel))
    color = np.asarray(base, np.float32) * value[..., None]
    color *= 1 + fractal(rng, shape, (5, 5), 5)[..., None] * np.array([0.03, 0.0, -0.04], np.float32)
    return _finish(np.where(replaced, color * 0.75 + 0.22, color))


def plaster(rng, size: int, base, metres: float) -> np.ndarray:
    """(size, size, 3) uint8 painted wall with patches, cracks and run-off; `base`: mean sRGB colour."""
    shape, pixel = (size, size), size / metres
    flaked = _smoothstep((fractal(rng, shape, (8, 8), 8, 0.68) - 1.25) * 4)[..., None]
    streaks = _smoothstep(fractal(rng, shape, (2, 70), 5, 0.7) * 0.6 - 0.2)
    cracks = np.exp(-np.abs(fractal(rng, shape, (7, 7), 7, 0.6)) * 45)
    value = 1 + 0.09 * fractal(rng, shape, octaves=10, persistence=0.75) - 0.22 * streaks - 0.3 * cracks
    value += 0.35 * _spots(rng, shape, int(metres**2 * 1.8), (0.08 * pixel, 0.45 * pixel))
    color = np.asarray(base, np.float32) * value[..., None]
    return _finish(color * (1 - flaked) + flaked * value[..., None] * np.array([0.55, 0.42, 0.33], np.float32))


def roof(rng, size: int, base, metres: float) -> np.ndarray:
    """(size, size, 3) uint8 tiles or slates."""
    shape, pixel = (size, size), size / metres
    tone, joints = _courses(rng, shape, (0.24 * pixel, 0.3 * pixel), (0.2 * pixel, 0.34 * pixel), 0.03 * pixel)
    moss = _smoothstep(fractal(rng, shape, (6, 6), 8, 0.7) - 0.6)[..., None]
    value = 1 + 0.15 * tone + 0.1 * fractal(rng, shape, octaves=9, persistence=0.7) - 0.3 * joints
    color = np.asarray(base, np.float32) * value[..., None]
    return _finish(color * (1 - 0.5 * moss) + 0.5 * moss * np.array([0.33, 0.36, 0.22], np.float32))


def metal(rng, size: int, base, metres: float) -> np.ndarray:
    """(size, size, 3) uint8 sheet copper with verdigris, seams and runs."""
    shape, pixel = (size, size), size / metres
    tone, joints = _courses(rng, shape, (1.2 * pixel, 2.2 * pixel), (0.55 * pixel, 0.75 * pixel), 0.03 * pixel)
    dark = _smoothstep(fractal(rng, shape, (4, 40), 6, 0.75) * 0.7 - 0.1)[..., None]
    value = 1 + 0.08 * tone + 0.11 * fractal(rng, shape, octaves=9, persistence=0.72) - 0.25 * joints
    value += 0.4 * _spots(rng, shape, int(metres**2 * 1.8), (0.08 * pixel, 0.42 * pixel))
    color = np.asarray(base, np.float32) * value[..., None]
    return _finish(color * (1 - 0.6 * dark) + 0.6 * dark * value[..., None] * np.array([0.3, 0.26, 0.2], np.float32))


def ground(rng, size: int, colors, metres: float) -> np.ndarray:
    """(size, size, 3) uint8 grass, earth or asphalt: a mix of `colors` (K, 3) at many scales."""
    shape, pixel = (size, size), size / metres
    weights = np.stack([fractal(rng, shape, (5, 5), 9, 0.8) for _ in colors], -1)
    weights = np.exp(1.2 * weights)
    color = (weights / weights.sum(-1, keepdims=True)) @ np.asarray(colors, np.float32)
    marks = _spots(rng, shape, int(metres**2 * 3), (0.02 * pixel, 0.35 * pixel))
    return _finish(color * (1 + 0.12 * fractal(rng, shape, (64, 64), 6, 0.9) + 0.35 * marks)[..., None])


def paving(rng, size: int, metres: float, centre, fountain_radius: float) -> np.ndarray:
    """(size, size, 3) uint8 of a paved square: panels of slabs in differing directions, dark bands, rings of setts.

    `centre`: (u, v) in metres from the texture's lower left corner of the rings, which end at `fountain_radius`.
    """
    shape, pixel = (size, size), size / metres
    across, a_joint = _courses(rng, shape, (0.45 * pixel, 0.8 * pixel), (0.5 * pixel, 1.3 * pixel), 0.022 * pixel)
    along, b_joint = (
        layer.T for layer in _courses(rng, shape, (0.5 * pixel, 0.9 * pixel), (0.5 * pixel, 1.4 * pixel), 0.022 * pixel)
    )
    v, u = (np.indices(shape, np.float32) + 0.5) / pixel
    v = metres - v
    edges_u, edges_v = (np.cumsum(rng.uniform(5, 9, int(metres / 5))) for _ in range(2))
    panel_u, panel_v = np.searchsorted(edges_u, u[0]), np.searchsorted(edges_v, v[:, 0])
    turned = rng.random((len(edges_v) + 1, len(edges_u) + 1)) < 0.5
    shade = rng.standard_normal(turned.shape).astype(np.float32)
    panel = np.ix_(panel_v, panel_u)
    tone = np.where(turned[panel], along, across)
    joints = np.where(turned[panel], b_joint, a_joint)
    near_u = np.abs(u[0][:, None] - edges_u).min(1) < 0.35
    near_v = np.abs(v[:, 0][:, None] - edges_v).min(1) < 0.35
    band = (near_u[None] | near_v[:, None]).astype(np.float32)

    radius = np.hypot(u - centre[0], v - centre[1])
    ring = (radius / 0.55).astype(int)
    rings = ring.max() + 1
    turn = np.arctan2(v - centre[1], u - centre[0]) / (2 * np.pi) + 0.5 + rng.random(rings)[ring]
    sector = (turn * np.maximum(8, ring * 5)) % np.maximum(8, ring * 5)
    setts = rng.standard_normal((rings, rings * 5 + 9)).astype(np.float32)[ring, sector.astype(int)]
    gap = np.minimum(radius / 0.55 % 1, sector % 1)
    inside = radius < fountain_radius
    tone = np.where(inside, setts, tone)
    joints = np.where(inside, (gap < 0.06).astype(np.float32), joints)
    band = np.where(inside, rng.random(rings)[ring] < 0.3, band)

    value = 1 + 0.10 * tone + 0.05 * shade[panel] * ~inside - 0.3 * joints - 0.28 * band
    value += 0.085 * fractal(rng, shape, octaves=10, persistence=0.78)
    value -= 0.22 * _smoothstep(fractal(rng, shape, (9, 9), 8, 0.7) * 0.8 - 0.4)
    value += 0.5 * _spots(rng, shape, int(metres**2 * 2), (0.04 * pixel, 0.4 * pixel))
    warm = fractal(rng, shape, (12, 12), 4)[..., None] * np.array([0.03, 0.0, -0.03], np.float32)
    return _finish(np.array([0.60, 0.57, 0.53], np.float32) * value[..., None] * (1 + warm))


def relief(rng, rows: int, columns: int, figures: int) -> np.ndarray:
    """(rows, columns) float32 heights in [0, 1] of a carved band of standing figures: heads, bodies, limbs, folds."""
    image = Image.new("L", (columns, rows), 0)
    draw = ImageDraw.Draw(image)
    for i in range(figures):
        x = (i + rng.uniform(0.2, 0.8)) * columns / figures
        h = rows * rng.uniform(0.7, 0.95)
        w = min(columns / figures, h) * rng.uniform(0.22, 0.4)
        level = int(rng.uniform(120, 255))
        draw.ellipse([x - 0.3 * w, rows - h, x + 0.3 * w, rows - 0.78 * h], fill=level)
        draw.polygon(
            [(x - w / 2, rows - 0.76 * h), (x + w / 2, rows - 0.76 * h), (x + 0.7 * w, rows), (x - 0.7 * w, rows)],
            level,
        )
        for side in (-1, 1):
            hand = (x + side * w * rng.uniform(0.7, 1.6), rows - h * rng.uniform(0.3, 1.0))
            draw.line([(x + side * 0.4 * w, rows - 0.7 * h), hand], fill=level, width=max(2, int(0.22 * w)))
    smooth = np.asarray(image.filter(ImageFilter.GaussianBlur(max(1.0, rows / 40))), np.float32) / 255
    folds = fractal(rng, (rows, columns), (4, columns // 8), 5, 0.7)
    return np.clip(smooth * (1 + 0.12 * folds), 0, 1).astype(np.float32)
