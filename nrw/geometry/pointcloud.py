"""Coloured point clouds, with the triangles of a surface: PLY files, read by memory map; cleaning; point spacing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np
from scipy.spatial import cKDTree

from nrw.core.errors import UserError, of_machine
from nrw.core.io import atomic_path

if TYPE_CHECKING:
    import torch

Values = TypeVar("Values", float, np.ndarray, "torch.Tensor")

PLY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4",
    "int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4",
    "float": "<f4", "double": "<f8", "float32": "<f4", "float64": "<f8",
}  # fmt: skip
POSITION = ("x", "y", "z")
NORMAL = ("nx", "ny", "nz")
COLOR = ("red", "green", "blue")
SPACING = "spacing"  # after COLMAP's properties; COLMAP's own files and clouds of earlier versions have none
FACE = np.dtype([("corners", "u1"), ("points", "<i4", 3)])
VERTEX = np.dtype([(name, "<f4") for name in POSITION + NORMAL] + [(name, "u1") for name in COLOR] + [(SPACING, "<f4")])
FACE_LISTS = (["list", "uchar", "int"], ["list", "uint8", "int32"])
MAX_HEADER_LINES = 1000


@dataclass(frozen=True)
class Cloud:
    """points: (N, 3) float32, world. colors: (N, 3) uint8 RGB. normals: (N, 3) float32, unit length, world.

    stored_spacing: (N,) float32, as read from the cloud's file; None where it has none. It is valid for these points
    only: do not pass it on to a cloud of other points, cleaned or joined.
    faces: (F, 3) int32, the triangles of a surface by the numbers of their corners, which are the first of the points.
    """

    points: np.ndarray
    colors: np.ndarray
    normals: np.ndarray
    stored_spacing: np.ndarray | None = None
    faces: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.int32))

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def spacing(self) -> np.ndarray:
        """(N,) float32, see the function `spacing`; computed only where it is not stored."""
        return spacing(self.points) if self.stored_spacing is None else self.stored_spacing


EMPTY = Cloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), np.empty((0, 3), np.float32))


def gray_mesh(points: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> Cloud:
    """A mesh before it has colours. points, normals: (N, 3). faces: (F, 3)."""
    return Cloud(
        points.astype(np.float32),
        np.full(points.shape, 128, np.uint8),
        normals.astype(np.float32),
        faces=faces.astype(np.int32),
    )


def mesh_of_quads(points: np.ndarray, quads: np.ndarray, normals: np.ndarray) -> Cloud:
    """A gray mesh of two triangles per quad (Q, 4), in the order of its corners, with the points that it uses."""
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    used, faces = np.unique(faces, return_inverse=True)
    return gray_mesh(points[used], faces.reshape(-1, 3), normals[used])


def read_cloud(path: Path | str) -> Cloud:
    """Read a whole cloud into memory, with its spacing and faces where the file has them.

    31 bytes per point, 12 per face. Raises UserError if the file is missing, truncated, not binary little-endian PLY,
    lacks a property, or has faces that are not triangles.
    """
    vertices, faces = _map_file(Path(path))
    return Cloud(
        _columns(vertices, POSITION, np.float32),
        _columns(vertices, COLOR, np.uint8),
        _columns(vertices, NORMAL, np.float32),
        np.array(vertices[SPACING], np.float32) if SPACING in _names(vertices.dtype) else None,
        np.array(faces["points"]),
    )


def stream_points(path: Path | str, chunk: int = 1 << 20) -> Iterator[np.ndarray]:
    """The positions of a PLY file in its order, as (M, 3) float32 arrays of `chunk` points (the last may be shorter).

    Only one chunk is in memory. An empty cloud gives no chunk. Raises UserError as `read_cloud`.
    """
    vertices, _ = _map_file(Path(path))
    for start in range(0, len(vertices), chunk):
        yield _columns(vertices[start : start + chunk], POSITION, np.float32)


def count_points(path: Path | str) -> int:
    """The number of points of a PLY file, from its header. Raises UserError as `read_cloud`."""
    return len(_map_file(Path(path))[0])


def write_cloud(path: Path | str, cloud: Cloud) -> None:
    """Write binary little-endian PLY: COLMAP's properties of the points in its order, then `spacing`; then the faces.

    31 bytes per point, 13 per face. The spacing is computed where the cloud has none stored, so that no reader computes
    it.
    """
    vertices = np.empty(len(cloud), VERTEX)
    for names, values in ((POSITION, cloud.points), (NORMAL, cloud.normals), (COLOR, cloud.colors)):
        for axis, name in enumerate(names):
            vertices[name] = values[:, axis]
    vertices[SPACING] = cloud.spacing
    ply_type = {"f": "float", "u": "uchar"}
    properties = [f"property {ply_type[VERTEX[name].kind]} {name}" for name in _names(VERTEX)]
    triangles = np.empty(len(cloud.faces), FACE)
    triangles["corners"], triangles["points"] = 3, cloud.faces
    if len(triangles):
        properties += [f"element face {len(triangles)}", "property list uchar int vertex_indices"]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(cloud)}", *properties, "end_header", ""]
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        stream.write("\n".join(header).encode("ascii"))
        vertices.tofile(stream)
        triangles.tofile(stream)


def clean(cloud: Cloud, neighbours: int = 16, std_ratio: float = 2.0, voxel_size: float | None = None) -> Cloud:
    """Thin the cloud to one mean point a voxel (if `voxel_size`, world units, is given), then drop outliers.

    An outlier's mean distance to its `neighbours` nearest points exceeds the cloud's mean of that distance by more
    than `std_ratio` standard deviations (Rusu et al. 2008, "Towards 3D point cloud based object maps", section 4.1).
    """
    if len(cloud) == 0:
        return cloud
    open3d = import_open3d()
    legacy = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(cloud.points.astype(np.float64)))
    legacy.colors = open3d.utility.Vector3dVector(cloud.colors / 255.0)
    legacy.normals = open3d.utility.Vector3dVector(cloud.normals.astype(np.float64))
    if voxel_size is not None:
        legacy = legacy.voxel_down_sample(voxel_size)
    legacy, _ = legacy.remove_statistical_outlier(neighbours, std_ratio)
    return Cloud(
        np.asarray(legacy.points).astype(np.float32),
        np.rint(np.asarray(legacy.colors) * 255).astype(np.uint8),
        np.asarray(legacy.normals).astype(np.float32),
    )


def spacing(points: np.ndarray, neighbours: int = 4) -> np.ndarray:
    """How densely each of (N, 3) points is surrounded: (N,) float32, world units.

    The median distance to its `neighbours` nearest other points, so that one duplicate or one stray neighbour does not
    decide; a stray point counts as no more than twice as lonely as these. Infinite without any other point.
    """
    neighbours = min(neighbours, len(points) - 1)
    if neighbours < 1:
        return np.full(len(points), np.inf, np.float32)
    distances, nearest = cKDTree(points).query(points, k=np.arange(2, neighbours + 2))  # the first is the point
    spacings = np.median(distances, axis=1)
    return np.minimum(spacings, 2 * np.median(spacings[nearest], axis=1)).astype(np.float32)


def _names(dtype: np.dtype) -> tuple[str, ...]:
    """The names of a record type's fields."""
    return dtype.names or ()


