"""Framebuffers and aligned images of a small synthetic workspace."""

import csv
import ctypes.util

import numpy as np
import pycolmap
import pytest
import torch
from PIL import Image

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.core.io import read_image, write_csv
from nrw.framebuffers import aligned, rasters, undistorted
from nrw.framebuffers.aligned import compose_aligned, decode_depth, encode_depth, index_aligned
from nrw.framebuffers.levels import level_path, load_level
from nrw.framebuffers.rasters import load_buffer, rasterize_photos
from nrw.geometry.cameras import Camera, read_cameras
from nrw.geometry.pointcloud import Cloud, read_cloud, write_cloud
from nrw.geometry.rasterize import Geometry, coverage, locate, rasterize

IDS = ["0000", "0001", "0002"]
TORCH = {"max_size": 80, "scale": 2, "splat": 3, "backend": "torch", "device": "cpu"}


@pytest.fixture
def workspace(tmp_path):
    """A dense workspace with three photos of 150 x 100 pixels and a cloud of a slanted plane."""
    mvs, segmentation = tmp_path / "mvs", tmp_path / "segmentation"
    for folder in (mvs / "images", mvs / "sparse", segmentation):
        folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    model = pycolmap.Reconstruction()
    lens = pycolmap.Camera(camera_id=1, model="PINHOLE", width=150, height=100, params=[130, 120, 70, 52])
    model.add_camera_with_trivial_rig(lens)
    for i, photo in enumerate(IDS):
        turn = pycolmap.Rotation3d(np.array([0, 0.05 * i, 0]))
        pose = pycolmap.Rigid3d(turn, np.array([-0.1 * i, 0.05, 0.0]))
        model.add_image_with_trivial_frame(pycolmap.Image(name=f"{photo}.jpg", camera_id=1, image_id=i + 1), pose)
        left, right = [200, 40, 60], [20, 180, 90]
        picture = np.where(np.arange(150)[None, :, None] < 75, left, right) * np.ones((100, 1, 1))
        Image.fromarray(picture.astype(np.uint8)).save(mvs / "images" / f"{photo}.jpg", quality=95, subsampling=0)
        labels = np.where(np.arange(150)[None] < 75, ade20k.label_of("sky"), ade20k.label_of("building"))
        Image.fromarray((labels * np.ones((100, 1))).astype(np.uint8)).save(segmentation / f"{photo}.png")
    model.write(mvs / "sparse")
    xy = rng.uniform(-1, 1, (4000, 2))
    points = np.insert(xy, 2, 3 + 0.5 * xy[:, 0], axis=1).astype(np.float32)
    colors = rng.integers(0, 256, (4000, 3), dtype=np.uint8)
    write_cloud(mvs / "cloud.ply", Cloud(points, colors, np.tile(np.float32([0, 0, -1]), (4000, 1))))
    np.save(tmp_path / "colors.npy", colors)
    return tmp_path, points, colors


def drawn(root, camera, splat=3):
    """What a camera sees, at twice the networks' size."""
    geometry = Geometry.of(read_cloud(root / "mvs/cloud.ply"))
    camera = camera.resized(160, 112)
    return geometry, camera, rasterize(geometry, camera, splat)


def run_rasterize(root, ids=IDS, **options):
    arguments = (root / "mvs/cloud.ply", root / "mvs", root / "framebuffers", ids, root / "key.json")
    return rasterize_photos(*arguments, **(TORCH | options))


def run_compose(root, ids=IDS, max_depth=5.0, segmentation=True, lighting=None):
    labels = root / "segmentation" if segmentation else None
    framebuffers, cloud = root / "framebuffers", root / "mvs/cloud.ply"
    arguments = (cloud, framebuffers, root / "mvs", labels, root / "colors.npy", lighting, root / "aligned", ids)
    compose_aligned(*arguments, root / "key_compose.json", scale=2, max_depth=max_depth)


def test_buffers_are_of_twice_the_training_size(workspace):
    root, _, _ = workspace
    report = run_rasterize(root)
    cameras = read_cameras(root / "mvs/sparse")
    for row in report:
        buffer = load_buffer(root / "framebuffers", row["id"])
        assert buffer.primitive.shape == buffer.depth.shape == (112, 160)  # 150 x 100 in 80, multiples of 8
        _, _, expected = drawn(root, cameras[row["id"]])
        assert torch.equal(buffer.primitive, expected.primitive) and torch.equal(buffer.depth, expected.depth)
        density, depth = float(expected.hit.float().mean()), float(expected.depth.max())
        assert row == {"id": row["id"], "width": 80, "height": 56, "density": density, "max_depth": depth}
        assert 0.3 < row["density"] < 1
    assert [row["id"] for row in report] == IDS


