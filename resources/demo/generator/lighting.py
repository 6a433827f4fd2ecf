"""Sun, sky and lamps: the same place at noon, under cloud, in the golden hour, at dusk and at night."""

from dataclasses import dataclass

import bpy
import numpy as np

from .surroundings import STREETLIGHTS
from .textures import fractal

KINDS = ("noon", "overcast", "golden", "dusk", "night")


@dataclass(frozen=True)
class Light:
    """One state of the light.

    sun: direction (azimuth from the façade's normal, positive to the right, and elevation) in degrees, irradiance
    and linear RGB colour. zenith, horizon: sky radiance, linear RGB. glow: radiance round the sun. cloud: radiance of
    clouds; cover: part of the sky that they take, 0–1. lamps: 0–1. target: luminance that the camera exposes for.
    """

    azimuth: float
    elevation: float
    sun: float
    sun_color: tuple
    zenith: tuple
    horizon: tuple
    glow: tuple
    cloud: tuple
    cover: float
    lamps: float
    target: float


_KEYS = {  # by hour of the demo's evening, azimuth excepted
    "noon": Light(0, 54, 4.2, (1, 0.95, 0.88), (0.13, 0.25, 0.52), (0.42, 0.52, 0.62), (0.5, 0.45, 0.4),
                  (0.9, 0.9, 0.92), 0.35, 0.0, 0.13),
    "overcast": Light(0, 50, 0.25, (1, 1, 1), (0.75, 0.78, 0.82), (0.5, 0.52, 0.55), (0.2, 0.2, 0.2),
                      (0.62, 0.64, 0.68), 0.8, 0.0, 0.13),
    "golden": Light(0, 10, 2.6, (1, 0.58, 0.27), (0.09, 0.15, 0.30), (0.42, 0.30, 0.20), (1.6, 0.8, 0.3),
                    (0.55, 0.36, 0.26), 0.4, 0.0, 0.12),
    "dusk": Light(0, -4, 0.0, (1, 0.4, 0.2), (0.035, 0.055, 0.12), (0.17, 0.085, 0.07), (0.30, 0.11, 0.05),
                  (0.075, 0.05, 0.07), 0.45, 1.0, 0.10),
    "night": Light(0, -20, 0.0, (1, 0.4, 0.2), (0.0025, 0.004, 0.010), (0.010, 0.009, 0.010), (0, 0, 0),
                   (0.012, 0.010, 0.010), 0.5, 1.0, 0.075),
}  # fmt: skip


def light(kind: str, azimuth: float, rng: np.random.Generator | None = None) -> Light:
    """A kind of light with the sun at `azimuth` degrees; `rng` varies the sun's height and the clouds."""
    base = _KEYS[kind]
    values = {**base.__dict__, "azimuth": azimuth}
    if rng is not None:
        values["elevation"] = base.elevation + rng.uniform(-4, 5)
        values["cover"] = float(np.clip(base.cover + rng.uniform(-0.25, 0.25), 0, 1))
    return Light(**values)


def between(a: Light, b: Light, t: float) -> Light:
    """The light part-way from `a` (t = 0) to `b` (t = 1): radiances in the geometric mean, the rest linearly."""
    mixed = {}
    for key, low in a.__dict__.items():
        low, high = np.asarray(low, float), np.asarray(b.__dict__[key], float)
        if key in ("zenith", "horizon", "cloud"):
            value = low ** (1 - t) * high**t
        elif key == "lamps":  # they are switched on when it is nearly dark
            value = np.asarray(float(low + t * (high - low) > 0.7)) if low != high else low
        else:
            value = low + t * (high - low)
        mixed[key] = tuple(value.tolist()) if value.ndim else float(value)
    return Light(**mixed)


def _toward(azimuth: float, elevation: float) -> np.ndarray:
    a, e = np.radians([azimuth, elevation])
    return np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])


def sky(state: Light, cloud_seed: int, height: int = 512) -> np.ndarray:
    """(height, 2 height, 3) float32 equirectangular radiance in Blender's layout, first row at the nadir."""
    rng = np.random.default_rng(cloud_seed)
    v, u = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(2 * height) + 0.5) / (2 * height), indexing="ij")
    elevation, angle = (v - 0.5) * np.pi, (0.5 - u) * 2 * np.pi
    x, y, z = np.cos(elevation) * np.cos(angle), np.cos(elevation) * np.sin(angle), np.sin(elevation)
    up = np.clip(z, 0, 1)[..., None]
    color = np.array(state.horizon) + (np.array(state.zenith) - state.horizon) * up**0.45
    to_sun = (np.stack([x, y, z], -1) @ _toward(state.azimuth, max(state.elevation, 1))).clip(0, 1)[..., None]
    color += np.array(state.glow) * (0.25 * to_sun**4 + 0.75 * to_sun**40)
    # Clouds on a plane above, sampled from a square field of noise that ends at the horizon.
    field = fractal(rng, (1024, 1024), (7, 7), 7, 0.6)
    reach = 0.14 / (np.clip(z, 0, 1) + 0.14)
    column = ((0.5 + 0.48 * x * reach / np.maximum(np.hypot(x, y), 1e-6)) * 1023).astype(int)
    row = ((0.5 + 0.48 * y * reach / np.maximum(np.hypot(x, y), 1e-6)) * 1023).astype(int)
    density = (
        np.clip((field[row, column] - (1 - 2 * state.cover) * 1.6) * 0.8, 0, 1)[..., None]
        * np.clip(z * 9, 0, 1)[..., None]
    )
    lit = np.array(state.cloud) * (1.15 - 0.45 * density) + np.array(state.glow) * 0.5 * to_sun**6
    color = color * (1 - 0.92 * density) + 0.92 * density * lit
    color = np.where(z[..., None] < 0, np.array(state.horizon) * 0.4, color)
    return color.astype(np.float32)


