"""The viewer without the browser: pictures from any viewpoint, snapshots, key frames."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import RLock

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import write_image
from nrw.core.limits import SIDE_MULTIPLE
from nrw.dataset.packed import PackedDataset, known_camera
from nrw.geometry.cameras import Camera, fit_size, fitted
from nrw.scene.files import SceneFiles
from nrw.scene.views import Views
from nrw.videos import camera_paths, shots

PICTURE, COLOR, DEPTH, LABELS = MODES = ("picture", "colour", "depth", "labels")  # as the page names them
FPS = 24  # of a recorded path
CELL = 0.005  # world units, what a moving camera joins: a pixel of a small picture from the usual distance, 1
SCALE = 4096  # pixels, height of a screen: aspects as integers


@dataclass(frozen=True)
class Viewpoint:
    """Position and direction of a viewer, and the shape of their screen.

    position: (3,) in the world. wxyz: unit quaternion of world_from_cam, OpenCV axes. fov: vertical, radians. aspect:
    width / height.
    """

    position: tuple[float, float, float]
    wxyz: tuple[float, float, float, float]
    fov: float
    aspect: float

    @classmethod
    def of(cls, camera: Camera, aspect: float) -> "Viewpoint":
        """Take position and direction of a camera for a screen of another shape, keeping the diagonal field of view."""
        camera = fitted(camera, round(SCALE * aspect), SCALE)
        quaternion = Rotation.from_matrix(camera.rotation.T).as_quat(scalar_first=True)
        fov = 2 * float(np.arctan(camera.height / 2 / camera.fy))
        return cls(tuple(camera.center.tolist()), tuple(quaternion.tolist()), fov, aspect)

    def camera(self, size: int) -> Camera:
        """Build the camera: longer side about `size` pixels, both sides multiples of 8, pixels not exactly square."""
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
    """What the viewer shows. photos: ids of the two whose appearances are blended. blend: 0 (first) to 1 (second)."""

    mode: str
    photos: tuple[str, str]
    blend: float

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the photos in the appearance by id, sum 1, as in a camera path."""
        first, second = self.photos
        return camera_paths.blend({first: 1.0}, {second: 1.0}, self.blend)


