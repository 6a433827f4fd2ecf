"""What is looked at in a trained scene, without the browser: pictures, snapshots, key frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import RLock

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import write_image
from nrw.core.limits import SIDE_MULTIPLE
from nrw.dataset.packed import PackedDataset, View
from nrw.geometry import cameras
from nrw.geometry.cameras import Camera, fit_size
from nrw.geometry.pointcloud import Cloud, spacing
from nrw.scene.model import SceneModel
from nrw.videos import camera_paths, shots

MODES = ("picture", "colour", "depth", "labels")
MOVING_POINTS = 1_000_000  # of the cloud that are drawn while the camera moves: what two cores rasterize in 0.1 s
FPS = 24  # of a recorded path
SCALE = 4096  # an aspect as whole numbers


@dataclass(frozen=True)
class Viewpoint:
    """Where somebody looks from.

    position: (3,) in the world. wxyz: unit quaternion of world_from_cam, OpenCV axes. fov: vertical, radians. aspect:
    width by height.
    """

    position: tuple[float, float, float]
    wxyz: tuple[float, float, float, float]
    fov: float
    aspect: float

    @classmethod
    def of(cls, camera: Camera, aspect: float) -> "Viewpoint":
        """A camera's place and direction on a screen of another shape: the diagonal field of view is kept."""
        camera = cameras.fitted(camera, round(SCALE * aspect), SCALE)
        quaternion = Rotation.from_matrix(camera.rotation.T).as_quat(scalar_first=True)
        fov = 2 * float(np.arctan(camera.height / 2 / camera.fy))
        return cls(tuple(camera.center.tolist()), tuple(quaternion.tolist()), fov, aspect)

    def camera(self, size: int) -> Camera:
        """The view with a longer side of about `size` pixels, both sides multiples of 8; pixels may not be square."""
        width, height = fit_size(round(SCALE * self.aspect), SCALE, size, SIDE_MULTIPLE)
        rotation = Rotation.from_quat(self.wxyz, scalar_first=True).as_matrix().T
        half = np.tan(self.fov / 2)
        return Camera(
            width,
            height,
            width / 2 / (half * self.aspect),
            height / 2 / half,
            width / 2,
            height / 2,
            np.column_stack([rotation, -rotation @ np.array(self.position)]),
        )


@dataclass(frozen=True)
class Look:
    """What is shown. photos: two whose appearances are blended; blend: 0 (the first) to 1 (the second)."""

    mode: str
    photos: tuple[str, str]
    blend: float

    @property
    def weights(self) -> dict[str, float]:
        """The photos' shares in the appearance, which sum to 1; as in a camera path."""
        first, second = self.photos
        if first == second:
            return {first: 1.0}
        shares = {first: 1 - self.blend, second: self.blend}
        return {photo: share for photo, share in shares.items() if share > 0}