def _lamp(name: str, kind: str, position, energy: float, color, radius: float) -> bpy.types.Object:
    data = bpy.data.lights.new(name, kind)
    data.energy, data.color, data.shadow_soft_size = energy, color, radius
    item = bpy.data.objects.new(name, data)
    item.location = position
    bpy.context.scene.collection.objects.link(item)
    return item


def _aim(item: bpy.types.Object, direction) -> None:
    from mathutils import Vector

    item.rotation_euler = Vector(direction).to_track_quat("-Z", "Y").to_euler()


class Lighting:
    """The scene's lamps and world; `apply` sets them to a state."""

    def __init__(self, materials: dict):
        self.materials = materials
        self.sun = _lamp("sun", "SUN", (0, 0, 60), 1.0, (1, 1, 1), 0.0)
        self.sun.data.angle = np.radians(0.6)
        self.lamps = [_lamp("street", "POINT", (x, y, 4.85), 300, (1, 0.66, 0.36), 0.2) for x, y in STREETLIGHTS]
        floods = [
            ((x, -9.5 if abs(x) > 11 else -12.5, 0.5), (x * 0.95, 0, 10), 1500) for x in (-20, -15, -7, 0, 7, 15, 20)
        ]
        floods += [((x, -2.5, 2.4), (x, 0, 8), 90) for x in (-7.2, 0, 7.2)]
        floods += [((x, 2.0, 16.6), (x * 0.3, 13, 27), 900) for x in (-16, 16)]
        floods += [
            ((-27, -9, 0.5), (-27, 1, 22), 2600),
            ((-19.8, -5, 16), (-27, 3, 28), 900),
            ((29, -2, 0.5), (30, 8, 6), 400),
        ]
        floods += [
            ((27, 11, 15), (6, 13, 26), 900),
            ((-36, -6, 0.5), (-30, 4, 18), 900),
            ((26, -8, 0.4), (22, 10, 10), 700),
        ]
        floods += [((5 + x, -30 + y, 1.1), (5, -30, 4), 60) for x, y in ((3, 0), (-2, 2.5), (-2, -2.5))]
        for position, target, energy in floods:
            item = _lamp("flood", "SPOT", position, energy, (1, 0.78, 0.52), 0.25)
            item.data.spot_size, item.data.spot_blend = np.radians(95), 0.6
            _aim(item, np.subtract(target, position))
            self.lamps.append(item)
        for x in (-56, 56):
            for y in (-50, -32, -14, 4):
                self.lamps.append(_lamp("street", "POINT", (x, y, 6), 300, (1, 0.72, 0.42), 0.25))
        self.energies = [item.data.energy for item in self.lamps]
        world = bpy.data.worlds.new("world")
        world.use_nodes = True
        bpy.context.scene.world = world
        self.last_sky = None
        self.sky = world.node_tree.nodes.new("ShaderNodeTexEnvironment")
        world.node_tree.links.new(self.sky.outputs["Color"], world.node_tree.nodes["Background"].inputs["Color"])

    def apply(self, state: Light, cloud_seed: int) -> None:
        radiance = np.ones((512, 1024, 4), np.float32)
        radiance[..., :3] = sky(state, cloud_seed)
        # A new image each time, the last one kept beside it: Cycles tells images apart by their address.
        if self.last_sky:
            bpy.data.images.remove(self.last_sky)
        self.last_sky = self.sky.image
        self.sky.image = bpy.data.images.new("sky", 1024, 512, float_buffer=True)
        self.sky.image.colorspace_settings.name = "Non-Color"
        self.sky.image.pixels.foreach_set(radiance.ravel())
        self.sun.hide_render = state.sun <= 0 or state.elevation <= 0
        self.sun.data.energy, self.sun.data.color = state.sun, state.sun_color
        _aim(self.sun, -_toward(state.azimuth, state.elevation))
        for item, energy in zip(self.lamps, self.energies, strict=True):
            item.hide_render = state.lamps <= 0
            item.data.energy = energy * state.lamps
        for name, strength in (("pane_lit", 0.30), ("lantern", 3.0)):
            shader = self.materials[name][0].node_tree.nodes["Principled BSDF"]
            shader.inputs["Emission Strength"].default_value = strength * state.lamps