def _columns(vertices: np.ndarray, names: tuple[str, ...], dtype: type) -> np.ndarray:
    return np.stack([vertices[name] for name in names], axis=1).astype(dtype, copy=False)


def _map_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The vertex records of a PLY file, with named fields, and its FACE records: read-only memory maps."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such point cloud; run the dense step (target mvs) first")
    with open(path, "rb") as stream:
        count, dtype, n_faces = _read_header(stream, path)
        offset = stream.tell()
    missing = [name for name in POSITION + NORMAL + COLOR if name not in _names(dtype)]
    if missing:
        raise UserError(f"{path}: the points lack {', '.join(missing)}; write the cloud with normals and colours")
    size = count * dtype.itemsize
    found, expected = path.stat().st_size - offset, size + n_faces * FACE.itemsize
    if found < expected:
        raise UserError(
            f"{path}: truncated: its header promises {count} points and {n_faces} faces ({expected} bytes), {found} "
            "bytes are there; delete it and run the dense step again"
        )
    vertices, faces = np.empty(0, dtype), np.empty(0, FACE)  # an empty range cannot be mapped
    if count:
        vertices = np.memmap(path, dtype, mode="r", offset=offset, shape=(count,))
    if n_faces:
        faces = np.memmap(path, FACE, mode="r", offset=offset + size, shape=(n_faces,))
        if (faces["corners"] != 3).any():
            raise UserError(f"{path}: some faces are not triangles; write the surface as triangles")
        if int(faces["points"].min()) < 0 or int(faces["points"].max()) >= count:
            raise UserError(f"{path}: faces name points that are not there; delete it and run the dense step again")
    return vertices, faces


def _read_header(stream: BinaryIO, path: Path) -> tuple[int, np.dtype, int]:
    """Number and record type of the vertices, and number of faces; leaves the stream at the first record."""
    if stream.readline().strip() != b"ply":
        raise UserError(f"{path}: not a PLY file; point to a binary PLY point cloud")
    count: int | None = None
    faces = 0
    element: str | None = None
    fields: list[tuple[str, str]] = []
    for _ in range(MAX_HEADER_LINES):
        words = stream.readline(1000).decode("ascii", "replace").split()
        match words:
            case ["format", kind, *_] if kind != "binary_little_endian":
                raise UserError(f"{path}: PLY format {kind}; convert the cloud to binary_little_endian")
            case ["element", "vertex", number] if element is None:
                element, count = "vertex", int(number)
            case ["element", name, *_] if count is None:
                raise UserError(f"{path}: element {name} comes before the vertices; write the vertices first")
            case ["element", "face", number] if element == "vertex":
                element, faces = "face", int(number)
            case ["element", name, *_]:
                element = name  # what follows vertices and faces is not read
            case ["property", kind, name] if element == "vertex" and kind in PLY_TYPES:
                fields.append((name, PLY_TYPES[kind]))
            case ["property", *rest] if element == "vertex":
                raise UserError(f"{path}: vertex property {' '.join(rest)} has no fixed size; write plain numbers only")
            case ["property", *rest] if element == "face" and rest[:3] not in FACE_LISTS:
                raise UserError(
                    f"{path}: face property {' '.join(rest)}; write a list uchar int of corners, nothing else"
                )
            case ["end_header"] if count is not None:
                return count, np.dtype(fields), faces
    raise UserError(f"{path}: the PLY header names no vertices or has no end; delete it and run the dense step again")


def import_open3d() -> ModuleType:
    try:
        import open3d  # slow to load, and only cleaning needs it
    except ImportError as error:
        missing = UserError(f"open3d cannot be loaded ({error}); on Debian and Ubuntu: apt-get install libusb-1.0-0")
        raise of_machine(error) or missing from error
    return open3d


def encode_lighting(lighting: np.ndarray) -> np.ndarray:
    """uint8 of values of deviation 1 / 3: [-1, 1] in steps of 1 / 127, 0 exactly, what lies beyond clipped."""
    return np.rint(128 + 127 * lighting.clip(-1, 1)).astype(np.uint8)


def decode_lighting(lighting: Values) -> Values:
    """Invert `encode_lighting`, for floats, arrays or tensors of what it returns or of means thereof."""
    return (lighting - 128) / 127
