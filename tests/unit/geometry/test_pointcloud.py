"""PLY files against other readers and writers of them; cleaning and spacing against known clouds."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest

from nrw.core.errors import UserError
from nrw.geometry.pointcloud import Cloud, clean, count_points, read_cloud, spacing, stream_points, write_cloud


def cloud_of(n, seed=0):
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(n, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colors = rng.integers(0, 256, (n, 3), dtype=np.uint8)
    return Cloud(rng.normal(size=(n, 3)).astype(np.float32), colors, normals.astype(np.float32))


def assert_equal(a, b):
    for field in ("points", "colors", "normals"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
        assert getattr(a, field).dtype == getattr(b, field).dtype


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_what_is_written_is_read(tmp_path, n):
    cloud = cloud_of(n)
    write_cloud(tmp_path / "cloud.ply", cloud)
    assert_equal(read_cloud(tmp_path / "cloud.ply"), cloud)
    assert count_points(tmp_path / "cloud.ply") == len(cloud) == n


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_the_spacing_is_written_and_not_computed_again(tmp_path, n, monkeypatch):
    cloud = cloud_of(n)
    write_cloud(tmp_path / "cloud.ply", cloud)
    assert (tmp_path / "cloud.ply").read_bytes().count(b"property float spacing\nend_header\n") == 1
    found = read_cloud(tmp_path / "cloud.ply")
    monkeypatch.setattr("nrw.geometry.pointcloud.spacing", None)
    np.testing.assert_array_equal(found.spacing, spacing(cloud.points))
    assert found.spacing.dtype == np.float32 and type(found.spacing) is np.ndarray
    recolored = replace(found, colors=255 - found.colors)
    assert recolored.spacing is found.spacing
    write_cloud(tmp_path / "again.ply", recolored)
    np.testing.assert_array_equal(read_cloud(tmp_path / "again.ply").spacing, found.spacing)


def test_a_cleaned_cloud_has_the_spacing_of_its_own_points(tmp_path):
    pytest.importorskip("open3d")
    cloud = flat_cloud(np.concatenate([grid(20), np.float32([[0, 0, 30], [-25, 3, 4]])]))
    write_cloud(tmp_path / "cloud.ply", cloud)
    for thin in (clean(read_cloud(tmp_path / "cloud.ply"), voxel_size=size) for size in (None, 3.0)):
        assert len(thin) < len(cloud)
        np.testing.assert_array_equal(thin.spacing, spacing(thin.points))


def test_open3d_reads_what_is_written(tmp_path):
    open3d = pytest.importorskip("open3d")
    cloud = cloud_of(100)
    write_cloud(tmp_path / "cloud.ply", cloud)
    other = open3d.io.read_point_cloud(str(tmp_path / "cloud.ply"))
    np.testing.assert_array_equal(np.asarray(other.points), cloud.points)
    np.testing.assert_array_equal(np.rint(np.asarray(other.colors) * 255), cloud.colors)
    np.testing.assert_array_equal(np.asarray(other.normals), cloud.normals)


def test_colmap_reads_what_is_written(tmp_path):
    cloud = cloud_of(100)
    write_cloud(tmp_path / "cloud.ply", cloud)
    model = pycolmap.Reconstruction()
    model.import_PLY(str(tmp_path / "cloud.ply"))
    points = [point for _, point in sorted(model.points3D.items())]
    np.testing.assert_array_equal([point.xyz for point in points], cloud.points)
    np.testing.assert_array_equal([point.color for point in points], cloud.colors)


def test_reads_the_header_of_colmaps_fusion(tmp_path):
    """Byte for byte what COLMAP's `WriteBinaryPlyPoints` writes before the records, and what earlier versions wrote."""
    cloud = cloud_of(10)
    write_cloud(tmp_path / "cloud.ply", cloud)
    header = (
        b"ply\nformat binary_little_endian 1.0\nelement vertex 10\n"
        b"property float x\nproperty float y\nproperty float z\n"
        b"property float nx\nproperty float ny\nproperty float nz\nproperty uchar red\nproperty uchar green\n"
        b"property uchar blue\nend_header\n"
    )
    whole = (tmp_path / "cloud.ply").read_bytes()
    assert whole[:-310] == header.replace(b"end_header", b"property float spacing\nend_header")
    records = np.frombuffer(whole[-310:], np.uint8).reshape(10, 31)
    (tmp_path / "colmap.ply").write_bytes(header + records[:, :27].tobytes())
    found = read_cloud(tmp_path / "colmap.ply")
    assert_equal(found, cloud)
    assert found.stored_spacing is None
    np.testing.assert_array_equal(found.spacing, spacing(cloud.points))


