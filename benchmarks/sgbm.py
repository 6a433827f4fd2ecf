"""OpenCV's semi-global block matching on rectified pairs, as a depth map for each photo: a rival of our dense step.

Each photo is rectified with each of its few best sources (the same choice as ours); a pixel's depth is the median over
the pairs that have one. Hirschmüller 2008 for the matcher; the result goes through our consistency check and fusion.
"""

import cv2
import numpy as np

from nrw.cameras import Camera
from nrw.io import read_image
from nrw.mvs.select import SparseScene, select_sources
from nrw.mvs.sweep import depth_range
from nrw.mvs.workspace import Workspace

MAX_DISPARITIES = 512


def estimate(workspace: Workspace, scene: SparseScene, photo: str, usable: np.ndarray, pairs: int) -> np.ndarray:
    """(H, W) float32 depth, 0 = none."""
    camera = workspace.cameras[photo]
    near, far = depth_range(camera, scene.points[scene.seen_by(photo)])
    image = read_image(workspace.image(photo))
    depths = [
        match_pair(image, camera, read_image(workspace.image(source)), workspace.cameras[source], near, far)
        for source in select_sources(scene, photo, pairs)
    ]
    if not depths:
        return np.zeros(usable.shape, np.float32)
    stack = np.stack(depths)
    stack[stack == 0] = np.nan
    with np.errstate(all="ignore"):
        median = np.nanmedian(stack, axis=0) if len(stack) else stack
    return np.where(usable & np.isfinite(median), median, 0).astype(np.float32)


def match_pair(
    image: np.ndarray, camera: Camera, source_image: np.ndarray, source: Camera, near: float, far: float
) -> np.ndarray:
    """(H, W) depth of the first photo of a pair, 0 where SGBM finds none."""
    size = (camera.width, camera.height)
    rotation = source.rotation @ camera.rotation.T
    translation = source.cam_from_world[:, 3] - rotation @ camera.cam_from_world[:, 3]
    r1, r2, p1, p2, *_ = cv2.stereoRectify(
        camera.K, None, source.K, None, size, rotation, translation, flags=cv2.CALIB_ZERO_DISPARITY, alpha=-1
    )
    upended = p2[0, 3] == 0  # the baseline is vertical: turn the rectified pictures by 90 degrees, so that rows match
    baseline = abs(p2[1, 3] if upended else p2[0, 3]) / p2[0, 0]
    # disparity falls to the left photo's side: SGBM wants the other camera on the right
    forward = (p2[1, 3] if upended else p2[0, 3]) < 0
    focal = p1[0, 0]
    maps = [
        cv2.initUndistortRectifyMap(k, None, r, p[:, :3], size, cv2.CV_32FC1)
        for k, r, p in ((camera.K, r1, p1), (source.K, r2, p2))
    ]
    left, right = (
        cv2.cvtColor(cv2.remap(picture, *grid, cv2.INTER_LINEAR), cv2.COLOR_RGB2GRAY)
        for picture, grid in zip((image, source_image), maps, strict=True)
    )
    if upended:
        left, right = left.T, right.T
    if not forward:
        left, right = left[:, ::-1], right[:, ::-1]
    lowest = int(focal * baseline / far)
    count = int(np.clip(-(-(focal * baseline / near - lowest) // 16) * 16, 16, MAX_DISPARITIES))
    matcher = cv2.StereoSGBM.create(
        minDisparity=lowest, numDisparities=count, blockSize=5, P1=8 * 25, P2=32 * 25, disp12MaxDiff=1,
        uniquenessRatio=5, speckleWindowSize=50, speckleRange=2, mode=cv2.STEREO_SGBM_MODE_HH,
    )  # fmt: skip
    disparity = matcher.compute(np.ascontiguousarray(left), np.ascontiguousarray(right)).astype(np.float32) / 16
    if not forward:
        disparity = disparity[:, ::-1]
    if upended:
        disparity = disparity.T
    rectified_depth = np.where(disparity >= max(lowest, 1), focal * baseline / np.maximum(disparity, 1e-6), 0)
    # back to the photo's own pixels: look the rectified depth up, turn the point into the photo's camera
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x)], -1) @ r1.T
    column = (rays[..., 0] / rays[..., 2] * p1[0, 0] + p1[0, 2]).astype(np.float32)
    row = (rays[..., 1] / rays[..., 2] * p1[1, 1] + p1[1, 2]).astype(np.float32)
    found = cv2.remap(rectified_depth.astype(np.float32), column, row, cv2.INTER_NEAREST, borderValue=0)
    return np.where(rays[..., 2] > 0, found / rays[..., 2], 0).astype(np.float32)
