"""Physically based materials; the textured ones hold images drawn by `textures`."""

from collections.abc import Callable

import bpy
import numpy as np

from . import textures


def _image(name: str, pixels: np.ndarray) -> bpy.types.Image:
    """An sRGB image from (H, W, 3) uint8, first row on top."""
    image = bpy.data.images.new(name, pixels.shape[1], pixels.shape[0])
    rgba = np.ones((*pixels.shape[:2], 4), np.float32)
    rgba[..., :3] = pixels[::-1] / np.float32(255)
    image.pixels.foreach_set(rgba.ravel())
    return image


def _shader(name: str, kind: str, roughness: float) -> tuple[bpy.types.Material, bpy.types.Node]:
    """A material with one shader node: `ShaderNodeBsdfDiffuse` (cheap) or `ShaderNodeBsdfPrincipled`."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    shader = tree.nodes.new(kind)
    shader.inputs["Roughness"].default_value = roughness
    tree.links.new(shader.outputs["BSDF"], tree.nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
    return material, shader


def textured(name: str, pixels: np.ndarray) -> bpy.types.Material:
    """A matt surface coloured by an image."""
    material, shader = _shader(name, "ShaderNodeBsdfDiffuse", 0.0)
    texture = material.node_tree.nodes.new("ShaderNodeTexImage")
    texture.image = _image(name, pixels)
    material.node_tree.links.new(texture.outputs["Color"], shader.inputs["Color"])
    return material


def tinted(name: str, gloss: float = 0.0) -> bpy.types.Material:
    """A surface coloured by the mesh's `tint` attribute; matt unless `gloss`, its specular level, is given."""
    if gloss:
        material, shader = _shader(name, "ShaderNodeBsdfPrincipled", 0.25)
        shader.inputs["Specular IOR Level"].default_value = gloss
    else:
        material, shader = _shader(name, "ShaderNodeBsdfDiffuse", 0.0)
    color = material.node_tree.nodes.new("ShaderNodeAttribute")
    color.attribute_name = "tint"
    material.node_tree.links.new(color.outputs["Color"], shader.inputs[0])
    return material


def plain(name: str, color, roughness: float, specular: float = 0.5, metallic: float = 0.0) -> bpy.types.Material:
    material, shader = _shader(name, "ShaderNodeBsdfPrincipled", roughness)
    shader.inputs["Base Color"].default_value = (*color, 1)
    shader.inputs["Specular IOR Level"].default_value = specular
    shader.inputs["Metallic"].default_value = metallic
    return material


def glowing(name: str, color) -> bpy.types.Material:
    """A dark glossy surface that `lighting` makes glow after sunset; too dim to be sampled as a lamp."""
    material = plain(name, (0.03, 0.03, 0.035), 0.1)
    material.node_tree.nodes["Principled BSDF"].inputs["Emission Color"].default_value = (*color, 1)
    material.cycles.emission_sampling = "NONE"
    return material


def make(rng: np.random.Generator, scale: float, square: tuple) -> dict[str, tuple[bpy.types.Material, float]]:
    """All materials by name, each with the metres that its texture covers.

    scale: multiplies texture sizes in pixels. square: metres, centre, radius as `textures.paving` takes.
    """

    def size(pixels: int) -> int:
        return int(pixels * scale)

    tint = rng.uniform(-0.03, 0.03, 3)
    metres, centre, radius = square
    made = {}

    def add(name: str, draw: Callable, pixels: int, covers: float, base, *rest) -> None:
        made[name] = (textured(name, draw(rng, size(pixels), base, covers, *rest)), covers)

    add("stone", textures.stone, 4096, 56, np.array([0.74, 0.67, 0.56]) + tint)
    add("dressed", textures.stone, 2048, 24, np.array([0.80, 0.75, 0.66]) + tint, (0.8, 1.3), (1.2, 2.8), 0.5)
    add("brick", textures.stone, 2048, 22, (0.58, 0.36, 0.28), (0.16, 0.2), (0.3, 0.42))
    add("ochre", textures.plaster, 2048, 34, (0.80, 0.62, 0.40))
    add("rose", textures.plaster, 2048, 34, (0.76, 0.54, 0.47))
    add("cream", textures.plaster, 2048, 34, (0.82, 0.78, 0.67))
    add("green", textures.plaster, 2048, 34, (0.58, 0.64, 0.54))
    add("tiles", textures.roof, 2048, 24, (0.58, 0.34, 0.25))
    add("slate", textures.roof, 2048, 24, (0.36, 0.38, 0.42))
    add("copper", textures.metal, 2048, 26, (0.47, 0.63, 0.56))
    made["paving"] = (textured("paving", textures.paving(rng, size(4096), metres, centre, radius)), metres)
    add("grass", textures.ground, 1024, 16, [(0.29, 0.40, 0.16), (0.42, 0.46, 0.22), (0.22, 0.31, 0.12)])
    add("asphalt", textures.ground, 1024, 30, [(0.30, 0.30, 0.31), (0.38, 0.37, 0.36), (0.26, 0.26, 0.28)])
    add("earth", textures.ground, 1024, 60, [(0.42, 0.36, 0.28), (0.5, 0.47, 0.4), (0.34, 0.34, 0.24)])
    made |= {name: (tinted(name), 1) for name in ("leaves", "bark", "cloth", "painted")}
    made["paint"] = (tinted("paint", gloss=0.6), 1)
    made["iron"] = (plain("iron", (0.03, 0.035, 0.035), 0.5), 1)
    made["bronze"] = (plain("bronze", (0.16, 0.15, 0.1), 0.5, metallic=0.4), 1)
    made["water"] = (plain("water", (0.02, 0.05, 0.05), 0.08), 1)
    made["pane_dark"] = (plain("pane_dark", (0.02, 0.025, 0.03), 0.08), 1)
    made["pane_blind"] = (plain("pane_blind", (0.35, 0.31, 0.25), 0.4), 1)
    made["pane_lit"] = (glowing("pane_lit", (1.0, 0.62, 0.28)), 1)
    made["lantern"] = (glowing("lantern", (1.0, 0.7, 0.4)), 1)
    return made
