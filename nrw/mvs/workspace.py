"""COLMAP's dense workspace on disk: paths of its files, and its binary format of depth and normal maps."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nrw.core.errors import UserError
from nrw.core.io import atomic_path, read_image, read_json
from nrw.geometry.cameras import Camera, read_cameras


@dataclass(frozen=True)
class Workspace:
    """The folder `mvs/`: images/<id>.jpg, sparse/ and stereo/, as `undistort` writes it.

    Raises UserError if the folder is no dense workspace.
    """

    root: Path

    def __post_init__(self) -> None:
        if not (self.root / "sparse").is_dir() or not (self.root / "images").is_dir():
            raise UserError(f"{self.root}: not a dense workspace (no images/ and sparse/); run the undistortion first")

    @property
    def sparse(self) -> Path:
        return self.root / "sparse"

    @property
    def stereo(self) -> Path:
        return self.root / "stereo"

    @cached_property
    def cameras(self) -> dict[str, Camera]:
        """The pinhole camera of each photo, by id, in order of id."""
        return read_cameras(self.sparse)

    def image(self, photo_id: str) -> Path:
        return self.root / "images" / f"{photo_id}.jpg"

    def depth_map(self, photo_id: str, kind: str) -> Path:
        """kind: "photometric" (the photo's own estimate), "consensus" or "geometric" (confirmed by other photos)."""
        return self.stereo / "depth_maps" / f"{photo_id}.jpg.{kind}.bin"

    def normal_map(self, photo_id: str, kind: str) -> Path:
        return self.stereo / "normal_maps" / f"{photo_id}.jpg.{kind}.bin"

    def confidence_map(self, photo_id: str) -> Path:
        return self.stereo / "confidence_maps" / f"{photo_id}.jpg.photometric.bin"

    def sky_mask(self, photo_id: str) -> Path:
        """PNG of the photo's size, 255 = sky; only where photos have no label maps (`sky.mask_sky`)."""
        return self.root / "sky_masks" / f"{photo_id}.png"

    def report(self, photo_id: str) -> Path:
        """JSON: how the photo's depth map was made."""
        return self.stereo / "reports" / f"{photo_id}.json"

    def read_report(self, photo_id: str) -> dict:
        """The photo's report, {} if it is missing or damaged."""
        try:
            return read_json(self.report(photo_id))
        except (FileNotFoundError, ValueError):
            return {}

    def check_ids(self, ids: list[str]) -> None:
        """Raises UserError if an id is not a photo of this workspace."""
        unknown = [photo_id for photo_id in ids if photo_id not in self.cameras]
        if unknown:
            raise UserError(
                f"{self.root}: no registered photo with id {', '.join(unknown)}; it has {len(self.cameras)}"
            )

    def is_whole(self, path: Path, photo_id: str, channels: int) -> bool:
        """Whether `path` is a complete map of the photo's size."""
        camera = self.cameras[photo_id]
        header = _header(camera.width, camera.height, channels)
        size = len(header) + 4 * camera.width * camera.height * channels
        if not path.is_file() or path.stat().st_size != size:
            return False
        with open(path, "rb") as stream:
            return stream.read(len(header)) == header


def _header(width: int, height: int, channels: int) -> bytes:
    return f"{width}&{height}&{channels}&".encode("ascii")


def write_map(path: Path, values: np.ndarray) -> None:
    """Write an (H, W) or (H, W, C) array as COLMAP does: "W&H&C&", then float32, one channel after the other.

    pycolmap's `NormalMap.from_array` is no help: it takes any array for channel-first data, whatever its shape.
    """
    values = values.reshape(*values.shape[:2], -1)
    height, width, channels = values.shape
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        stream.write(_header(width, height, channels))
        np.ascontiguousarray(values.transpose(2, 0, 1), dtype="<f4").tofile(stream)


def read_map(path: Path) -> np.ndarray:
    """Read a map of COLMAP or of `write_map`: (H, W) float32 if it has one channel, else (H, W, C).

    Raises UserError if the file is missing, truncated or not a map.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; estimate the depth of this photo first")
    data = path.read_bytes()
    try:
        width, height, channels = (int(field) for field in data[:64].split(b"&", 3)[:3])
    except ValueError as error:
        raise UserError(f"{path}: not a COLMAP map; delete it and run again") from error
    header = _header(width, height, channels)
    if len(data) != len(header) + 4 * width * height * channels:
        raise UserError(f"{path}: truncated; delete it and run again")
    planes = np.frombuffer(data, "<f4", offset=len(header)).reshape(channels, height, width)
    return planes[0].copy() if channels == 1 else planes.transpose(1, 2, 0).copy()


def read_labels(segmentation_dir: Path, photo_id: str, camera: Camera) -> np.ndarray:
    """Read the labels of an undistorted photo: (H, W) uint8.

    Raises UserError if the label map is missing or has another size than the photo.
    """
    path = Path(segmentation_dir) / f"{photo_id}.png"
    if not path.is_file():
        raise UserError(f"{path}: no label map for photo {photo_id}; run the segmentation again")
    labels = read_image(path)
    if labels.shape != (camera.height, camera.width):
        raise UserError(
            f"{path}: {labels.shape} pixels, but the undistorted photo has {(camera.height, camera.width)};"
            " delete the segmentation and run it again"
        )
    return labels


def read_unmasked(segmentation_dir: Path | None, photo_id: str, masked: frozenset[int], camera: Camera) -> np.ndarray:
    """Read which pixels of a photo may match: (H, W) bool, False where the label is one of `masked`.

    All True if `segmentation_dir` is None. Raises UserError as `read_labels`.
    """
    if segmentation_dir is None:
        return np.ones((camera.height, camera.width), bool)
    return ~np.isin(read_labels(segmentation_dir, photo_id, camera), list(masked))


def read_keep(workspace: Workspace, segmentation_dir: Path | None, photo_id: str, masked: frozenset[int]) -> np.ndarray:
    """Read which pixels of a photo show something lasting: (H, W) bool, False where masked by labels, or sky.

    Without labels (`segmentation_dir` None) the sky is that of the photo's sky mask, where there is one. For what comes
    after the depth maps: sky masks are made of them. Raises UserError as `read_labels`, and if the sky mask has another
    size than the photo.
    """
    camera, path = workspace.cameras[photo_id], workspace.sky_mask(photo_id)
    if segmentation_dir is not None or not path.is_file():
        return read_unmasked(segmentation_dir, photo_id, masked, camera)
    sky = read_image(path)
    if sky.shape != (camera.height, camera.width):
        raise UserError(
            f"{path}: {sky.shape} pixels, but the undistorted photo has {(camera.height, camera.width)};"
            f" delete {path.parent} and run again"
        )
    return sky == 0
