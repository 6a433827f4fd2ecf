"""Cycles through numpy: a pinhole camera in, linear radiance, depth and labels out."""

import tempfile
from pathlib import Path

import bpy
import numpy as np

from .labels import SKY


def reset(threads: int) -> None:
    """An empty scene set up for cheap, denoised path tracing on the CPU."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.render.use_persistent_data = True
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_depth = "32"
    cycles = scene.cycles
    cycles.device, cycles.use_denoising, cycles.denoiser = "CPU", True, "OPENIMAGEDENOISE"
    cycles.denoising_prefilter = "FAST"
    cycles.use_adaptive_sampling = False
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 2, 1
    cycles.transmission_bounces = cycles.transparent_max_bounces = cycles.volume_bounces = 0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4.0
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_object_index = True
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.clip_end = 1000
    scene.collection.objects.link(camera)
    scene.camera = camera


def look(position, target, roll: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """R (3, 3) and t (3,) of x_cam = R x_world + t with OpenCV axes; `roll` in radians."""
    forward = np.subtract(target, position).astype(float)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    rotation = np.stack([c * right + s * down, c * down - s * right, forward])
    return rotation, -rotation @ np.asarray(position, float)


def aim(rotation: np.ndarray, translation: np.ndarray, focal: float, width: int, height: int) -> None:
    """Set the camera: focal length in pixels, principal point in the middle of width x height."""
    from mathutils import Matrix

    scene = bpy.context.scene
    pose = np.eye(4)
    pose[:3, :3] = rotation.T @ np.diag([1, -1, -1])
    pose[:3, 3] = -rotation.T @ translation
    scene.camera.matrix_world = Matrix(pose.tolist())
    scene.camera.data.sensor_fit, scene.camera.data.sensor_width = "HORIZONTAL", 36.0
    scene.camera.data.lens = focal / width * 36.0
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = 100


def _load(path: Path) -> np.ndarray:
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    pixels = np.empty((image.size[1], image.size[0], 4), np.float32)
    image.pixels.foreach_get(pixels.ravel())
    bpy.data.images.remove(image)
    return pixels[::-1]


def radiance(samples: int) -> np.ndarray:
    """(H, W, 3) float32 linear radiance of the current view."""
    scene = bpy.context.scene
    scene.cycles.samples, scene.cycles.use_denoising = samples, True
    scene.cycles.max_bounces = 3
    scene.cycles.filter_width = 1.3
    scene.use_nodes = False
    with tempfile.TemporaryDirectory() as folder:
        scene.render.filepath = f"{folder}/view.exr"
        bpy.ops.render.render(write_still=True)
        return _load(Path(folder) / "view.exr")[..., :3].copy()


def geometry() -> tuple[np.ndarray, np.ndarray]:
    """At pixel centres: depth (H, W) float32 in metres along the optical axis, 0 in the sky; labels (H, W) uint8."""
    scene = bpy.context.scene
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    scene.cycles.max_bounces = 0
    scene.cycles.filter_width = 0.01
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    layers = tree.nodes.new("CompositorNodeRLayers")
    tree.links.new(layers.outputs["Image"], tree.nodes.new("CompositorNodeComposite").inputs["Image"])
    with tempfile.TemporaryDirectory() as folder:
        output = tree.nodes.new("CompositorNodeOutputFile")
        output.base_path = folder
        output.format.file_format, output.format.color_depth = "OPEN_EXR", "32"
        output.file_slots.clear()
        for name in ("Depth", "IndexOB"):
            output.file_slots.new(name)
            tree.links.new(layers.outputs[name], output.inputs[name])
        scene.render.filepath = f"{folder}/view.exr"
        bpy.ops.render.render(write_still=False)
        depth, labels = (_load(next(Path(folder).glob(f"{name}*.exr")))[..., 0] for name in ("Depth", "IndexOB"))
    depth = np.where(depth > 900, 0, depth)
    return depth, np.where(depth > 0, np.round(labels), SKY).astype(np.uint8)
