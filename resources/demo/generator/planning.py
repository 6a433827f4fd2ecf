"""Where tourists stand, what they see and who walks past: drawn at random, checked against the scene by ray casts."""

from collections.abc import Iterator
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Vector

from . import lighting, transients
from .labels import BUILDING, COLUMN, DOOR, ROAD, SCULPTURE, SIDEWALK, STAIRS, TOWER, TRANSIENT
from .mesh import Builder
from .photography import Lens
from .rendering import look

SIZES = [(640, 480), (640, 480), (640, 426), (480, 640), (426, 640), (640, 360)]
KINDS = ["noon", "golden", "overcast", "dusk", "noon", "night", "golden", "overcast", "noon", "dusk"]
TARGETS = [(0, 0, 10), (0, -5, 9), (-9, 0, 12), (8, 0, 9), (-18, 0, 13), (12, 0, 9), (0, 5, 15), (-3, -6, 6)]
LANDMARK = (BUILDING, TOWER, COLUMN, SCULPTURE, DOOR, STAIRS)


@dataclass(frozen=True)
class Shot:
    """One photo to take: R, t of x_cam = R x_world + t, its lens, light, the seed of the clouds."""

    lens: Lens
    rotation: np.ndarray
    translation: np.ndarray
    kind: str
    light: lighting.Light
    cloud_seed: int
    selfie: bool = False

    @property
    def center(self) -> np.ndarray:
        return -self.rotation.T @ self.translation

    def shows(self, point) -> bool:
        """Whether a world point falls well inside the picture."""
        x, y, z = self.rotation @ point + self.translation
        reach = 0.42 * z / self.lens.focal
        return z > 0 and abs(x) < reach * self.lens.width and abs(y) < reach * self.lens.height

    def rays(self, u, v) -> np.ndarray:
        """(N, 3) unit directions through pixels of the ideal camera."""
        lens = self.lens
        local = np.stack([(u - lens.width / 2) / lens.focal, (v - lens.height / 2) / lens.focal, np.ones_like(u)], -1)
        world = local @ self.rotation
        return world / np.linalg.norm(world, axis=-1, keepdims=True)


def _cast(origin, direction):
    """(distance, label, point) of what a ray meets; distance inf where it meets nothing."""
    scene = bpy.context.scene
    hit, point, _, _, item, _ = scene.ray_cast(bpy.context.evaluated_depsgraph_get(), Vector(origin), Vector(direction))
    return ((point - Vector(origin)).length, item.pass_index, point) if hit else (np.inf, 0, None)


def _sees_landmark(shot: Shot) -> bool:
    """Nothing near in the way, and at least a third of the picture is the landmark."""
    u, v = np.meshgrid(np.linspace(0.04, 0.96, 11), np.linspace(0.04, 0.96, 11))
    near = landmark = 0
    for ray in shot.rays(u.ravel() * shot.lens.width, v.ravel() * shot.lens.height):
        distance, label, point = _cast(shot.center, ray)
        near += distance < 9 and label not in (SIDEWALK, ROAD, STAIRS)
        landmark += label in LANDMARK and point.y > -12 and abs(point.x) < 38
    return near < 6 and landmark > 0.33 * u.size