class Session:
    """Draws a trained scene for the viewer. Pictures are (H, W, 3) uint8; threads draw one at a time.

    files: where snapshots and camera paths go. views: of the scene. edit: (256,) uint8, the replacement of each
    predicted label (`scene.editing`). ids: of at most 256 photos to choose from. modes: those of MODES that the scene
    has.
    """

    def __init__(self, files: SceneFiles, views: Views, dataset: PackedDataset, edit: np.ndarray | None = None):
        self.files, self.views, self.dataset, self.edit = files, views, dataset, edit
        self.model, self.cloud = views.model, views.cloud
        self.ids = shots.sample(dataset.ids)
        self.modes = tuple(mode for mode in MODES if mode != LABELS or self.model.completion is not None)
        self.keyframes: list[tuple[float, Viewpoint, dict[str, float]]] = []
        self._lock = RLock()
        self.code = lru_cache(maxsize=None)(lambda photo_id: self.model.encode(dataset.view(photo_id)))
        # one picture of a moving and one of a resting camera, redrawn in other lights
        self._seen = lru_cache(maxsize=2)(lambda viewpoint, size, views: views.see(viewpoint.camera(size)))

    def start(self) -> Look:
        """Choose the photo that shows the scene best, and as second appearance the one whose colours differ most."""
        first = self._best_covered
        colors = {photo_id: np.asarray(self.thumbnail(photo_id, 8)).mean(axis=(0, 1)) for photo_id in self.ids}
        second = max(self.ids, key=lambda photo_id: float(np.linalg.norm(colors[photo_id] - colors[first])))
        return Look(PICTURE, (first, second), 0.0)

    @cached_property
    def _best_covered(self) -> str:
        """The photo that shows the scene best: found once, not for every page that is opened."""
        return next(iter(shots.best_covered(shots.cameras_of(self.dataset), self.views.geometry)))

    @cached_property
    def coarse(self) -> Views:
        """The scene for pictures of a moving camera, made when the first is drawn."""
        return self.views.coarser(CELL)

    def draw(self, viewpoint: Viewpoint, look: Look, size: int, fine: bool = True) -> np.ndarray:
        """Draw what `look` shows from a viewpoint, longer side about `size` pixels; not `fine`: coarser and faster.

        PICTURE: the network's output. COLOR: the raw render of the cloud. DEPTH: gray, near is bright, black where
        there is nothing. LABELS: the predicted classes in ADE20K's colours, at the networks' size, enlarged.
        """
        with self._lock:
            views = self.views if fine else self.coarse
            seen = self._seen(viewpoint, size, views)
            if look.mode == COLOR:
                return views.raw(seen)
            if look.mode == DEPTH:
                return depth_picture(seen.depth.cpu().numpy(), self.model.spec.near)
            if look.mode == LABELS:
                predicted = seen.view.labels.cpu().numpy()
                labels = predicted if self.edit is None else self.edit[predicted]
                return ade20k.colorize(labels.repeat(views.scale, 0).repeat(views.scale, 1))
            return views.draw(seen, shots.blended(look.weights, self.code), self.edit, look.weights)

    def place(self, photo_id: str, aspect: float) -> tuple[Viewpoint, np.ndarray]:
        """Find a photo's viewpoint, and the point (3,) it looks at: straight ahead, at the median depth of its view."""
        view = self.dataset.view(photo_id)
        hit = view.depth[0] > 0
        distance = float(np.median(view.depth[0][hit])) if hit.any() else 1.0
        camera = known_camera(view)
        return Viewpoint.of(camera, aspect), camera.center + distance * camera.rotation[2]

    def thumbnail(self, photo_id: str, size: int) -> Image.Image:
        """Crop the middle of a photo in 4:3 and scale it to a width of `size` pixels."""
        image = Image.fromarray(np.asarray(self.dataset.view(photo_id).pixels))
        width = min(image.width, image.height * 4 / 3)
        left, top = (image.width - width) / 2, (image.height - width * 3 / 4) / 2
        box = (left, top, left + width, top + width * 3 / 4)
        return image.resize((size, size * 3 // 4), Image.Resampling.BOX, box)

    def snapshot(self, viewpoint: Viewpoint, look: Look, size: int) -> Path:
        """Draw into the next free snapshots/NNNN.png of the scene, and return its path."""
        with self._lock:
            numbers = [int(path.stem) for path in self.files.snapshots.glob("*.png") if path.stem.isdecimal()]
            path = self.files.snapshots / f"{max(numbers, default=0) + 1:04d}.png"
            write_image(path, self.draw(viewpoint, look, size))
            return path

    def add_keyframe(self, viewpoint: Viewpoint, weights: Mapping[str, float], seconds: float) -> None:
        """Record a viewpoint and an appearance, `seconds` after the previous key frame; the first is at 0."""
        time = self.keyframes[-1][0] + seconds if self.keyframes else 0.0
        self.keyframes.append((time, viewpoint, dict(weights)))

    def save_path(self, name: str, size: int) -> Path:
        """Write the key frames to paths/`name`.json, 16:9 with a longer side of `size` pixels, and return its path.

        Raises UserError with fewer than 2 key frames, and for a name with anything but letters, digits, - and _.
        """
        if not name.replace("-", "").replace("_", "").isalnum():
            raise UserError(f"{name!r}: a name of letters, digits, - and _ is expected")
        if len(self.keyframes) < 2:
            raise UserError(f"a path has at least 2 key frames; {len(self.keyframes)} recorded")
        times, viewpoints, weights = zip(*self.keyframes, strict=True)
        cameras = [fitted(viewpoint.camera(SCALE), *shots.wide(size)) for viewpoint in viewpoints]
        path = self.files.camera_path(name)
        camera_paths.write_keyframes(path, camera_paths.CameraPath(FPS, cameras, list(weights)), times)
        return path

    def video_command(self, path: Path) -> str:
        """The command, quoted for a shell, that makes a video of a saved path, beside it."""
        return shlex.join(["nrw", "video", *map(str, (self.files.root, path, path.with_suffix(".mp4")))])


def thinned(count: int, limit: int) -> np.ndarray:
    """Draw at most `limit` of `count` points at random, always the same: sorted indices (M,) int64."""
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, limit, replace=False))


def depth_picture(depth: np.ndarray, near: float) -> np.ndarray:
    """Draw a depth map (H, W), world units, 0 = none, as (H, W, 3) uint8: near / depth, white at `near` and closer."""
    shade = np.divide(near, depth, out=np.zeros_like(depth), where=depth > 0).clip(0, 1)
    return np.repeat((255 * shade).astype(np.uint8)[..., None], 3, axis=2)
