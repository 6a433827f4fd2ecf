"""The ground truth of the demo landmark (resources/demo/truth), and how a finished scene lies in its world."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap
import torch
import torch.nn.functional as F
from PIL import Image

from nrw.core.ade20k import labels_of
from nrw.core.io import read_csv, read_image, read_json
from nrw.geometry.cameras import Camera, read_cameras
from nrw.scene.files import SceneFiles

DEMO = Path(__file__).resolve().parents[1] / "resources" / "demo"
FAR = 1e5  # metres: the sky
# what surfaces belong to, for figures by kind
KINDS = {
    "building": labels_of(["building", "column", "tower", "door", "sculpture", "fountain"]),
    "ground": labels_of(["sidewalk", "road", "stairs", "grass", "earth"]),
}
TRANSIENT = labels_of(["person", "car", "van"])


@dataclass(frozen=True)
class Similarity:
    """truth_from_scene: x_truth = scale * rotation @ x_scene + translation, in metres."""

    scale: float
    rotation: np.ndarray  # (3, 3)
    translation: np.ndarray  # (3,)

    def points(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) points of the scene, in the truth's world."""
        return self.scale * points @ self.rotation.T + self.translation

    def camera_to_truth(self, camera: Camera) -> Camera:
        """A camera of the scene, in the truth's world."""
        return _placed(camera, camera.rotation @ self.rotation.T, self.points(camera.center[None])[0])

    def camera_to_scene(self, camera: Camera) -> Camera:
        """A camera of the truth, in the scene's world."""
        center = self.rotation.T @ (camera.center - self.translation) / self.scale
        return _placed(camera, camera.rotation @ self.rotation, center)


def _placed(camera: Camera, rotation: np.ndarray, center: np.ndarray) -> Camera:
    return replace(camera, cam_from_world=np.column_stack([rotation, -rotation @ center]))


class Truth:
    """What is known about the demo's photos and views. Names are files under resources/demo/photos."""

    def __init__(self, folder: Path = DEMO / "truth"):
        self.folder = folder
        document = read_json(folder / "cameras.json")
        self.photos: dict[str, dict] = document["photos"]
        self.bad: dict[str, str] = document["bad"]
        self.units = document["depth_units_per_metre"]
        self.clean: dict[str, str] = read_json(folder / "clean.json")
        self.appearances: list[dict] = read_json(folder / "appearances.json")["views"]
        self.flythrough: dict = read_json(folder / "flythrough.json")

    def camera(self, entry: Mapping) -> Camera:
        """The ideal pinhole camera of a photo, view or frame."""
        (fx, _, cx), (_, fy, cy), _ = entry["K"]
        return Camera(entry["width"], entry["height"], fx, fy, cx, cy, np.column_stack([entry["R"], entry["t"]]))

    def depth(self, entry: Mapping) -> np.ndarray:
        """(H / 2, W / 2) float32 metres along the optical axis, 0 in the sky."""
        return read_image(self.folder / entry["depth"]).astype(np.float32) / self.units

    def labels(self, entry: Mapping) -> np.ndarray:
        """(H, W) uint8 ADE20K labels of a photo."""
        return read_image(self.folder / entry["labels"])

    def picture(self, file: str) -> np.ndarray:
        """(H, W, 3) uint8."""
        return read_image(self.folder / file)

    @property
    def size(self) -> float:
        """The scene's size in metres: the largest distance between two of the photos' cameras."""
        centers = np.array([self.camera(photo).center for photo in self.photos.values()])
        return float(np.linalg.norm(centers[:, None] - centers, axis=2).max())


def photo_names(scene: Path) -> dict[str, str]:
    """Photo id -> file under the photos' folder, of the usable photos of a finished scene."""
    return {row["id"]: row["file"] for row in read_csv(SceneFiles(scene).photos_csv) if row["verdict"] == "ok"}


def registered(scene: Path, truth: Truth) -> dict[str, Camera]:
    """Photo id -> undistorted camera of the scene, of the registered photos whose truth is known."""
    names = photo_names(scene)
    cameras = read_cameras(SceneFiles(scene).sparse)
    return {photo: camera for photo, camera in cameras.items() if names[photo] in truth.photos}


def align(cameras: Mapping[str, Camera], true: Mapping[str, Camera], max_error: float) -> Similarity:
    """The similarity that brings the cameras' centres to the true ones (RANSAC, then least squares on the inliers).

    max_error: metres within which a camera counts.
    """
    source, target = (np.array([those[photo].center for photo in cameras]) for those in (cameras, true))
    options = pycolmap.RANSACOptions(max_error=max_error, random_seed=0)
    rough = pycolmap.estimate_sim3d_robust(source, target, options)["tgt_from_src"]
    near = np.linalg.norm(np.array([rough * center for center in source]) - target, axis=1) < max_error
    fine = pycolmap.estimate_sim3d(source[near], target[near])
    return Similarity(fine.scale, fine.rotation.matrix(), fine.translation)


def resample(pixels: np.ndarray, source: Camera, target: Camera) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, C) uint8 as a camera with the same pose and other intrinsics sees it: (h, w, C) and (h, w) bool.

    The mask is false where the source shows nothing. Reduced by box filter first, so that nothing aliases.
    """
    scale = target.fx / source.fx
    if scale < 1:
        width, height = round(source.width * scale), round(source.height * scale)
        pixels = np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))
        source = source.resized(width, height)
    x, y = source_pixels(source, target)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    grid = torch.from_numpy(np.stack([2 * x / source.width - 1, 2 * y / source.height - 1], axis=-1))[None].float()
    found = F.grid_sample(tensor, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
    inside = (x > 0.5) & (x < source.width - 0.5) & (y > 0.5) & (y < source.height - 0.5)
    return found.permute(1, 2, 0).round().byte().numpy(), inside


def resample_nearest(values: np.ndarray, source: Camera, target: Camera) -> np.ndarray:
    """Labels or depths (H, W) at the pixels (h, w) of a camera with the same pose; 0 outside the source."""
    x, y = source_pixels(source, target)
    inside = (x >= 0) & (x < source.width) & (y >= 0) & (y < source.height)
    row, column = (np.where(inside, place, 0).astype(int) for place in (y, x))
    return np.where(inside, values[row, column], 0)


def source_pixels(source: Camera, target: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Where in the source the target's pixel centres lie: x and y (h, w). Both look out of one pose."""
    x = (np.arange(target.width) + 0.5 - target.cx) / target.fx * source.fx + source.cx
    y = (np.arange(target.height) + 0.5 - target.cy) / target.fy * source.fy + source.cy
    return np.broadcast_to(x, (target.height, target.width)), np.broadcast_to(y[:, None], (target.height, target.width))


def lift(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W, 3) world points of the pixel centres of a depth map (H, W); meaningless where depth is 0."""
    rays = camera.ray_directions().astype(np.float64)
    return camera.center + rays * (depth / (rays @ camera.rotation[2]))[..., None]


def look_up(values: np.ndarray, uv: np.ndarray, fill: float = 0) -> np.ndarray:
    """Nearest values (N,) of a map (H, W) at pixel coordinates (N, 2); `fill` outside."""
    height, width = values.shape[:2]
    inside = (uv >= 0).all(axis=1) & (uv[:, 0] < width) & (uv[:, 1] < height)
    column, row = np.where(inside[:, None], uv, 0).astype(int).T
    return np.where(inside, values[row, column], fill)
