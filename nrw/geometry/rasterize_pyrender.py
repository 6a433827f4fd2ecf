"""Point rasterization with OpenGL through pyrender: a second backend, to check the first against.

The platform is OSMesa, Mesa's software renderer (Debian and Ubuntu: libosmesa6), because pyrender's EGL platform draws
into a buffer with four samples per pixel, which blends points with their surroundings. PyOpenGL binds to one platform
for the life of a process, so nothing else in the process may use another.
"""

import ctypes.util
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from nrw.core.errors import UserError
from nrw.geometry.cameras import Camera
from nrw.geometry.rasterize import DeepBuffer

CV_FROM_GL = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL's camera looks along -z with y up
DRAWN_POINTS = 1 << 22  # most points per drawing: bounds memory, and their numbers fit the 24 bits of a colour


def render(
    points: np.ndarray, colors: np.ndarray, camera: Camera, point_size: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw points as unlit squares of `point_size` pixels that face the camera, each at its point's depth.

    points: (N, 3) float, world. colors: (N, 3) uint8.
    Returns rgb (H, W, 3) uint8, exactly the points' colours, black where there is no point, and depth (H, W) float32,
    z in the camera, 0 where there is no point. The depth buffer has 24 bits between the nearest and the farthest point
    in view: its relative error is about far / near * 1e-7.
    Raises UserError where the OSMesa library is missing.
    """
    size = (camera.height, camera.width)
    uv, z = camera.project(np.asarray(points, np.float64))
    inside = camera.contains(uv, z)
    if not inside.any():
        return np.zeros((*size, 3), np.uint8), np.zeros(size, np.float32)
    # drawn in camera coordinates, where float32 is finest, and only what is in view
    in_camera = points[inside] @ camera.rotation.T + camera.cam_from_world[:, 3]
    near, far = 0.999 * z[inside].min(), 1.001 * z[inside].max()
    with _osmesa() as pyrender:
        scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0])
        scene.add(pyrender.Mesh.from_points(in_camera, colors[inside] / 255.0))
        lens = pyrender.IntrinsicsCamera(camera.fx, camera.fy, camera.cx, camera.cy, znear=near, zfar=far)
        scene.add(lens, pose=CV_FROM_GL)
        renderer = pyrender.OffscreenRenderer(camera.width, camera.height, point_size)
        try:
            rgb, depth = renderer.render(scene, pyrender.RenderFlags.FLAT)
        finally:
            renderer.delete()
    return np.ascontiguousarray(rgb), np.ascontiguousarray(depth)


def rasterize(point_chunks: Iterable[np.ndarray], camera: Camera, splat: int = 1) -> DeepBuffer:
    """As `rasterize.rasterize`: the points' numbers are drawn as colours; the depth is that of the point seen."""
    index = np.full((camera.height, camera.width), -1, np.int32)
    depth = np.full(index.shape, np.inf, np.float32)
    first = 0
    for chunk in point_chunks:
        for start in range(0, len(chunk), DRAWN_POINTS):
            points = chunk[start : start + DRAWN_POINTS]
            numbers = np.arange(len(points), dtype="<u4").view(np.uint8).reshape(-1, 4)[:, :3]
            rgb, drawn_depth = render(points, numbers, camera, splat)
            hit = drawn_depth > 0
            seen = rgb[hit].astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], np.int32)  # (S,)
            z = camera.project(points[seen].astype(np.float64))[1].astype(np.float32)
            nearer = z < depth[hit]
            rows, columns = (axis[nearer] for axis in np.nonzero(hit))
            index[rows, columns] = first + seen[nearer]
            depth[rows, columns] = z[nearer]
            first += len(points)
    depth[index < 0] = 0
    return DeepBuffer(index, depth)


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