@pytest.mark.skipif(ctypes.util.find_library("OSMesa") is None, reason="needs libosmesa6")
def test_pyrender_is_a_second_backend(workspace):
    root, _, _ = workspace
    run_rasterize(root)
    exact = load_buffer(root / "framebuffers", "0001")
    report = run_rasterize(root, backend="pyrender")
    opengl = load_buffer(root / "framebuffers", "0001")
    filled = exact.hit & ~opengl.hit  # by reach, which OpenGL's points do not have
    assert (exact.primitive == opengl.primitive)[~filled].float().mean() > 0.99
    assert [row["id"] for row in report] == IDS


def test_an_unknown_backend_is_refused(workspace):
    with pytest.raises(UserError, match="torch or pyrender"):
        run_rasterize(workspace[0], backend="opengl")


def test_a_retry_does_only_what_is_missing(workspace, monkeypatch):
    root, _, _ = workspace
    report = run_rasterize(root)
    (root / "framebuffers/0001_depth.npy").unlink()
    done = []
    monkeypatch.setattr(rasters, "rasterize", lambda *a, **k: (done.append(a[1]), rasterize(*a, **k))[1])
    assert run_rasterize(root) == report
    assert len(done) == 1
    np.testing.assert_allclose(done[0].center, read_cameras(root / "mvs/sparse")["0001"].center)
    run_rasterize(root, splat=5)
    assert len(done) == 4
    run_rasterize(root, max_size=40, splat=5)
    assert len(done) == 7
    assert load_buffer(root / "framebuffers", "0000").depth.shape == (48, 80)