def test_reads_what_open3d_writes(tmp_path):
    open3d = pytest.importorskip("open3d")
    cloud = cloud_of(10)
    legacy = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(cloud.points.astype(float)))
    legacy.colors = open3d.utility.Vector3dVector(cloud.colors / 255.0)
    legacy.normals = open3d.utility.Vector3dVector(cloud.normals.astype(float))
    open3d.io.write_point_cloud(str(tmp_path / "open3d.ply"), legacy)
    assert_equal(read_cloud(tmp_path / "open3d.ply"), cloud)


def test_other_properties_orders_and_elements_are_accepted(tmp_path):
    cloud = cloud_of(5)
    fields = [("quality", "<f8"), *((c, "u1") for c in ("blue", "green", "red")), *((c, "<f8") for c in "zyx")]
    fields += [(c, "<f4") for c in ("nx", "ny", "nz")]
    records = np.zeros(5, np.dtype(fields))
    for names, values in (("xyz", cloud.points), (("nx", "ny", "nz"), cloud.normals)):
        for axis, name in enumerate(names):
            records[name] = values[:, axis]
    for axis, name in enumerate(("red", "green", "blue")):
        records[name] = cloud.colors[:, axis]
    ply_type = {"<f8": "double", "u1": "uint8", "<f4": "float32"}
    header = "ply\r\nformat binary_little_endian 1.0\r\ncomment by hand\r\nelement vertex 5\r\n"
    header += "".join(f"property {ply_type[kind]} {name}\r\n" for name, kind in fields)
    header += "element face 1\r\nproperty list uchar int vertex_indices\r\nend_header\r\n"
    (tmp_path / "other.ply").write_bytes(header.encode() + records.tobytes() + b"\x03" + bytes(12))
    assert_equal(read_cloud(tmp_path / "other.ply"), cloud)


def test_streams_in_order(tmp_path):
    cloud = cloud_of(1000)
    write_cloud(tmp_path / "cloud.ply", cloud)
    chunks = list(stream_points(tmp_path / "cloud.ply", chunk=300))
    assert [len(chunk) for chunk in chunks] == [300, 300, 300, 100]
    assert all(chunk.dtype == np.float32 and chunk.flags.c_contiguous for chunk in chunks)
    np.testing.assert_array_equal(np.concatenate(chunks), cloud.points)


