"""The ground plane of a square whose paving only a strip of the depth maps shows."""

import numpy as np
import pytest
from mvs_scene import level_camera, square, surface_points, write_workspace
from PIL import Image
from plaza_scene import MATCHED, surfaces, write_plaza

from nrw.core.ade20k import label_of
from nrw.core.errors import UserError
from nrw.core.io import read_json, write_image
from nrw.geometry.pointcloud import read_cloud
from nrw.mvs.fuse import fuse_depths
from nrw.mvs.ground import write_ground_maps
from nrw.mvs.workspace import Workspace, read_map, write_map

SIDEWALK, BUILDING = label_of("sidewalk"), label_of("building")
STRIP = (8, 11)  # metres ahead between which the ground was matched


@pytest.fixture
def workspace(tmp_path):
    """Maps of the house, and of the ground in a strip only; labels; photos that are red where the ground is."""
    cameras = {f"{number:04d}": level_camera(0.5 * number - 1, 0, 1.6) for number in range(5)}
    pictures = {photo_id: np.full((camera.height, camera.width), 90, np.uint8) for photo_id, camera in cameras.items()}
    points = surface_points(cameras["0002"], depth_of=square)
    write_workspace(tmp_path, cameras, pictures, points[points[:, 1] > 13.9])
    workspace = Workspace(tmp_path)
    for photo_id, camera in cameras.items():
        truth = square(camera)
        ground = truth < 13.9
        depth = np.where(ground & ((truth < STRIP[0]) | (truth > STRIP[1])), 0, truth).astype(np.float32)
        write_map(workspace.depth_map(photo_id, "geometric"), depth)
        normals = np.where(ground[..., None], camera.rotation @ [0, 0, 1.0], camera.rotation @ [0, -1.0, 0])
        write_map(workspace.normal_map(photo_id, "geometric"), np.where(depth[..., None] > 0, normals, 0))
        write_image(tmp_path / f"segmentation/{photo_id}.png", np.where(ground, SIDEWALK, BUILDING).astype(np.uint8))
        picture = np.where(ground[..., None], [200, 40, 40], [90, 90, 90]).astype(np.uint8)
        Image.fromarray(picture).save(workspace.image(photo_id), quality=97)
    return workspace


def fused(workspace, **options):
    out = workspace.root / "cloud.ply"
    fuse_depths(
        workspace.root,
        out,
        None,
        out.with_suffix(".json"),
        min_views=3,
        segmentation_dir=workspace.root / "segmentation",
        **options,
    )
    return read_cloud(out)


def test_ground_that_no_photo_matched_gets_points_of_the_plane(workspace):
    before = {path: path.read_bytes() for path in workspace.stereo.rglob("*") if path.is_file()}
    without, cloud = fused(workspace), fused(workspace, ground=[SIDEWALK])
    near = cloud.points[:, 1] < STRIP[0] - 0.5
    assert not (without.points[:, 1] < STRIP[0] - 0.5).any()
    assert near.sum() > 2000
    assert read_json(workspace.root / "cloud.json")["loose_points"] > near.sum()
    np.testing.assert_allclose(cloud.points[near, 2], 0, atol=1e-3)
    np.testing.assert_allclose(cloud.normals[near] @ [0, 0, 1], 1, atol=1e-3)
    assert np.abs(np.median(cloud.colors[near], axis=0) - [200, 40, 40]).max() < 8
    house = cloud.points[:, 2] > 0.2
    np.testing.assert_allclose(cloud.points[house, 1], 14, rtol=1e-3)  # and nothing of it on the plane behind
    assert {path: path.read_bytes() for path in workspace.stereo.rglob("*") if path.is_file()} == before


def test_without_a_plane_the_maps_are_fused_as_they_are(workspace):
    for photo_id, camera in workspace.cameras.items():  # no ground was matched at all
        depth = read_map(workspace.depth_map(photo_id, "geometric"))
        write_map(workspace.depth_map(photo_id, "geometric"), np.where(square(camera) < 13.9, 0, depth))
    np.testing.assert_array_equal(fused(workspace, ground=[SIDEWALK]).points, fused(workspace).points)


def test_label_maps_that_do_not_fit_are_named(workspace):
    write_image(workspace.root / "segmentation/0001.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(UserError, match=r"0001.png: \(5, 5\) pixels"):
        fused(workspace, ground=[SIDEWALK])


def test_a_wall_taken_for_ground_leaves_no_points_behind_it(workspace, monkeypatch):
    for photo_id in ("0001", "0003"):  # neither depth nor the right label of the house, beneath the horizon
        camera = workspace.cameras[photo_id]
        wall = (square(camera) > 13.9) & (np.arange(camera.height)[:, None] > camera.height / 4)
        depth = read_map(workspace.depth_map(photo_id, "geometric"))
        write_map(workspace.depth_map(photo_id, "geometric"), np.where(wall, 0, depth))
        labels = np.where(wall | (square(camera) < 13.9), SIDEWALK, BUILDING).astype(np.uint8)
        write_image(workspace.root / f"segmentation/{photo_id}.png", labels)
    assert fused(workspace, ground=[SIDEWALK]).points[:, 1].max() < 14 / 0.9 + 0.1
    monkeypatch.setattr("nrw.mvs.fuse.in_the_open", lambda *a: np.ones(len(a[-1]), bool))
    assert fused(workspace, ground=[SIDEWALK]).points[:, 1].max() > 20


def maps_of_the_ground(workspace, segmentation_dir, ground):
    """The folder `ground` beside the workspace's maps, and whether there is a plane."""
    out = workspace.root.parent / "ground"
    for name in ("stereo/depth_maps", "stereo/normal_maps"):
        (out / name).mkdir(parents=True)
    for name in ("images", "sparse"):
        (out / name).symlink_to(workspace.root / name)
    return Workspace(out), write_ground_maps(workspace, segmentation_dir, ground, Workspace(out))


def test_without_labels_the_ground_is_where_the_photos_agree(tmp_path):
    workspace = write_plaza(tmp_path / "mvs")
    out, found = maps_of_the_ground(workspace, None, [])
    assert found
    for photo_id in ("0001", "0002", "0003"):
        camera = workspace.cameras[photo_id]
        truth, house = surfaces(camera)
        depth = read_map(out.depth_map(photo_id, "geometric"))
        assert not depth[house | (truth == 0)].any()
        near = ~house & (truth > 3) & (truth < MATCHED[0])
        assert (depth[near] > 0).mean() > 0.8
        np.testing.assert_allclose(depth[depth > 0], truth[depth > 0], rtol=5e-3)
        own = read_map(workspace.depth_map(photo_id, "geometric")) > 0
        assert not depth[own].any()
        normals = read_map(out.normal_map(photo_id, "geometric"))
        np.testing.assert_allclose(normals[depth > 0] @ camera.rotation[:, 2], 1, atol=1e-3)


def test_without_labels_and_without_matched_ground_there_is_none(tmp_path):
    workspace = write_plaza(tmp_path / "mvs")
    for photo_id, camera in workspace.cameras.items():
        depth = read_map(workspace.depth_map(photo_id, "geometric"))
        write_map(workspace.depth_map(photo_id, "geometric"), np.where(surfaces(camera)[1], depth, 0))
    out, found = maps_of_the_ground(workspace, None, [])
    assert not found and not list((out.stereo / "depth_maps").iterdir())