def test_an_interrupted_chunk_leaves_whole_files_only(workspace, monkeypatch):
    root, _, _ = workspace
    save = np.save
    calls = []

    def interrupted(path, values):
        calls.append(path)
        if len(calls) == 5:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        save(path, values)

    monkeypatch.setattr(np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_rasterize(root)
    monkeypatch.undo()
    assert sorted(path.name for path in (root / "framebuffers").iterdir()) == [
        "0000_depth.npy",
        "0000_primitive.npy",
        "0001_depth.npy",
        "0001_primitive.npy",
    ]
    assert len(run_rasterize(root)) == 3


def test_aligned_images(workspace):
    root, _, colors = workspace
    run_rasterize(root)
    run_compose(root)
    sky, building = ade20k.label_of("sky"), ade20k.label_of("building")
    for photo in IDS:
        images = {kind: read_image(root / f"aligned/{photo}_{kind}.png") for kind in aligned.ALIGNED_KINDS}
        assert {image.shape[:2] for image in images.values()} == {(56, 80)}
        geometry, camera, buffer = drawn(root, read_cameras(root / "mvs/sparse")[photo])
        covered = coverage(buffer.hit).numpy()
        np.testing.assert_array_equal(images["color"][..., 3], np.ceil(255 * covered))
        shaded = locate(geometry, camera, buffer).shade(torch.from_numpy(colors.T)).byte().movedim(0, 2).numpy()
        blocks = shaded.reshape(56, 2, 80, 2, 3).swapaxes(1, 2).reshape(56, 80, 4, 3)
        assert (blocks == images["color"][..., None, :3]).all(axis=3).any(axis=2).all()  # of one of the four pixels
        assert not images["color"][covered == 0].any()
        assert images["depth"].dtype == np.uint16
        depth = np.where(buffer.depth > 0, buffer.depth, np.inf).reshape(56, 2, 80, 2).min(axis=(1, 3))
        depth[np.isinf(depth)] = 0
        np.testing.assert_allclose(images["depth"] / 65535 * 5.0, depth, atol=0.5 * 5 / 65535 + 1e-6)
        assert (images["seg"][:, :39] == sky).all()
        assert (images["seg"][:, 41:] == building).all()
        np.testing.assert_array_equal(images["seg_rgb"], ade20k.colorize(images["seg"]))
        np.testing.assert_allclose(images["reference"][:, :39].reshape(-1, 3), [[200, 40, 60]] * 39 * 56, atol=4)
        np.testing.assert_allclose(images["reference"][:, 41:].reshape(-1, 3), [[20, 180, 90]] * 39 * 56, atol=4)


def test_lighting_is_shaded_as_colors_are(workspace):
    root, _, colors = workspace
    np.save(root / "lighting.npy", colors[:, ::-1])
    run_rasterize(root)
    run_compose(root, lighting=root / "lighting.npy")
    for photo_id in IDS:
        level = load_level(level_path(root / "framebuffers", photo_id))
        lit = level.color[..., 3:].numpy()
        np.testing.assert_array_equal(lit, read_image(root / f"aligned/{photo_id}_color.png")[..., 2::-1])


def test_the_photo_is_averaged_over_areas(workspace):
    """Stripes finer than a pixel become their mean, not a pattern."""
    root, _, _ = workspace
    stripes = np.zeros((96, 160, 3), np.uint8)
    stripes[:, ::2] = 200
    Image.fromarray(stripes).save(root / "mvs/images/0000.jpg", quality=100, subsampling=0)
    np.testing.assert_allclose(undistorted.read_photo(root / "mvs/images/0000.jpg", 80, 48), 100, atol=3)


def test_without_a_segmentation_all_is_unknown(workspace):
    root, _, _ = workspace
    run_rasterize(root)
    run_compose(root, segmentation=False)
    assert not read_image(root / "aligned/0000_seg.png").any()
    np.testing.assert_array_equal(
        read_image(root / "aligned/0000_seg_rgb.png"), ade20k.colorize(np.zeros((56, 80), np.uint8))
    )


def test_composing_again_does_only_what_is_missing(workspace):
    root, _, colors = workspace
    run_rasterize(root)
    run_compose(root)
    before = {path.name: path.stat().st_mtime_ns for path in (root / "aligned").iterdir()}
    (root / "aligned/0001_seg.png").unlink()
    run_compose(root)
    after = {path.name: path.stat().st_mtime_ns for path in (root / "aligned").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {
        f"0001_{kind}.png" for kind in aligned.ALIGNED_KINDS
    }
    color = read_image(root / "aligned/0002_color.png")
    np.save(root / "colors.npy", 255 - colors)  # other colours: everything anew
    run_compose(root)
    changed = read_image(root / "aligned/0002_color.png").astype(int)
    hit = changed[..., 3] > 0
    np.testing.assert_allclose(changed[hit, :3], 255 - color[hit, :3].astype(int), atol=1)


def test_depth_survives_its_encoding():
    depth = np.array([[0, 1e-6, 0.5, 2], [3.99, 4, 0, 1]], np.float32)
    png = encode_depth(depth, max_depth=4.0)
    assert png.dtype == np.uint16
    assert png[1, 1] == 65535
    np.testing.assert_array_equal(png == 0, depth == 0)  # the smallest depth is not mistaken for none
    np.testing.assert_allclose(decode_depth(png, 4.0), depth, atol=4 / 65535)
    assert not encode_depth(np.zeros((2, 2), np.float32), 0.0).any()


def index(root, report):
    """Write the index of the photos in a report."""
    photos = [{"id": photo, "file": f"été/{photo} (1).jpg"} for photo in IDS] + [{"id": "", "file": "broken.jpg"}]
    write_csv(root / "photos.csv", photos, ["id", "file"])
    folders = root / "aligned", root / "framebuffers", root / "mvs"
    index_aligned(*folders, root / "photos.csv", report, max_depth=5.0)


def test_the_folders_hold_what_the_index_names(workspace):
    root, _, _ = workspace
    report = run_rasterize(root)
    run_compose(root)
    (root / "framebuffers/colors.npy").write_bytes(b"of all photos")
    before = {path for folder in ("aligned", "framebuffers") for path in (root / folder).iterdir()}
    index(root, report[:2])  # 0002 is no longer registered
    after = {path for folder in ("aligned", "framebuffers") for path in (root / folder).iterdir()}
    gone = [f"aligned/0002_{kind}.png" for kind in aligned.ALIGNED_KINDS]
    gone += [f"framebuffers/0002_{name}" for name in ("primitive.npy", "depth.npy", "level.npz")]
    assert after == before - {root / name for name in gone} | {root / "aligned/index.csv"}


def test_the_index_gives_back_cameras_and_depths(workspace):
    root, _, _ = workspace
    report = run_rasterize(root)
    index(root, reversed(report))
    with open(root / "aligned/index.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == IDS
    for row, covered in zip(rows, report, strict=True):
        assert row["file"] == f"été/{row['id']} (1).jpg"
        assert float(row["density"]) == covered["density"]
        assert float(row["max_depth"]) == 5.0
        pose = np.array([[float(row[f"cam_from_world_{r}{c}"]) for c in range(4)] for r in range(3)])
        calibration = (float(row[name]) for name in ("fx", "fy", "cx", "cy"))
        camera = Camera(int(row["width"]), int(row["height"]), *calibration, pose)
        buffer = load_buffer(root / "framebuffers", row["id"])
        assert torch.equal(drawn(root, camera)[2].primitive, buffer.primitive)