def damaged(kind):
    whole = b"ply\nformat binary_little_endian 1.0\nelement vertex 2\n" + b"".join(
        b"property float " + name + b"\n" for name in b"x y z nx ny nz".split()
    )
    colors = b"".join(b"property uchar " + name + b"\n" for name in (b"red", b"green", b"blue"))
    return {
        "truncated": whole + colors + b"end_header\n" + bytes(53),
        "lack nx, ny, nz": whole.replace(b"property float n", b"property float m")
        + colors
        + b"end_header\n"
        + bytes(54),
        "lack red, green, blue": whole + b"end_header\n" + bytes(48),
        "not a PLY": b"\x89PNG\r\n" + bytes(100),
        "ascii": whole.replace(b"binary_little_endian", b"ascii") + colors + b"end_header\n",
        "no end": whole + colors,
        "no fixed size": whole + b"property list uchar int neighbours\nend_header\n" + bytes(100),
        "before the vertices": whole.replace(b"element vertex", b"element camera 1\nelement vertex") + b"end_header\n",
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "truncated",
        "lack nx, ny, nz",
        "lack red, green, blue",
        "not a PLY",
        "ascii",
        "no end",
        "no fixed size",
        "before the vertices",
    ],
)
@pytest.mark.parametrize("read", [read_cloud, lambda path: next(stream_points(path)), count_points])
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, kind, read):
    path = tmp_path / "bad.ply"
    path.write_bytes(damaged(kind))
    with pytest.raises(UserError, match=kind) as error:
        read(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.ply"):
        read_cloud(tmp_path / "none.ply")


def grid(n):
    """An n x n grid with spacing 1 in the plane z = 0."""
    return np.stack([*np.meshgrid(np.arange(n), np.arange(n)), np.zeros((n, n))], -1).reshape(-1, 3).astype(np.float32)


def flat_cloud(points):
    colors = np.tile(np.uint8([10, 20, 30]), (len(points), 1))
    return Cloud(points, colors, np.tile(np.float32([0, 0, 1]), (len(points), 1)))


def test_clean_drops_the_outliers_and_nothing_else():
    pytest.importorskip("open3d")
    points = np.concatenate([grid(20), np.float32([[0, 0, 30], [-25, 3, 4]])])
    assert_equal(clean(flat_cloud(points)), flat_cloud(grid(20)))


def test_clean_with_voxels_keeps_the_mean_of_each():
    pytest.importorskip("open3d")
    rng = np.random.default_rng(0)
    cells = grid(12) + 0.5
    points = np.repeat(cells, 5, axis=0) + rng.uniform(-0.2, 0.2, (720, 3)).astype(np.float32)
    cloud = flat_cloud(np.concatenate([points, np.float32([[0, 0, 0], [12, 12, 0.9]])]))  # fix the voxels' origin
    thin = clean(cloud, std_ratio=10, voxel_size=1.0)
    assert 140 < len(thin) < 300
    assert (thin.colors == [10, 20, 30]).all()
    np.testing.assert_allclose(thin.normals, np.tile([0, 0, 1], (len(thin), 1)), atol=1e-6)


def test_clean_of_nothing_is_nothing():
    assert len(clean(cloud_of(0))) == 0


def test_spacing_of_a_grid_is_its_step():
    distances = spacing(grid(20) * 0.25).reshape(20, 20)
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances[1:-1, 1:-1], 0.25)


def test_one_duplicate_does_not_decide_the_spacing():
    points = np.concatenate([grid(10), grid(10)[55:56]])
    np.testing.assert_allclose(spacing(points)[[55, 100]], 1)


def test_a_stray_point_is_no_wider_than_twice_its_neighbours():
    points = np.concatenate([grid(10), [[4.5, 4.5, 30.0]]]).astype(np.float32)
    np.testing.assert_allclose(spacing(points)[[55, 100]], [1, 2])


@pytest.mark.parametrize(("n", "expected"), [(0, []), (1, [np.inf]), (2, [1, 1])])
def test_spacing_of_few_points(n, expected):
    np.testing.assert_array_equal(spacing(grid(2)[:n]), expected)


def test_faces_are_written_after_the_points_and_read_back(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.random((5, 3)).astype(np.float32)
    faces = np.array([[0, 1, 2], [2, 1, 3]], np.int32)
    write_cloud(tmp_path / "mesh.ply", Cloud(points, np.zeros((5, 3), np.uint8), points, faces=faces))
    found = read_cloud(tmp_path / "mesh.ply")
    np.testing.assert_array_equal(found.faces, faces)
    np.testing.assert_array_equal(found.points, points)
    assert found.faces.dtype == np.int32
    data = (tmp_path / "mesh.ply").read_bytes()
    (tmp_path / "mesh.ply").write_bytes(data[:-1])
    with pytest.raises(UserError, match="promises 5 points and 2 faces"):
        read_cloud(tmp_path / "mesh.ply")
    (tmp_path / "mesh.ply").write_bytes(data[:-13] + b"\x04" + data[-12:])
    with pytest.raises(UserError, match="not triangles"):
        read_cloud(tmp_path / "mesh.ply")
    (tmp_path / "mesh.ply").write_bytes(data[:-4] + (9).to_bytes(4, "little"))
    with pytest.raises(UserError, match="points that are not there"):
        read_cloud(tmp_path / "mesh.ply")
