"""People and vehicles: assembled from limbs and panels, varied in build, clothes, skin, hair and pose."""

import colorsys

import numpy as np

from .labels import CAR, PERSON, VAN
from .mesh import Part, box, ellipsoid, join, lathe, prism, tube

SKIN = [(0.62, 0.38, 0.27), (0.50, 0.29, 0.19), (0.33, 0.18, 0.11), (0.16, 0.08, 0.05), (0.68, 0.45, 0.34)]
HAIR = [(0.02, 0.015, 0.01), (0.08, 0.04, 0.02), (0.25, 0.14, 0.05), (0.45, 0.32, 0.14), (0.35, 0.34, 0.33)]


def _cloth(rng) -> tuple:
    """A linear RGB fabric colour: often dark or grey, sometimes bright."""
    bright = rng.random() < 0.45
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 0.9) if bright else rng.uniform(0, 0.35),
                               rng.uniform(0.25, 0.75) if bright else rng.uniform(0.02, 0.5))  # fmt: skip


def figure(rng, raised: float = 0.15) -> list[tuple[Part, str]]:
    """A standing or walking person 1.75 m tall at the origin facing -y: parts with the role that colours them.

    raised: chance that an arm is lifted (a phone, a wave).
    """
    stride = rng.uniform(-0.28, 0.28)
    skirt = rng.random() < 0.25
    parts = []
    for side, swing in ((-1, stride), (1, -stride)):
        hip, knee = [0.1 * side, 0, 0.92], [0.11 * side, 0.5 * swing - 0.02, 0.5]
        ankle = [0.11 * side, swing + 0.04 * abs(swing), 0.09]
        parts.append((tube(hip, knee, 0.09, 0.065), "skin" if skirt else "legs"))
        parts.append((tube(knee, ankle, 0.065, 0.045), "skin" if skirt else "legs"))
        foot = np.add(ankle, [0, -0.06, -0.045])
        parts.append((ellipsoid(foot, (0.05, 0.13, 0.045), 8, 6), "shoes"))
        shoulder = np.array([0.2 * side, 0, 1.42])
        if rng.random() < raised:
            elbow = np.add(shoulder, [0.1 * side, -0.15, -0.2])
            hand = np.add(elbow, [-0.08 * side, -0.2, rng.uniform(0.15, 0.3)])
        else:
            elbow = np.add(shoulder, [0.07 * side, -0.4 * swing, -0.28])
            hand = np.add(elbow, [0.01 * side, -0.4 * swing - 0.08, -0.25])
        parts.append((tube(shoulder, elbow, 0.058, 0.045), "top"))
        parts.append((tube(elbow, hand, 0.042, 0.034), "sleeve"))
        parts.append((ellipsoid(hand, (0.04, 0.045, 0.055), 8, 6), "skin"))
    if skirt:
        parts.append((lathe([(0.26, 0.5), (0.2, 0.75), (0.15, 0.98)], 12), "legs"))
    torso = lathe([(0.12, 0.86), (0.165, 0.9), (0.15, 1.1), (0.19, 1.3), (0.185, 1.42), (0.08, 1.5)], 12)
    parts.append((Part(torso.vertices * [1.05, 0.68, 1], torso.faces, smooth=True), "top"))
    parts.append((tube([0, 0, 1.47], [0, -0.01, 1.56], 0.055, 0.055), "skin"))
    parts.append((ellipsoid((0, -0.01, 1.65), (0.078, 0.098, 0.115)), "skin"))
    parts.append((ellipsoid((0, -0.12, 1.64), (0.014, 0.02, 0.02), 6, 5), "skin"))
    parts.append((ellipsoid((0, 0.02, 1.685), (0.086, 0.1, 0.098)), "hair"))
    style = rng.random()
    if style < 0.35:
        parts.append((ellipsoid((0, 0.075, 1.55), (0.085, 0.045, 0.17), 10, 7), "hair"))
    elif style < 0.55:
        parts.append((lathe([(0.15, 1.70), (0.09, 1.71), (0.088, 1.78), (0.01, 1.8)], 12), "hat"))
    if rng.random() < 0.4:
        parts.append((ellipsoid((0, 0.17, 1.25), (0.15, 0.1, 0.22), 10, 7), "bag"))
    return parts


