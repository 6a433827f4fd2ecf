"""Rendered scenes with known depth for the tests of the dense step: a ridge of two planes, a wall, a level square."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image

from nrw.geometry.cameras import Camera
from nrw.mvs.geometric import PASSES, match_with_neighbours
from nrw.mvs.photometric import photometric_depths
from nrw.mvs.workspace import Workspace, read_map

SKY = 3
WIDTH, HEIGHT, FOCAL = 160, 120, 170.0
# planes n.X = d that meet at x = 0; the world is the first camera: z = 5 - 0.5 x on the left, 5 + 0.3 x on the right
LEFT, RIGHT = (np.array([0.5, 0.0, 1.0]), 5.0), (np.array([-0.3, 0.0, 1.0]), 5.0)
CENTERS = np.array([[0, 0, 0], [0.45, 0.02, 0], [-0.45, 0, 0.05], [0.2, 0.4, 0], [-0.2, -0.4, 0.05]], float)


def camera_at(center):
    return Camera(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, np.c_[np.eye(3), -np.asarray(center)])


def rays_of(camera):
    """(H, W, 3), of length 1 along the optical axis."""
    rays = camera.ray_directions().astype(float)
    return rays / (rays @ camera.rotation[2])[..., None]


def depth_of_plane(camera, normal, distance):
    """(H, W): z in the camera, where its rays meet the plane n.X = d."""
    return (distance - normal @ camera.center) / (rays_of(camera) @ normal)


def true_depth(camera):
    """(H, W): the nearer of the two planes (the ridge is convex)."""
    return np.maximum(*(depth_of_plane(camera, *plane) for plane in (LEFT, RIGHT)))


def render(camera, texture, factor=3, depth_of=true_depth):
    """(H, W) uint8: texture(points) on the surface, `factor` rays per pixel and axis."""
    fine = camera.resized(camera.width * factor, camera.height * factor)
    points = camera.center + rays_of(fine) * depth_of(fine)[..., None]
    gray = texture(points).reshape(camera.height, factor, camera.width, factor).mean((1, 3))
    return np.clip(gray, 0, 255).round().astype(np.uint8)


def noise_texture(seed=0, finest=40):
    """A function of (..., 3) points: smooth noise in x and y of several wave lengths, gray in 0..255."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(60, 2)) * np.exp(rng.uniform(np.log(finest / 10), np.log(finest), (60, 1)))
    phases = rng.uniform(0, 2 * np.pi, 60)
    return lambda points: 128 + 13 * np.cos(points[..., :2] @ waves.T + phases).sum(-1)


@dataclass
class Scene:
    """A dense workspace `mvs`, with label maps in the folder `segmentation` beside it."""

    mvs: Path
    cameras: dict[str, Camera]
    ids: list[str]


def write_workspace(root, cameras, pictures, points):
    """A dense workspace: `pictures` (H, W) uint8, and the sparse points that each camera has in its image."""
    (root / "images").mkdir(parents=True)
    (root / "sparse").mkdir()
    (root / "stereo/depth_maps").mkdir(parents=True)
    (root / "stereo/normal_maps").mkdir()
    model = pycolmap.Reconstruction()
    tracks = [pycolmap.Track() for _ in points]
    for number, (photo_id, camera) in enumerate(cameras.items(), 1):
        parameters = [camera.fx, camera.fy, camera.cx, camera.cy]
        model.add_camera_with_trivial_rig(
            pycolmap.Camera(
                model="PINHOLE", width=camera.width, height=camera.height, params=parameters, camera_id=number
            )
        )
        uv, depth = camera.project(points)
        observed = np.flatnonzero(camera.contains(uv, depth))
        for place, point in enumerate(observed):
            tracks[point].add_element(number, place)
        image = pycolmap.Image(name=f"{photo_id}.jpg", keypoints=uv[observed], camera_id=number, image_id=number)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(camera.cam_from_world))
        Image.fromarray(pictures[photo_id]).convert("RGB").save(root / f"images/{photo_id}.jpg", quality=97)
    for point, track in zip(points, tracks, strict=True):
        if track.length() >= 2:
            model.add_point3D(point, track, np.array([200, 10, 10], np.uint8))
    model.write(str(root / "sparse"))
    (root / "stereo/fusion.cfg").write_text("".join(f"{photo_id}.jpg\n" for photo_id in cameras))


def surface_points(camera, step=9, depth_of=true_depth):
    return (camera.center + rays_of(camera) * depth_of(camera)[..., None])[::step, ::step].reshape(-1, 3)


def seen_by(cameras, points):
    """(N,) how many of the cameras have (N, 3) points in their picture, 3 pixels from its border."""
    count = np.zeros(len(points), int)
    for camera in cameras:
        uv, _ = camera.project(points)
        count += ((uv > 3) & (uv < [camera.width - 3, camera.height - 3])).all(1)
    return count


def wall(camera):
    """(H, W) depth of the wall z = 5."""
    return depth_of_plane(camera, np.array([0.0, 0.0, 1.0]), 5.0)


def level_camera(x, y, height):
    """At eye height, looking along the world's y; z is up."""
    rotation = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return Camera(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 4, np.c_[rotation, -rotation @ [x, y, height]])


def square(camera):
    """(H, W) depth of a level square with a house at its far side, y = 14."""
    ground = depth_of_plane(camera, np.array([0.0, 0, 1]), 0.0)
    house = depth_of_plane(camera, np.array([0.0, 1, 0]), 14.0)
    return np.where((ground > 0) & (ground < house), ground, house)


def estimate(scene, ids=None, sources=4, **options):
    segmentation = scene.mvs.parent / "segmentation"
    photometric_depths(scene.mvs, segmentation, ids or scene.ids, sources=sources, masked={SKY}, **options)


def geometric_passes(scene, min_views=3, kinds=tuple(PASSES), device="cpu"):
    for kind in kinds:
        match_with_neighbours(
            *(scene.mvs, scene.mvs.parent / "segmentation", scene.ids, scene.mvs / f"{kind}.key", kind),
            **{"sources": 4, "min_views": min_views, "masked": {SKY}, "device": device},
        )


def read_depth(scene, photo_id, kind="photometric"):
    return read_map(Workspace(scene.mvs).depth_map(photo_id, kind))
