"""Rasterization with OpenGL through pyrender: a second backend, to check the first against.

The platform is OSMesa, Mesa's software renderer (Debian and Ubuntu: libosmesa6), because pyrender's EGL platform draws
into a buffer with four samples per pixel, which blends primitives with their surroundings. PyOpenGL binds to one
platform for the life of a process, so nothing else in the process may use another.
"""

import ctypes.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from nrw.core.errors import UserError
from nrw.geometry.cameras import Camera
from nrw.geometry.rasterize import DeepBuffer, Geometry, exact_depth

CV_FROM_GL = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL's camera looks along -z with y up
DRAWN = 1 << 22  # most primitives per drawing: bounds memory, and their numbers fit the 24 bits of a colour


def render(
    points: np.ndarray, colors: np.ndarray, camera: Camera, point_size: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw unlit points, squares of `point_size` pixels that face the camera at their points' depths, or triangles.

    points: (N, 3) float, world; (N, 3, 3): the corners of triangles. colors: (N, 3) uint8.
    Returns rgb (H, W, 3) uint8, exactly the points' colours, black where there is no point, and depth (H, W) float32,
    z in the camera, 0 where there is no point. The depth buffer has 24 bits between the nearest and the farthest point
    in view: its relative error is about far / near * 1e-7.
    Raises UserError where the OSMesa library is missing.
    """
    size = (camera.height, camera.width)
    in_camera = np.asarray(points, np.float64) @ camera.rotation.T + camera.cam_from_world[:, 3]
    z = in_camera[..., 2]
    if points.ndim == 3:
        inside = (z > 0).all(axis=1)
    else:
        inside = camera.contains(*camera.project(np.asarray(points, np.float64)))
    if not inside.any():
        return np.zeros((*size, 3), np.uint8), np.zeros(size, np.float32)
    # drawn in camera coordinates, where float32 is finest, and only what is in view
    in_camera = in_camera[inside]
    near, far = 0.999 * z[inside].min(), 1.001 * z[inside].max()
    with _osmesa() as pyrender:
        scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0])
        scene.add(_mesh(pyrender, in_camera, colors[inside] / 255.0))
        lens = pyrender.IntrinsicsCamera(camera.fx, camera.fy, camera.cx, camera.cy, znear=near, zfar=far)
        scene.add(lens, pose=CV_FROM_GL)
        renderer = pyrender.OffscreenRenderer(camera.width, camera.height, point_size)
        try:
            rgb, depth = renderer.render(scene, pyrender.RenderFlags.FLAT)
        finally:
            renderer.delete()
    return np.ascontiguousarray(rgb), np.ascontiguousarray(depth)


def rasterize(geometry: Geometry, camera: Camera, splat: int = 1) -> DeepBuffer:
    """As `rasterize.rasterize`, without reach: the primitives' numbers are drawn as colours; depths are exact."""
    size = (camera.height, camera.width)
    primitive, depth = torch.full(size, -1, dtype=torch.int32), torch.full(size, torch.inf)
    points, faces = geometry.points.cpu().numpy(), geometry.faces.cpu().numpy()
    loose = points[geometry.first_loose :]
    count = len(faces) + len(loose)
    for start in range(0, count, DRAWN):
        some = slice(start, min(start + DRAWN, len(faces)))
        rest = slice(max(0, start - len(faces)), max(0, start + DRAWN - len(faces)))
        for first, shape, pixels in (
            (some.start, points[faces[some]], 1),
            (len(faces) + rest.start, loose[rest], splat),
        ):
            if not len(shape):
                continue
            numbers = np.arange(len(shape), dtype="<u4").view(np.uint8).reshape(-1, 4)[:, :3]
            rgb, drawn = render(shape, numbers, camera, pixels)
            seen = rgb.astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32) + first
            found = DeepBuffer(
                torch.from_numpy(np.where(drawn > 0, seen, -1).astype(np.int32)), torch.from_numpy(drawn)
            )
            exact = exact_depth(geometry, camera, found)
            nearer = found.hit & (exact < depth)
            primitive, depth = torch.where(nearer, found.primitive, primitive), torch.where(nearer, exact, depth)
    return DeepBuffer(primitive, torch.where(primitive >= 0, depth, 0))


def _mesh(pyrender: Any, shape: np.ndarray, colors: np.ndarray) -> Any:
    """Points (N, 3), or triangles (N, 3, 3) that share no corner, each of one color (N, 3) from 0 to 1."""
    if shape.ndim == 2:
        return pyrender.Mesh.from_points(shape, colors)
    corners = np.column_stack([np.repeat(colors, 3, axis=0), np.ones(3 * len(shape))])
    faces = pyrender.Primitive(positions=shape.reshape(-1, 3), color_0=corners, mode=pyrender.constants.GLTF.TRIANGLES)
    faces.material = pyrender.MetallicRoughnessMaterial(doubleSided=True)
    return pyrender.Mesh([faces])


@contextmanager
def _osmesa() -> Iterator:
    """The pyrender module, with PYOPENGL_PLATFORM set while it is used. Raises UserError without the OSMesa library."""
    if ctypes.util.find_library("OSMesa") is None:
        raise UserError(
            "framebuffers.backend is pyrender, which draws with the OSMesa library, and that is not installed; on "
            "Debian and Ubuntu: apt-get install libosmesa6; or set framebuffers.backend to torch"
        )
    before = os.environ.get("PYOPENGL_PLATFORM")
    os.environ["PYOPENGL_PLATFORM"] = "osmesa"  # read when OpenGL is imported, and again for each renderer
    try:
        import pyrender
        from OpenGL.platform import PLATFORM

        if not hasattr(PLATFORM, "OSMesa"):
            raise RuntimeError(
                f"OpenGL was imported before, for {type(PLATFORM).__name__}; pyrender needs it bound to OSMesa"
            )
        yield pyrender
    finally:
        if before is None:
            del os.environ["PYOPENGL_PLATFORM"]
        else:
            os.environ["PYOPENGL_PLATFORM"] = before