def person(builder, rng, position, turn: float, raised: float = 0.15) -> None:
    """Add one person with feet at `position`, facing `turn` radians from -y."""
    top = _cloth(rng)
    skin = SKIN[rng.integers(len(SKIN))]
    colors = {
        "skin": skin,
        "top": top,
        "legs": _cloth(rng),
        "sleeve": top if rng.random() < 0.6 else skin,
        "hair": HAIR[rng.integers(len(HAIR))],
        "shoes": _cloth(rng),
        "bag": _cloth(rng),
        "hat": _cloth(rng),
    }
    scale = rng.uniform(0.9, 1.06) * np.array([rng.uniform(0.92, 1.2), rng.uniform(0.95, 1.2), 1])
    if rng.random() < 0.12:
        scale *= 0.65  # a child
    for part, role in figure(rng, raised):
        builder.add(part.moved(position, turn, scale), "cloth", PERSON, colors[role])


def statue(rng, height: float) -> Part:
    """A draped stone figure `height` metres tall standing on z = 0."""
    parts = [part for part, role in figure(rng, raised=0.6) if role not in ("bag", "hat")]
    robe = lathe([(0.27, 0), (0.25, 0.5), (0.19, 0.95), (0.21, 1.3), (0.1, 1.48)], 18)
    folds = 1 + 0.09 * np.sin(np.arctan2(robe.vertices[:, 1], robe.vertices[:, 0]) * 9 + rng.uniform(0, 6))
    parts.append(Part(robe.vertices * np.stack([folds, folds * 0.8, np.ones_like(folds)], -1), robe.faces, smooth=True))
    return join(parts).moved(turn=rng.uniform(-0.5, 0.5), scale=height / 1.77)


def vehicle(builder, rng, position, turn: float, van: bool) -> None:
    """Add a car or van along x, nose to -x before turning, wheels on the ground."""
    paint = tuple(np.clip(_cloth(rng), 0.02, 0.8)) if rng.random() < 0.6 else (0.6, 0.6, 0.6)
    label, width = (VAN, 1.95) if van else (CAR, 1.75)
    if van:
        body = [(-2.5, 0.4), (2.5, 0.4), (2.5, 2.15), (2.35, 2.3), (-1.2, 2.3), (-2.0, 1.3), (-2.45, 1.1)]
        glass = [(-1.95, 1.35), (-0.5, 1.35), (-0.5, 2.0), (-1.25, 2.05)]
    else:
        body = [(-2.15, 0.35), (2.15, 0.35), (2.18, 0.95), (1.3, 1.02), (-1.1, 1.0), (-2.1, 0.8)]
        glass = [(-1.05, 0.98), (1.45, 0.98), (0.9, 1.4), (-0.35, 1.42)]
    place = {"offset": position, "turn": turn}
    builder.add(prism(body, width).moved([0, -width / 2, 0]).moved(**place), "paint", label, paint)
    if not van:
        cabin = [(-1.15, 0.98), (1.55, 0.98), (0.95, 1.46), (-0.4, 1.48)]
        builder.add(prism(cabin, width - 0.24).moved([0, 0.12 - width / 2, 0]).moved(**place), "paint", label, paint)
        builder.add(prism([(-1.12, 1.0), (-0.42, 1.46), (-0.48, 1.46), (-1.18, 1.0)][::-1], width - 0.4)
                    .moved([-0.03, 0.2 - width / 2, 0]).moved(**place), "pane_dark", label)  # fmt: skip
    inset = 0.01 if van else -0.11
    builder.add(prism(glass, width + 2 * inset).moved([0, -width / 2 - inset, 0]).moved(**place), "pane_dark", label)
    for x in (-1.35, 1.35):
        for side in (-1, 1):
            wheel = lathe([(0.02, -0.11), (0.2, -0.11), (0.33, -0.09), (0.33, 0.09), (0.2, 0.11), (0.02, 0.11)], 14)
            turned = Part(wheel.vertices[:, [0, 2, 1]] + [x, side * (width / 2 - 0.05), 0.33], wheel.faces, smooth=True)
            builder.add(turned.moved(**place), "painted", label, (0.02, 0.02, 0.02))
    for x, color in ((-2.14 if not van else -2.44, (0.8, 0.8, 0.75)), (2.16 if not van else 2.5, (0.5, 0.02, 0.02))):
        for side in (-1, 1):
            y = side * (width / 2 - 0.25)
            builder.add(
                box([x - 0.03, y - 0.14, 0.65], [x + 0.03, y + 0.14, 0.8]).moved(**place), "painted", label, color
            )
