"""Pinhole cameras of undistorted photos: projection, other picture sizes, upright poses, COLMAP's models."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap

UP = np.array([0.0, 0.0, 1.0])  # in the world


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: OpenCV axes (x right, y down, z forward), pixel centres at +0.5.

    width, height: pixels. fx, fy, cx, cy: pixels. cam_from_world: (3, 4) float64, x_cam = R x_world + t.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    cam_from_world: np.ndarray

    @property
    def K(self) -> np.ndarray:
        """(3, 3) float64 calibration matrix."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) float64; its rows are the camera's right, down and forward axes in the world."""
        return self.cam_from_world[:, :3]

    @property
    def center(self) -> np.ndarray:
        """(3,) float64 position in the world."""
        return -self.rotation.T @ self.cam_from_world[:, 3]

    def resized(self, width: int, height: int) -> "Camera":
        """The same view on a pixel grid of another size; the two axes may scale differently."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy
        )

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project (N, 3) world points: pixel coordinates (N, 2), meaningless where depth <= 0, and depth (N,)."""
        in_camera = points @ self.rotation.T + self.cam_from_world[:, 3]
        depth = in_camera[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            uv = in_camera[:, :2] / depth[:, None] * [self.fx, self.fy] + [self.cx, self.cy]
        return uv, depth

    def contains(self, uv: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(…,) bool: which pixel coordinates (…, 2) with depths (…,) lie inside the picture and in front of the camera.

        The left and upper borders belong to the picture, the right and lower ones do not, so that (floor(u), floor(v))
        is a pixel.
        """
        return (depth > 0) & np.all((uv >= 0) & (uv < [self.width, self.height]), axis=-1)

    def ray_directions(self) -> np.ndarray:
        """(H, W, 3) float32 unit vectors in the world through the pixel centres."""
        x = (np.arange(self.width) + 0.5 - self.cx) / self.fx
        y = (np.arange(self.height) + 0.5 - self.cy) / self.fy
        rays = np.stack([*np.meshgrid(x, y), np.ones((self.height, self.width))], axis=-1) @ self.rotation
        return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).astype(np.float32)


def fit_size(width: int, height: int, max_size: int, multiple: int = 1) -> tuple[int, int]:
    """The size of the same shape whose longer side is at most `max_size`, each side a multiple of `multiple`.

    A picture is never enlarged, but for rounding to the multiple.
    """
    scale = min(1.0, max_size / max(width, height))
    width, height = (max(multiple, round(side * scale / multiple) * multiple) for side in (width, height))
    return width, height


def fitted(camera: Camera, width: int, height: int) -> Camera:
    """The camera on a pixel grid of another shape: square pixels stay square, the diagonal field of view is kept."""
    scale = np.hypot(width, height) / np.hypot(camera.width, camera.height)
    return replace(
        camera,
        width=width,
        height=height,
        fx=camera.fx * scale,
        fy=camera.fy * scale,
        cx=width / 2 + (camera.cx - camera.width / 2) * scale,
        cy=height / 2 + (camera.cy - camera.height / 2) * scale,
    )


def look_at(position: np.ndarray, target: np.ndarray, max_pitch: float = 60.0) -> np.ndarray:
    """The upright (roll 0) pose at `position` (3,) that looks at `target` (3,): (3, 4) cam_from_world.

    The pitch is limited to `max_pitch` degrees up and down, so that the horizontal direction is always defined.
    """
    offset = target - position
    horizontal = np.hypot(offset[0], offset[1])
    limit = np.tan(np.radians(max_pitch)) * horizontal
    forward = np.array([offset[0], offset[1], np.clip(offset[2], -limit, limit)])
    if horizontal < 1e-9:
        forward = np.array([0.0, 1.0, 0.0])
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, UP)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return np.column_stack([rotation, -rotation @ position])


def read_cameras(sparse: Path | str) -> dict[str, Camera]:
    """The cameras of the registered images of an undistorted COLMAP model, by photo id, in order of image name.

    A photo's id is the stem of its image's name. Raises ValueError for a camera with distortion.
    """
    reconstruction = pycolmap.Reconstruction(str(sparse))
    cameras = {}
    for image in sorted(reconstruction.images.values(), key=lambda image: image.name):
        if not image.has_pose:
            continue
        camera = image.camera
        if camera.model not in (pycolmap.CameraModelId.PINHOLE, pycolmap.CameraModelId.SIMPLE_PINHOLE):
            raise ValueError(
                f"{image.name}: camera model {camera.model.name} is not a pinhole; undistort the model first"
            )
        cameras[Path(image.name).stem] = Camera(
            camera.width,
            camera.height,
            camera.focal_length_x,
            camera.focal_length_y,
            camera.principal_point_x,
            camera.principal_point_y,
            image.cam_from_world().matrix(),
        )
    return cameras