class Session:
    """A trained scene being looked at. Pictures are (H, W, 3) uint8; any thread may ask, one at a time is served.

    scene: its folder, for snapshots and camera paths. cloud: in the colours gathered from the training photos. edit:
    (256,) uint8, what each predicted label is replaced by (`scene.editing`). photos: at most 256 ids. modes: those of
    MODES that the scene has.
    """

    def __init__(
        self, scene: Path, model: SceneModel, dataset: PackedDataset, cloud: Cloud, edit: np.ndarray | None = None
    ):
        self.scene, self.model, self.dataset, self.cloud, self.edit = scene, model, dataset, cloud, edit
        self.photos = shots.sample(dataset.ids)
        self.modes = MODES if model.completion is not None else MODES[:-1]
        self.keyframes: list[tuple[float, Viewpoint, dict[str, float]]] = []
        self._lock = RLock()
        self._points = torch.from_numpy(cloud.points).to(model.device)
        self._some = thinned(len(cloud), MOVING_POINTS)
        self._some_points = self._points[torch.from_numpy(self._some).to(model.device)]
        self._some_colors = cloud.colors[self._some]
        self._some_spacing = spacing(cloud.points[self._some])
        self.code = lru_cache(maxsize=None)(lambda photo: model.encode(dataset.view(photo)))
        self._seen = lru_cache(maxsize=2)(self._see)  # a moving and a resting picture
        self._labelled = lru_cache(maxsize=2)(lambda *view: model.completed(self._seen(*view)))

    def start(self) -> Look:
        """The photo that shows most of the cloud; beside it, to blend to, the one whose colours differ most."""
        first = shots.best_covered(self.dataset, self.cloud.points)[0]
        colors = {photo: np.asarray(self.thumbnail(photo, 8)).mean(axis=(0, 1)) for photo in self.photos}
        second = max(self.photos, key=lambda photo: float(np.linalg.norm(colors[photo] - colors[first])))
        return Look("picture", (first, second), 0.0)

    def draw(self, viewpoint: Viewpoint, look: Look, size: int, *, fine: bool = True) -> np.ndarray:
        """What is shown from there, its longer side about `size` pixels.

        picture: the network's. colour: the raw render of the cloud. depth: gray, near is bright, black where no point
        is. labels: the predicted classes in ADE20K's colours. fine: draw every point of the cloud, not a million.
        """
        with self._lock:
            if look.mode == "colour":
                return self._seen(viewpoint, size, fine).color[0]
            if look.mode == "depth":
                return depth_picture(self._seen(viewpoint, size, fine).depth[0], self.model.spec.near)
            view = self._labelled(viewpoint, size, fine)
            if look.mode == "labels":
                return ade20k.colorize(view.labels if self.edit is None else self.edit[view.labels])
            z = sum(weight * self.code(photo) for photo, weight in look.weights.items())
            return self.model.render_view(view, z, edit=self.edit)

    def place(self, photo: str, aspect: float) -> tuple[Viewpoint, np.ndarray]:
        """A photo's viewpoint, and the point (3,) that it looks at: as far ahead as the cloud is in its middle."""
        view = self.dataset.view(photo)
        hit = view.depth[0] > 0
        distance = float(np.median(view.depth[0][hit])) if hit.any() else 1.0
        return Viewpoint.of(view.camera, aspect), view.camera.center + distance * view.camera.rotation[2]

    def thumbnail(self, photo: str, size: int) -> Image.Image:
        """The middle of a photo, `size` pixels wide and 3/4 as high."""
        image = Image.fromarray(np.asarray(self.dataset.view(photo).photo))
        width = min(image.width, image.height * 4 / 3)
        left, top = (image.width - width) / 2, (image.height - width * 3 / 4) / 2
        box = (left, top, left + width, top + width * 3 / 4)
        return image.resize((size, size * 3 // 4), Image.Resampling.BOX, box)

    def snapshot(self, viewpoint: Viewpoint, look: Look, size: int) -> Path:
        """Draw into the next free snapshots/NNNN.png of the scene; returns its path."""
        with self._lock:
            folder = self.scene / "snapshots"
            numbers = [int(path.stem) for path in folder.glob("*.png") if path.stem.isdecimal()]
            path = folder / f"{max(numbers, default=0) + 1:04d}.png"
            write_image(path, self.draw(viewpoint, look, size))
            return path

    def add_keyframe(self, viewpoint: Viewpoint, weights: Mapping[str, float], seconds: float) -> None:
        """Record a viewpoint and an appearance, `seconds` after the key frame before; the first is at 0."""
        time = self.keyframes[-1][0] + seconds if self.keyframes else 0.0
        self.keyframes.append((time, viewpoint, dict(weights)))

    def save_path(self, name: str, size: int) -> Path:
        """Write the key frames as a 16:9 camera path with a longer side of `size` pixels; returns paths/`name`.json.

        Raises UserError with fewer than 2 key frames, and for a name that is more than letters, digits, - and _.
        """
        if not name.replace("-", "").replace("_", "").isalnum():
            raise UserError(f"{name!r}: a name of letters, digits, - and _ is expected")
        if len(self.keyframes) < 2:
            raise UserError(f"a path has at least 2 key frames; {len(self.keyframes)} recorded")
        times, viewpoints, weights = zip(*self.keyframes, strict=True)
        cameras = [cameras.fitted(viewpoint.camera(SCALE), *shots.wide(size)) for viewpoint in viewpoints]
        path = self.scene / "paths" / f"{name}.json"
        camera_paths.write_keyframes(path, camera_paths.CameraPath(FPS, cameras, list(weights)), times)
        return path

    def _see(self, viewpoint: Viewpoint, size: int, fine: bool) -> View:
        """The deep buffer, without labels."""
        camera = viewpoint.camera(size)
        if fine:
            return self.model.view_of(self._points, self.cloud.spacing, self.cloud.colors, camera)
        return self.model.view_of(self._some_points, self._some_spacing, self._some_colors, camera, chosen=self._some)


def thinned(count: int, limit: int) -> np.ndarray:
    """Indices of at most `limit` of `count` points, spread at random (always the same), in order: (M,) int64."""
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, limit, replace=False))


def depth_picture(depth: np.ndarray, near: float) -> np.ndarray:
    """A depth map (H, W), world units, 0 = none, as (H, W, 3) uint8: near / depth, so `near` and less is white."""
    shade = np.divide(near, depth, out=np.zeros_like(depth), where=depth > 0).clip(0, 1)
    return np.repeat((255 * shade).astype(np.uint8)[..., None], 3, axis=2)
