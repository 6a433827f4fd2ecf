"""Camera paths: moves between two cameras, and paths stored as JSON. World z is up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from nrw.core.errors import UserError
from nrw.core.io import read_json, write_json
from nrw.core.limits import SIDE_MULTIPLE
from nrw.core.nearest import suggested_path, suggestion
from nrw.geometry.cameras import Camera, fitted

FIELDS = ("fps", "width", "height", "frames", "keyframes")
ENTRY_FIELDS = ("cam_from_world", "fx", "fy", "cx", "cy", "appearance")  # of a frame; a key frame has a time too


def smoothstep(n: int) -> np.ndarray:
    """Ramp (n,) from 0 to 1 with zero velocity and acceleration at both ends (Perlin's quintic)."""
    t = np.linspace(0, 1, n)
    return t**3 * (t * (6 * t - 15) + 10)


def joint(
    camera_a: Camera, camera_b: Camera, n: int, *, ease: bool = True, size: tuple[int, int] | None = None
) -> list[Camera]:
    """Interpolate `n` cameras from one view to another, both included.

    Positions are linear, orientations spherical (slerp), focal lengths linear in their logarithm. `ease` starts and
    stops at rest. All have one `size` (width, height): by default that of `camera_a`, rounded to multiples of 8.
    """
    width, height = size or (_rounded(camera_a.width), _rounded(camera_a.height))
    a, b = fitted(camera_a, width, height), fitted(camera_b, width, height)
    slerp = Slerp([0, 1], Rotation.from_matrix([a.rotation, b.rotation]))
    cameras = []
    for t in smoothstep(n) if ease else np.linspace(0, 1, n):
        rotation = slerp(t).as_matrix()
        center = (1 - t) * a.center + t * b.center
        fx, fy = np.exp((1 - t) * np.log([a.fx, a.fy]) + t * np.log([b.fx, b.fy]))
        cx, cy = (1 - t) * np.array([a.cx, a.cy]) + t * np.array([b.cx, b.cy])
        pose = np.column_stack([rotation, -rotation @ center])
        cameras.append(Camera(width, height, fx, fy, cx, cy, pose))
    return cameras


def _rounded(side: int) -> int:
    return max(SIDE_MULTIPLE, round(side / SIDE_MULTIPLE) * SIDE_MULTIPLE)


@dataclass(frozen=True)
class CameraPath:
    """The cameras of a video and, per camera, appearance weights by photo id (sum 1), or None."""

    fps: float
    cameras: list[Camera]
    appearances: list[dict[str, float] | None]


def write_path(file: Path | str, path: CameraPath) -> None:
    """Write a camera path as JSON.

    {"fps": 24, "width": 480, "height": 272, "frames": [{"cam_from_world": [[r, r, r, t] * 3], "fx": .., "fy": ..,
    "cx": .., "cy": .., "appearance": {"0007": 0.5, "0012": 0.5}}, ..]}. Lengths are in world units and pixels;
    axes are OpenCV's. "appearance" is the id of a photo or the weights of several, and is optional.
    """
    write_json(file, {**_head(path), "frames": _entries(path)})


def write_keyframes(file: Path | str, path: CameraPath, times: Sequence[float]) -> None:
    """Write key frames, between which `read_path` interpolates. times: seconds, increasing from 0, one per camera."""
    entries = [{"time": time, **entry} for time, entry in zip(times, _entries(path), strict=True)]
    write_json(file, {**_head(path), "keyframes": entries})


def _head(path: CameraPath) -> dict:
    return {"fps": path.fps, "width": path.cameras[0].width, "height": path.cameras[0].height}


def _entries(path: CameraPath) -> list[dict]:
    entries = []
    for camera, appearance in zip(path.cameras, path.appearances, strict=True):
        entry = {"cam_from_world": camera.cam_from_world.tolist()}
        entry |= {key: float(getattr(camera, key)) for key in ("fx", "fy", "cx", "cy")}
        entries.append(entry | ({"appearance": appearance} if appearance else {}))
    return entries


def read_path(file: Path | str) -> CameraPath:
    """Read a camera path as `write_path` or `write_keyframes` writes it.

    With "keyframes" in place of "frames", every entry also has a "time" in seconds, increasing from 0; the frames
    between are interpolated as by `joint`, appearances linearly. Width and height are multiples of 8. Raises UserError
    for a file that is missing, is not JSON, has an unknown field, or does not follow this description otherwise.
    """
    file = Path(file)
    try:
        document = read_json(file)
    except FileNotFoundError:
        raise UserError(f"camera path {file} does not exist.{suggested_path(file)}") from None
    except IsADirectoryError:
        raise UserError(f"camera path {file} is a folder: name the JSON file in it") from None
    except OSError as error:
        raise UserError(f"camera path {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"camera path {file} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise UserError(f"camera path {file}: an object with fps, width, height and frames is expected")
    _reject_unknown(document, FIELDS, str(file))
    fps, width, height = (_number(document, key, str(file)) for key in ("fps", "width", "height"))
    if fps <= 0 or min(width, height) <= 0 or width % SIDE_MULTIPLE or height % SIDE_MULTIPLE:
        raise UserError(
            f"camera path {file}: fps {fps:g}, width {width:g}, height {height:g}; "
            f"fps must be positive, width and height positive multiples of {SIDE_MULTIPLE}"
        )
    kinds = [kind for kind in ("frames", "keyframes") if kind in document]
    if len(kinds) != 1 or not isinstance(document[kinds[0]], list) or not document[kinds[0]]:
        raise UserError(f'camera path {file}: exactly one list of "frames" or "keyframes", not empty, is expected')
    cameras, appearances, times = [], [], []
    for number, entry in enumerate(document[kinds[0]]):
        where = f"{file}, {kinds[0]}[{number}]"
        cameras.append(_read_camera(entry, int(width), int(height), where))
        _reject_unknown(entry, ENTRY_FIELDS + ("time",) * (kinds[0] == "keyframes"), where)
        appearances.append(_read_appearance(entry.get("appearance"), where))
        if kinds[0] == "keyframes":
            times.append(_number(entry, "time", where))
    if kinds[0] == "keyframes":
        return _between_keyframes(fps, cameras, appearances, times, file)
    return CameraPath(fps, cameras, appearances)


def _reject_unknown(entry: Mapping, known: Sequence[str], where: str) -> None:
    for key in entry:
        if key not in known:
            raise UserError(
                f"camera path {where}: there is no field {key!r}.{suggestion(key, known)} The fields: "
                f"{', '.join(known)} (docs/camera-path.md)"
            )


def _number(entry: dict, key: str, where: str) -> float:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise UserError(f"camera path {where}: {key} is {value!r}; a number is expected")
    return float(value)


def _read_camera(entry: object, width: int, height: int, where: str) -> Camera:
    if not isinstance(entry, dict):
        raise UserError(f"camera path {where}: an object with cam_from_world, fx, fy, cx and cy is expected")
    try:
        pose = np.array(entry.get("cam_from_world"), dtype=np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape != (3, 4) or not np.isfinite(pose).all():
        raise UserError(f"camera path {where}: cam_from_world must be 3 rows of 4 numbers, [R | t]")
    rotation = pose[:, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
        raise UserError(f"camera path {where}: the first 3 columns of cam_from_world are not a rotation")
    fx, fy, cx, cy = (_number(entry, key, where) for key in ("fx", "fy", "cx", "cy"))
    if min(fx, fy) <= 0:
        raise UserError(f"camera path {where}: focal lengths must be positive, found fx {fx:g}, fy {fy:g}")
    return Camera(width, height, fx, fy, cx, cy, pose)


def _read_appearance(value: object, where: str) -> dict[str, float] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return {value: 1.0}
    if not isinstance(value, dict) or not value:
        raise UserError(f"camera path {where}: appearance must be the id of a photo or an object of id: weight")
    weights = {photo_id: _number(value, photo_id, f"{where}, appearance") for photo_id in value}
    total = sum(weights.values())
    if min(weights.values()) < 0 or total <= 0:
        raise UserError(f"camera path {where}: appearance weights must not be negative and not all be zero")
    return {photo_id: weight / total for photo_id, weight in weights.items()}


def _between_keyframes(
    fps: float, keys: list[Camera], appearances: list[dict[str, float] | None], times: list[float], file: Path
) -> CameraPath:
    if times[0] != 0 or (np.diff(times) <= 0).any() or len(times) < 2:
        raise UserError(f"camera path {file}: at least 2 key frames, with times that increase from 0, are expected")
    if any(appearance is None for appearance in appearances) and any(appearances):
        raise UserError(f"camera path {file}: either every key frame names an appearance or none does")
    cameras, weights = [], []
    size = (keys[0].width, keys[0].height)
    marks = np.round(np.array(times) * fps).astype(int)
    for i in range(len(keys) - 1):
        n = marks[i + 1] - marks[i] + 1
        last = i == len(keys) - 2
        cameras += joint(keys[i], keys[i + 1], n, size=size)[: n if last else n - 1]
        for t in smoothstep(n)[: n if last else n - 1]:
            first, second = appearances[i], appearances[i + 1]
            weights.append(None if first is None or second is None else blend(first, second, t))
    return CameraPath(fps, cameras, weights)


def blend(a: Mapping[str, float], b: Mapping[str, float], t: float) -> dict[str, float]:
    """Mix two sets of photos' weights, (1 - t) a + t b, and drop those that are zero."""
    mixed = {photo_id: (1 - t) * a.get(photo_id, 0.0) + t * b.get(photo_id, 0.0) for photo_id in {**a, **b}}
    return {photo_id: weight for photo_id, weight in mixed.items() if weight > 0}