def shots(seed: int, count: int, variety: int = 10) -> Iterator[Shot]:
    """`count` shots of a scene that stands; every `variety` consecutive ones span the angles and the
    lights, and seven of eight show the portico."""
    for i in range(count):
        rng = np.random.default_rng([seed, 1, i])
        slot = (i * 7) % variety if variety > 1 else 0
        for _ in range(400):
            across = 2 * (slot + rng.random()) / variety - 1
            azimuth = 70 * np.sign(across) * abs(across) ** 1.3
            shot = _draw(rng, azimuth, KINDS[(i + i // variety) % len(KINDS)], selfie=i % 20 == 13)
            central = shot and (i % 8 == 7 or shot.shows((0, -5, 9)))
            if central and _sees_landmark(shot):
                yield shot
                break
        else:
            raise RuntimeError(f"no free view found for shot {i}")


def _draw(rng, azimuth: float, kind: str, selfie: bool) -> Shot | None:
    reach = rng.choice([rng.uniform(20, 27), rng.uniform(28, 42), rng.uniform(43, 68)], p=[0.15, 0.63, 0.22])
    a = np.radians(azimuth)
    x, y = reach * np.sin(a), -2 - reach * np.cos(a)
    if abs(x) > 58 or y > -4:
        return None
    elevated = rng.random() < 0.15
    height = rng.uniform(5, 13) if elevated else rng.uniform(1.45, 1.85)
    floor, label, _ = _cast((x, y, 3.2), (0, 0, -1))
    if not elevated and (label not in (SIDEWALK, ROAD) or floor < 3):
        return None
    target = np.array(TARGETS[rng.integers(len(TARGETS))]) + rng.normal(0, [3, 0.5, 2])
    width, height_px = SIZES[rng.integers(len(SIZES))]
    equivalent = rng.choice(
        [24, 26, 28, 28] if reach < 27 else [26, 28, 28, 35, 50] if reach < 43 else [35, 35, 50, 50, 85]
    )
    focal = equivalent / 36 * max(width, height_px) * rng.uniform(0.97, 1.03)
    lens = Lens(width, height_px, float(focal), float(rng.uniform(-0.045, 0.015) * (28 / equivalent)))
    rotation, translation = look((x, y, height), target, rng.normal(0, 0.02))
    sun = float(np.clip(azimuth * 0.3 + rng.normal(0, 40), -85, 85))
    light = lighting.light(kind, sun, rng)
    return Shot(lens, rotation, translation, kind, light, int(rng.integers(1 << 30)), selfie)


def _standing(x: float, y: float) -> float | None:
    """The height of free ground at (x, y), or None."""
    _, label, point = _cast((x, y, 30), (0, 0, -1))
    return point.z if label in (SIDEWALK, STAIRS, ROAD) and point.z < 2.2 else None


def _in_view(shot: Shot, rng, near: float, far: float) -> tuple[float, float]:
    """A random point of the ground in the picture's width, between two distances."""
    depth = near * (far / near) ** rng.random()
    ray = shot.rays(np.array([rng.uniform(0.02, 0.98) * shot.lens.width]), np.array([shot.lens.height * 0.6]))[0]
    flat = ray[:2] / np.linalg.norm(ray[:2])
    return tuple(shot.center[:2] + flat * depth)


def crowd(builder: Builder, shot: Shot, seed) -> dict[str, int]:
    """Add the people and vehicles of one photo to `builder` (not yet built); returns how many of each."""
    rng = np.random.default_rng(seed)
    count = {"people": 0, "cars": 0, "vans": 0}
    if shot.selfie:
        side = rng.choice([-1, 1])
        for k in range(int(rng.integers(1, 3))):
            pixel = shot.lens.width * (0.5 + side * (0.3 - 0.25 * k))
            ray = shot.rays(np.array([pixel]), np.array([shot.lens.height * 0.62]))[0]
            x, y, z = shot.center + ray * rng.uniform(1.0, 1.25)
            turn = np.arctan2(-ray[0], ray[1])
            transients.person(builder, rng, (x, y, z - 1.58), turn + rng.normal(0, 0.15), raised=0.0)
            count["people"] += 1
    busy = rng.random() < 0.85
    for _ in range(int(rng.integers(2, 8)) if busy else int(rng.integers(0, 2))):
        x, y = _in_view(shot, rng, 6.5, 38)
        group = int(rng.choice([1, 1, 2, 2, 3, 5]))
        heading = rng.uniform(0, 2 * np.pi)
        for _ in range(group):
            px, py = x + rng.normal(0, 0.35 * group**0.5), y + rng.normal(0, 0.35 * group**0.5)
            z = _standing(px, py)
            if z is None or np.hypot(px - shot.center[0], py - shot.center[1]) < 4.5:
                continue
            transients.person(builder, rng, (px, py, z), heading + rng.normal(0, 0.7))
            count["people"] += 1
    for lane in (-48.8, -44.2, 44.2, 48.8):
        for y in np.arange(-70, 40, 9):
            if rng.random() < 0.22 and abs(shot.center[0] - lane) + abs(shot.center[1] - y) > 12:
                van = rng.random() < 0.3
                transients.vehicle(
                    builder, rng, (lane, y + rng.uniform(-2, 2), -0.1), np.pi / 2 * (1 if lane % 1 else -1), van
                )
                count["vans" if van else "cars"] += 1
    if rng.random() < 0.45:
        for _ in range(20):
            x, y = _in_view(shot, rng, 12, 30)
            free = [_standing(x + dx, y + dy) for dx in (-2.2, 0, 2.2) for dy in (-2.2, 0, 2.2)]
            if all(z is not None and abs(z) < 0.1 for z in free):
                van = rng.random() < 0.4
                transients.vehicle(builder, rng, (x, y, 0), rng.uniform(0, 2 * np.pi), van)
                count["vans" if van else "cars"] += 1
                break
    return count


def clear() -> None:
    """Remove people and vehicles from the scene."""
    for item in [item for item in bpy.data.objects if item.pass_index in TRANSIENT]:
        mesh = item.data
        bpy.data.objects.remove(item)
        bpy.data.meshes.remove(mesh)
