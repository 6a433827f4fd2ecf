"""Fusion of maps of rendered planes into a cloud."""

import numpy as np
import pytest
from mvs_scene import (
    CENTERS,
    FOCAL,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    camera_at,
    noise_texture,
    render,
    surface_points,
    wall,
    write_workspace,
)

from nrw.core.errors import UserError
from nrw.core.io import read_json
from nrw.geometry.pointcloud import read_cloud, spacing
from nrw.mvs.fuse import fuse_depths
from nrw.mvs.geometric import PASSES, match_with_neighbours
from nrw.mvs.photometric import photometric_depths
from nrw.mvs.workspace import Workspace, write_map


def test_fusion_lies_on_the_planes_and_sparse_points_fill_holes(scene, tmp_path):
    fuse_depths(scene.mvs, tmp_path / "cloud.ply", None, tmp_path / "summary.json", min_views=3)
    cloud, summary = read_cloud(tmp_path / "cloud.ply"), read_json(tmp_path / "summary.json")
    assert summary["points"] == len(cloud.points) == summary["loose_points"] + summary["sparse_points"]
    assert summary["surface_points"] == summary["triangles"] == 0
    np.testing.assert_array_equal(cloud.stored_spacing, spacing(cloud.points))
    assert summary["loose_points"] > 5000
    assert summary["photos_without_depth"] == ["0005"]
    assert summary["photos"]["0000"]["coverage"] > 0.7
    own = [Workspace(scene.mvs).read_report(photo_id)["coverage"] for photo_id in scene.cameras]
    kept = [photo["coverage"] for photo in summary["photos"].values()]
    assert 0 < summary["unconfirmed"] < 0.5 and summary["unconfirmed"] == pytest.approx(
        1 - sum(kept) / sum(own), abs=1e-3
    )
    assert summary["photos"]["0000"]["seconds"] > 0
    assert "sparse points" in summary["photos"]["0005"]["problem"]
    x, z = cloud.points[:, 0], cloud.points[:, 2]
    off = np.abs(z - np.maximum(5 - 0.5 * x, 5 + 0.3 * x)) / z
    assert np.median(off) < 0.002 and np.mean(off < 0.01) > 0.98
    for side, (normal, _) in ((x < -0.3, LEFT), (x > 0.3, RIGHT)):
        cosine = cloud.normals[side] @ (-normal / np.linalg.norm(normal))
        assert np.median(np.degrees(np.arccos(np.clip(cosine, -1, 1)))) < 6
    # the test's sparse points are red, all else is gray
    red = np.ptp(cloud.colors.astype(int), axis=1) > 100
    assert summary["sparse_points"] == red.sum()
    photos = list(scene.cameras.values())[:5]
    for point in cloud.points[red]:
        gap = np.linalg.norm(cloud.points[~red] - point, axis=1).min()
        assert gap > 4.9 * min(camera.project(point[None])[1][0] for camera in photos) / FOCAL


def test_fused_points_are_where_the_pixel_centres_look(tmp_path):
    """One photo's map, nothing to average it with: not half a pixel beside, as COLMAP's fusion by itself has them."""
    cameras = {"0000": camera_at((0, 0, 0)), "0001": camera_at((0.01, 0, 0))}
    pictures = {photo_id: np.full((HEIGHT, WIDTH), 90, np.uint8) for photo_id in cameras}
    write_workspace(tmp_path, cameras, pictures, np.zeros((0, 3)))
    workspace, camera = Workspace(tmp_path), cameras["0000"]
    for photo_id, depth in (("0000", wall(camera)), ("0001", np.zeros((HEIGHT, WIDTH)))):
        write_map(workspace.depth_map(photo_id, "geometric"), depth)
        write_map(workspace.normal_map(photo_id, "geometric"), np.tile([0.0, 0, -1], (HEIGHT, WIDTH, 1)))
    fuse_depths(tmp_path, tmp_path / "cloud.ply", None, tmp_path / "summary.json", min_views=1)
    uv, _ = camera.project(read_cloud(tmp_path / "cloud.ply").points)
    assert len(uv) > 0.9 * WIDTH * HEIGHT
    np.testing.assert_allclose(uv % 1, 0.5, atol=1e-3)


