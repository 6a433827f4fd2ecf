"""COLMAP's dense workspace on disk: where its files are, and how its depth and normal maps are stored."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nrw.core.errors import UserError
from nrw.core.io import atomic_path, read_image, read_json
from nrw.geometry.cameras import Camera, read_cameras


@dataclass(frozen=True)
class Workspace:
    """The folder `mvs/`: images/<id>.jpg, sparse/ and stereo/, as `undistort` leaves it."""

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
        """The pinhole camera of every photo, by id, in order of id."""
        return read_cameras(self.sparse)

    def image(self, photo: str) -> Path:
        return self.root / "images" / f"{photo}.jpg"

    def depth_map(self, photo: str, kind: str) -> Path:
        """kind: "photometric" (a photo's own estimate), "consensus" or "geometric" (what other photos agree with)."""
        return self.stereo / "depth_maps" / f"{photo}.jpg.{kind}.bin"

    def normal_map(self, photo: str, kind: str) -> Path:
        return self.stereo / "normal_maps" / f"{photo}.jpg.{kind}.bin"

    def confidence_map(self, photo: str) -> Path:
        return self.stereo / "confidence_maps" / f"{photo}.jpg.photometric.bin"

    def report(self, photo: str) -> Path:
        """JSON: how a photo's depth map was made."""
        return self.stereo / "reports" / f"{photo}.json"

    def read_report(self, photo: str) -> dict:
        """The report of a photo, {} if there is none that can be read."""
        try:
            return read_json(self.report(photo))
        except (FileNotFoundError, ValueError):
            return {}

    def check_ids(self, ids: list[str]) -> None:
        """Raises UserError if an id is not a photo of this workspace."""
        unknown = [photo for photo in ids if photo not in self.cameras]
        if unknown:
            raise UserError(
                f"{self.root}: no registered photo with id {', '.join(unknown)}; it has {len(self.cameras)}"
            )

    def is_whole(self, path: Path, photo: str, channels: int) -> bool:
        """Whether `path` is a map of the photo's size with all its bytes."""
        camera = self.cameras[photo]
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

    (pycolmap's `NormalMap.from_array` takes the array for one in that order, whatever its shape: not used.)
    """
    values = values.reshape(*values.shape[:2], -1)
    height, width, channels = values.shape
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        stream.write(_header(width, height, channels))
        np.ascontiguousarray(values.transpose(2, 0, 1), dtype="<f4").tofile(stream)


def read_map(path: Path) -> np.ndarray:
    """Read a map that COLMAP or `write_map` wrote: (H, W) float32 if it has one channel, else (H, W, C).

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


def read_labels(segmentation_dir: Path, photo: str, camera: Camera) -> np.ndarray:
    """The labels of an undistorted photo, (H, W) uint8.

    Raises UserError if the label map is missing or has another size than the photo.
    """
    path = Path(segmentation_dir) / f"{photo}.png"
    if not path.is_file():
        raise UserError(f"{path}: no label map for photo {photo}; run the segmentation again")
    labels = read_image(path)
    if labels.shape != (camera.height, camera.width):
        raise UserError(
            f"{path}: {labels.shape} pixels, but the undistorted photo has {(camera.height, camera.width)};"
            " delete the segmentation and run it again"
        )
    return labels


def read_usable(segmentation_dir: Path | None, photo: str, masked: frozenset[int], camera: Camera) -> np.ndarray:
    """The pixels of a photo that may match and fuse: (H, W) bool, false where the label is one of `masked`.

    All true if `segmentation_dir` is None. Raises UserError as `read_labels`.
    """
    if segmentation_dir is None:
        return np.ones((camera.height, camera.width), bool)
    return ~np.isin(read_labels(segmentation_dir, photo, camera), list(masked))
