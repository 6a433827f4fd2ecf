"""OpenCV's semi-global block matching on rectified pairs, as a depth map for each photo: a rival of our dense step.

Each photo is rectified with each of its few best sources (the same choice as ours); a pixel's depth is the median over
the pairs that have one. The matcher: Hirschmüller, PAMI 2008. The rectification: Fusiello et al., 2000.
"""

import cv2
import numpy as np

from nrw.core.io import read_image
from nrw.geometry.cameras import Camera
from nrw.mvs.sources import SparseScene, select_sources
from nrw.mvs.sweep import depth_range
from nrw.mvs.workspace import Workspace

MAX_DISPARITIES = 512
BLOCK = 5


def estimate(workspace: Workspace, scene: SparseScene, photo: str, keep: np.ndarray, pairs: int) -> np.ndarray:
    """(H, W) float32 depth, 0 = none. keep: (H, W) bool, pixels that may have one."""
    camera = workspace.cameras[photo]
    near, far = depth_range(camera, scene.points[scene.seen_by(photo)])
    image = read_image(workspace.image(photo))
    stack = np.full((pairs, camera.height, camera.width), np.nan, np.float32)
    for number, source in enumerate(select_sources(scene, photo, pairs)):
        depth = match_pair(image, camera, read_image(workspace.image(source)), workspace.cameras[source], near, far)
        stack[number] = np.where(depth > 0, depth, np.nan)
    found = np.isfinite(stack).any(axis=0)
    return np.where(keep & found, np.nanmedian(np.where(found, stack, 0), axis=0), 0).astype(np.float32)


def match_pair(
    image: np.ndarray, camera: Camera, source_image: np.ndarray, source: Camera, near: float, far: float
) -> np.ndarray:
    """(H, W) depth of the first photo of a pair, 0 where none is found; near, far: the depths that are searched."""
    baseline = source.center - camera.center
    length = np.linalg.norm(baseline)
    x = baseline / length
    z = camera.rotation[2] + source.rotation[2]
    z = z - (z @ x) * x
    z /= np.linalg.norm(z)
    rectified = np.stack([x, np.cross(z, x), z])  # rows: axes of both rectified cameras; the source is to the right
    focal = (camera.fx + source.fx) / 2

    def rectification(of: Camera) -> np.ndarray:
        """From a photo's pixels to those of its rectified picture, up to a shift."""
        return np.diag([focal, focal, 1]) @ rectified @ of.rotation.T @ np.linalg.inv(of.K)

    turn = rectification(camera)
    corners = np.array([[0, 0], [camera.width, 0], [camera.width, camera.height], [0, camera.height]], np.float64)
    seen = cv2.perspectiveTransform(corners[None], turn)[0]
    (left, top), (right, bottom) = seen.min(axis=0), seen.max(axis=0)
    size = round(min(right - left, 2 * camera.width)), round(min(bottom - top, 2 * camera.height))
    lowest = int(focal * length / far)
    wanted = min(focal * length / near - lowest, MAX_DISPARITIES, size[0] - 2 * BLOCK)
    count = int(wanted) // 16 * 16  # OpenCV's steps
    behind = (turn @ [*corners.mean(axis=0), 1])[2] <= 0
    if behind or count < 16 or min(size) < 2 * BLOCK:
        return np.zeros((camera.height, camera.width), np.float32)
    to_photo = shifted(-left, -top) @ turn
    # the source's picture is moved on by the lowest disparity: no column is lost to what cannot be
    to_source = shifted(lowest - left, -top) @ rectification(source)
    grey = [
        cv2.cvtColor(cv2.warpPerspective(picture, half_pixel(homography), size), cv2.COLOR_RGB2GRAY)
        for picture, homography in ((image, to_photo), (source_image, to_source))
    ]
    matcher = cv2.StereoSGBM.create(
        minDisparity=0, numDisparities=count, blockSize=BLOCK, P1=8 * BLOCK**2, P2=32 * BLOCK**2, disp12MaxDiff=1,
        uniquenessRatio=5, speckleWindowSize=50, speckleRange=2, mode=cv2.STEREO_SGBM_MODE_HH,
    )  # fmt: skip
    disparity = matcher.compute(*grey).astype(np.float32) / 16
    found = (disparity > 0) & (disparity + lowest >= 1)  # at 0 black borders match one another
    depth = np.where(found, focal * length / np.maximum(disparity + lowest, 1), 0).astype(np.float32)
    # back: where each pixel of the photo lies in the rectified picture, and its depth along the photo's own axis
    columns, rows = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    place = cv2.perspectiveTransform(np.stack([columns, rows], axis=-1).astype(np.float64), to_photo) - 0.5
    found = cv2.remap(depth, place.astype(np.float32), None, cv2.INTER_NEAREST, borderValue=0)
    rays = np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones_like(rows)], axis=-1)
    along = rays @ camera.rotation @ z  # rectified depth of a point at depth 1
    return np.where(along > 0, found / np.maximum(along, 1e-6), 0).astype(np.float32)


def shifted(x: float, y: float) -> np.ndarray:
    """The homography that moves pixels."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def half_pixel(homography: np.ndarray) -> np.ndarray:
    """A homography between coordinates with pixel centres at +0.5, for OpenCV, whose centres are whole numbers."""
    return shifted(-0.5, -0.5) @ homography @ shifted(0.5, 0.5)