def test_point_colors_are_of_most_photos_not_of_one(tmp_path):
    """A dark, a bright and three usual exposures of one wall: its points have the usual one's gray."""
    gains = dict(zip(("0000", "0001", "0002", "0003", "0004"), (0.4, 1.0, 1.0, 1.5, 1.0), strict=True))
    cameras = {photo_id: camera_at(center) for photo_id, center in zip(gains, CENTERS, strict=True)}
    texture = noise_texture(5, finest=8)
    pictures = {
        photo_id: render(
            camera, lambda points, gain=gains[photo_id]: gain * (0.4 * texture(points) + 60), depth_of=wall
        )
        for photo_id, camera in cameras.items()
    }
    write_workspace(tmp_path / "mvs", cameras, pictures, surface_points(camera_at((0, 0, -0.2)), depth_of=wall))
    workspace = Workspace(tmp_path / "mvs")
    for photo_id, camera in cameras.items():
        write_map(workspace.depth_map(photo_id, "geometric"), wall(camera))
        write_map(workspace.normal_map(photo_id, "geometric"), np.full((HEIGHT, WIDTH, 3), [0.0, 0.0, -1.0]))
    fuse_depths(workspace.root, tmp_path / "cloud.ply", None, tmp_path / "summary.json", min_views=5)
    cloud = read_cloud(tmp_path / "cloud.ply")
    gray = cloud.colors[np.ptp(cloud.colors.astype(int), axis=1) < 100].mean(1)  # the sparse points are red
    expected = 0.4 * texture(cloud.points[np.ptp(cloud.colors.astype(int), axis=1) < 100].astype(float)) + 60
    assert len(gray) > 4500
    assert np.median(np.abs(gray / expected - 1)) < 0.03


def test_fusing_nothing_is_an_error(scene, tmp_path):
    root = tmp_path / "mvs"
    texture = noise_texture()
    cameras = {"0000": camera_at(CENTERS[0]), "0001": camera_at(CENTERS[1])}
    write_workspace(
        root, cameras, {photo_id: render(camera, texture, 1) for photo_id, camera in cameras.items()}, np.zeros((0, 3))
    )
    photometric_depths(root, None, ["0000", "0001"], sources=1)
    for kind in PASSES:
        match_with_neighbours(root, None, ["0000", "0001"], root / f"{kind}.key", kind, sources=1, min_views=2)
    with pytest.raises(UserError, match="min_views"):
        fuse_depths(root, tmp_path / "cloud.ply", None, tmp_path / "summary.json", min_views=2)


def test_the_cloud_begins_with_the_surface(scene, tmp_path):
    paths = (tmp_path / "cloud.ply", tmp_path / "surface.ply", tmp_path / "summary.json")
    fuse_depths(scene.mvs, *paths, min_views=3)
    cloud, surface, summary = read_cloud(paths[0]), read_cloud(paths[1]), read_json(paths[2])
    assert summary["triangles"] == len(surface.faces) > 1000
    assert summary["points"] == summary["surface_points"] + summary["loose_points"] + summary["sparse_points"]
    np.testing.assert_array_equal(cloud.points[: len(surface)], surface.points)
    np.testing.assert_array_equal(cloud.faces, surface.faces)
    x, z = surface.points[:, 0], surface.points[:, 2]
    off = np.abs(z - np.maximum(5 - 0.5 * x, 5 + 0.3 * x)) / z
    assert np.median(off) < 0.002 and np.mean(off < 0.01) > 0.98
    assert np.ptp(surface.colors.astype(int), axis=1).max() < 100  # gray, as the photos are
