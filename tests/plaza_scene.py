"""A square with a house beneath the sky, as photos with colours, without labels: what sky and ground are found from."""

import numpy as np
from mvs_scene import depth_of_plane, surface_points, write_workspace
from PIL import Image

from nrw.geometry.cameras import Camera
from nrw.mvs.workspace import Workspace, write_map

WIDTH, HEIGHT, FOCAL = 320, 240, 300.0
EYE = 1.6  # metres, height of the cameras above the square, z = 0
HOUSE, LEFT, RIGHT, ROOF = 14.0, -5.0, 4.0, 5.0  # metres: the facade's y, the ends of its x, its z
MATCHED = (6.0, 9.0)  # metres ahead between which the square was matched
BLUE, STONE = (120, 160, 225), (150, 140, 120)


def camera_at(x: float, y: float = 0.0, height: float = EYE) -> Camera:
    """Looking along the world's y; z is up."""
    rotation = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return Camera(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, 150.0, np.c_[rotation, -rotation @ [x, y, height]])


def facade(camera: Camera) -> np.ndarray:
    """(H, W) depth of the plane of the facade."""
    return depth_of_plane(camera, np.array([0.0, 1, 0]), HOUSE)


def surfaces(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) depth, 0 in the sky, and (H, W) bool, the house; the rest is the square."""
    wall = facade(camera)
    rays = camera.ray_directions().astype(float)
    points = camera.center + rays * (wall / (rays @ camera.rotation[2]))[..., None]
    house = (points[..., 0] > LEFT) & (points[..., 0] < RIGHT) & (points[..., 2] > 0) & (points[..., 2] < ROOF)
    with np.errstate(divide="ignore"):
        ground = depth_of_plane(camera, np.array([0.0, 0, 1]), 0.0)
    square = ~house & (ground > 0) & (ground < 60)
    return np.where(house, wall, np.where(square, ground, 0)), house


def pattern(points: np.ndarray, seed: int) -> np.ndarray:
    """(...) in -1..1: smooth noise of (..., 2) metres."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(40, 2)) * np.exp(rng.uniform(np.log(0.6), np.log(6), (40, 1)))
    return np.cos(points @ waves.T + rng.uniform(0, 2 * np.pi, 40)).sum(-1) / 9


def photo(camera: Camera, sky: tuple[int, int, int] = BLUE, light: float = 1.0) -> np.ndarray:
    """(H, W, 3) uint8."""
    depth, house = surfaces(camera)
    rays = camera.ray_directions().astype(float)
    points = camera.center + rays * (depth / (rays @ camera.rotation[2]))[..., None]
    stone = np.array(STONE) + 35 * pattern(points[..., [0, 2]], 1)[..., None]
    paving = np.array([140, 120, 110]) + 45 * pattern(points[..., :2], 2)[..., None]
    heaven = np.array(sky) * (0.85 + 0.15 * np.linspace(0, 1, HEIGHT))[:, None, None]
    picture = np.where(house[..., None], stone * light, np.where(depth[..., None] > 0, paving * light, heaven))
    return np.clip(picture + np.random.default_rng(0).normal(0, 1.5, picture.shape), 0, 255).astype(np.uint8)


def matched(camera: Camera, margin: int = 4) -> np.ndarray:
    """(H, W) float32 depth as matching leaves it: the house, grown by `margin` pixels, and a strip of the square."""
    depth, house = surfaces(camera)
    grown = np.asarray(house)
    for _ in range(margin):
        padded = np.pad(grown, 1)
        grown = padded[2:, 1:-1] | padded[:-2, 1:-1] | padded[1:-1, 2:] | padded[1:-1, :-2] | grown
    strip = ~grown & (depth > MATCHED[0]) & (depth < MATCHED[1])
    return np.where(grown, facade(camera), np.where(strip, depth, 0)).astype(np.float32)


def normals_of(camera: Camera, depth: np.ndarray) -> np.ndarray:
    """(H, W, 3) in the camera: up where the strip was matched, else out of the facade; 0 without depth."""
    upright = np.isclose(depth, facade(camera), rtol=1e-4)
    normals = np.where(upright[..., None], camera.rotation @ [0, -1.0, 0], camera.rotation @ [0, 0, 1.0])
    return np.where(depth[..., None] > 0, normals, 0)


def write_plaza(root, count: int = 5) -> Workspace:
    """A workspace of `count` photos side by side, with geometric maps."""
    cameras = {f"{number:04d}": camera_at(1.2 * number - 2.4, 0.7 * (number % 2)) for number in range(count)}
    gray = {photo_id: np.full((HEIGHT, WIDTH), 90, np.uint8) for photo_id in cameras}
    points = surface_points(cameras["0002"], depth_of=facade)
    on_house = (np.abs(points[:, 0]) < 4) & (points[:, 2] > 0) & (points[:, 2] < ROOF)
    write_workspace(root, cameras, gray, points[on_house])
    workspace = Workspace(root)
    for number, (photo_id, camera) in enumerate(cameras.items()):
        depth = matched(camera)
        write_map(workspace.depth_map(photo_id, "geometric"), depth)
        write_map(workspace.normal_map(photo_id, "geometric"), normals_of(camera, depth))
        Image.fromarray(photo(camera, light=1 - 0.1 * number)).save(workspace.image(photo_id), quality=97)
    return workspace
