"""Dense stereo on rendered planes with known depth, its steps against brute force, and bad input."""

import itertools
import os
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pycolmap
import pytest
import torch
from PIL import Image
from scipy.sparse import csr_array

from nrw.core.errors import UserError
from nrw.core.io import read_json, write_image
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import read_cloud
from nrw.mvs import colmap, sgm
from nrw.mvs.colmap import estimate_depths_colmap
from nrw.mvs.consensus import modes, seen_from
from nrw.mvs.consistency import agrees
from nrw.mvs.fuse import fuse
from nrw.mvs.geometric import PASSES, match_again
from nrw.mvs.matcher import GEOMETRIC_WEIGHT, GeometricMatcher, Matcher
from nrw.mvs.photometric import estimate_depths
from nrw.mvs.planes import fit_planes, normals_from_depth
from nrw.mvs.sources import SparseScene, read_sparse, select_sources
from nrw.mvs.undistort import undistort
from nrw.mvs.views import View
from nrw.mvs.workspace import Workspace, read_map, write_map

SKY = 3
WIDTH, HEIGHT, FOCAL = 160, 120, 170.0
# planes n.X = d that meet at x = 0; the world is the first camera: z = 5 - 0.5 x on the left, 5 + 0.3 x on the right
LEFT, RIGHT = (np.array([0.5, 0.0, 1.0]), 5.0), (np.array([-0.3, 0.0, 1.0]), 5.0)
CENTERS = np.array([[0, 0, 0], [0.45, 0.02, 0], [-0.45, 0, 0.05], [0.2, 0.4, 0], [-0.2, -0.4, 0.05]], float)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def camera_at(center):
    return Camera(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, np.c_[np.eye(3), -np.asarray(center)])


def rays_of(camera):
    """(H, W, 3), of length 1 along the optical axis."""
    rays = camera.ray_directions().astype(float)
    return rays / (rays @ camera.rotation[2])[..., None]


def depth_of_plane(camera, normal, distance):
    """(H, W): z in the camera, where its rays meet the plane n.X = d."""
    return (distance - normal @ camera.center) / (rays_of(camera) @ normal)


def true_depth(camera):
    """(H, W): the nearer of the two planes (the ridge is convex)."""
    return np.maximum(*(depth_of_plane(camera, *plane) for plane in (LEFT, RIGHT)))


def render(camera, texture, factor=3, depth_of=true_depth):
    """(H, W) uint8: texture(points) on the surface, `factor` rays a pixel and axis."""
    fine = camera.resized(camera.width * factor, camera.height * factor)
    points = camera.center + rays_of(fine) * depth_of(fine)[..., None]
    grey = texture(points).reshape(camera.height, factor, camera.width, factor).mean((1, 3))
    return np.clip(grey, 0, 255).round().astype(np.uint8)


def noise_texture(seed=0, finest=40):
    """A function of (..., 3) points: smooth noise in x and y of several wave lengths, grey in 0..255."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(60, 2)) * np.exp(rng.uniform(np.log(finest / 10), np.log(finest), (60, 1)))
    phases = rng.uniform(0, 2 * np.pi, 60)
    return lambda points: 128 + 13 * np.cos(points[..., :2] @ waves.T + phases).sum(-1)


@dataclass
class Scene:
    mvs: object
    cameras: dict
    ids: list


def write_workspace(root, cameras, pictures, points):
    """A dense workspace: `pictures` (H, W) uint8, and the sparse points that each camera has in its image."""
    (root / "images").mkdir(parents=True)
    (root / "sparse").mkdir()
    (root / "stereo/depth_maps").mkdir(parents=True)
    (root / "stereo/normal_maps").mkdir()
    model = pycolmap.Reconstruction()
    tracks = [pycolmap.Track() for _ in points]
    for number, (photo, camera) in enumerate(cameras.items(), 1):
        parameters = [camera.fx, camera.fy, camera.cx, camera.cy]
        model.add_camera_with_trivial_rig(
            pycolmap.Camera(
                model="PINHOLE", width=camera.width, height=camera.height, params=parameters, camera_id=number
            )
        )
        pixels, depth = camera.project(points)
        inside = (depth > 0) & (pixels > 0).all(1) & (pixels < [camera.width, camera.height]).all(1)
        observed = np.flatnonzero(inside)
        for place, point in enumerate(observed):
            tracks[point].add_element(number, place)
        image = pycolmap.Image(name=f"{photo}.jpg", keypoints=pixels[observed], camera_id=number, image_id=number)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(camera.cam_from_world))
        Image.fromarray(pictures[photo]).convert("RGB").save(root / f"images/{photo}.jpg", quality=97)
    for point, track in zip(points, tracks, strict=True):
        if track.length() >= 2:
            model.add_point3D(point, track, np.array([200, 10, 10], np.uint8))
    model.write(str(root / "sparse"))
    (root / "stereo/fusion.cfg").write_text("".join(f"{photo}.jpg\n" for photo in cameras))


def surface_points(camera, step=9, depth_of=true_depth):
    return (camera.center + rays_of(camera) * depth_of(camera)[..., None])[::step, ::step].reshape(-1, 3)


def seen_by(cameras, points):
    """(N,) how many of the cameras have (N, 3) points in their picture, 3 pixels from its border."""
    count = np.zeros(len(points), int)
    for camera in cameras:
        pixels, _ = camera.project(points)
        count += ((pixels > 3) & (pixels < [camera.width - 3, camera.height - 3])).all(1)
    return count


def errors_of(root, photo, camera, depth_of):
    """Share of the photo's inner pixels with a depth, and these depths' relative errors."""
    depth = read_map(Workspace(root).depth_map(photo, "photometric"))[8:-8, 8:-8]
    truth = depth_of(camera)[8:-8, 8:-8]
    return np.mean(depth > 0), np.abs(depth / truth - 1)[depth > 0]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Five photos of the ridge and one that faces away; depth estimated once, with a strip of sky in photo 0001."""
    root = tmp_path_factory.mktemp("scene")
    texture = noise_texture()
    cameras = {f"{number:04d}": camera_at(center) for number, center in enumerate(CENTERS)}
    pictures = {photo: render(camera, texture) for photo, camera in cameras.items()}
    turned = np.diag([-1.0, 1.0, -1.0])
    cameras["0005"] = Camera(90, 130, 100, 100, 45, 65, np.c_[turned, np.zeros(3)])
    pictures["0005"] = np.full((130, 90), 90, np.uint8)
    write_workspace(root / "mvs", cameras, pictures, surface_points(camera_at((0, 0, -0.2))))
    for photo, picture in pictures.items():
        labels = np.ones(picture.shape, np.uint8)
        labels[:20] = SKY if photo == "0001" else 1
        write_image(root / f"segmentation/{photo}.png", labels)
    scene = Scene(root / "mvs", cameras, list(cameras))
    estimate(scene)
    geometric_passes(scene)
    return scene


def estimate(scene, ids=None, sources=4, **options):
    segmentation = scene.mvs.parent / "segmentation"
    estimate_depths(scene.mvs, segmentation, ids or scene.ids, sources=sources, masked={SKY}, **options)


def geometric_passes(scene, min_views=3, kinds=tuple(PASSES)):
    for kind in kinds:
        match_again(
            *(scene.mvs, scene.mvs.parent / "segmentation", scene.ids, kind),
            **{"sources": 4, "min_views": min_views, "masked": {SKY}},
        )


def depth_of(scene, photo, kind="photometric"):
    return read_map(Workspace(scene.mvs).depth_map(photo, kind))


@pytest.mark.parametrize("photo", ["0000", "0003"])
def test_depth_of_slanted_planes(scene, photo):
    camera = scene.cameras[photo]
    truth, points = true_depth(camera), surface_points(camera, 1)
    seen = seen_by([scene.cameras[other] for other in scene.ids[:5]], points).reshape(truth.shape) >= 3
    assert seen.mean() > 0.8
    for kind, coverage, close in (("photometric", 0.97, 0.95), ("geometric", 0.9, 0.98)):
        depth = depth_of(scene, photo, kind)
        found = seen & (depth > 0)
        assert found.sum() > coverage * seen.sum()
        error = np.abs(depth[found] / truth[found] - 1)
        assert np.median(error) < 0.002
        assert np.mean(error < 0.02) > close  # a pixel of disparity is 6 % here


def test_normals_of_slanted_planes(scene):
    normals = read_map(Workspace(scene.mvs).normal_map("0000", "geometric"))
    for columns, (normal, _) in ((slice(15, 65), LEFT), (slice(95, 145), RIGHT)):
        some = normals[20:-20, columns].reshape(-1, 3)
        some = some[np.abs(some).sum(1) > 0]
        cosine = some @ (-normal / np.linalg.norm(normal))  # the camera looks along +z
        assert np.median(np.degrees(np.arccos(np.clip(cosine, -1, 1)))) < 5


def wall(camera):
    return depth_of_plane(camera, np.array([0.0, 0.0, 1.0]), 5.0)


def test_a_planar_scene_from_cameras_in_a_line_and_photos_of_different_sizes(tmp_path):
    """Nothing but one wall; all cameras on one line; landscape, portrait, and a photo of half the resolution."""
    texture = noise_texture(3)
    cameras = {f"{number:04d}": camera_at((0.3 * number - 0.6, 0, 0)) for number in range(5)}
    cameras["0001"] = Camera(104, 140, FOCAL, FOCAL, 52, 70, cameras["0001"].cam_from_world)
    cameras["0003"] = cameras["0003"].resized(WIDTH // 2, HEIGHT // 2)
    pictures = {photo: render(camera, texture, depth_of=wall) for photo, camera in cameras.items()}
    write_workspace(tmp_path, cameras, pictures, surface_points(camera_at((0, 0, -0.2)), depth_of=wall))
    estimate_depths(tmp_path, None, ["0001", "0002", "0003"], sources=4)
    for photo, error in (("0001", 0.003), ("0002", 0.003), ("0003", 0.015)):  # a pixel of disparity: 5 %, 5 %, 10 %
        coverage, errors = errors_of(tmp_path, photo, cameras[photo], wall)
        assert coverage > 0.8
        assert np.median(errors) < error


def level_camera(x, y, height):
    """At eye height, looking along the world's y; z is up."""
    rotation = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return Camera(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 4, np.c_[rotation, -rotation @ [x, y, height]])


def square(camera):
    """(H, W) depth of a level square with a house at its far side, y = 14."""
    ground = depth_of_plane(camera, np.array([0.0, 0, 1]), 0.0)
    house = depth_of_plane(camera, np.array([0.0, 1, 0]), 14.0)
    return np.where((ground > 0) & (ground < house), ground, house)


def test_ground_at_a_grazing_angle(tmp_path):
    """At 12 m a pixel's depth differs by 5 % from the next one's: no surface that faces the camera does that."""
    flat = noise_texture(4, finest=14)
    texture = lambda points: np.where(points[..., 2] < 0.01, flat(points), flat(points[..., [0, 2]]))  # noqa: E731
    stations = ((0, 0), (1.2, 0.3), (-1.2, -0.2), (0.6, -0.9), (-0.5, 0.9))
    cameras = {f"{number:04d}": level_camera(x, y, 1.6 + 0.05 * number) for number, (x, y) in enumerate(stations)}
    pictures = {photo: render(camera, texture, 4, square) for photo, camera in cameras.items()}
    write_workspace(tmp_path, cameras, pictures, surface_points(cameras["0000"], depth_of=square))
    estimate_depths(tmp_path, None, list(cameras), sources=4)
    for kind in PASSES:
        match_again(tmp_path, None, list(cameras), kind, sources=4, min_views=3)
    camera = cameras["0000"]
    truth = square(camera)
    depth = read_map(Workspace(tmp_path).depth_map("0000", "geometric"))
    ground = truth < 13.5
    grazing = ground & (truth > 8)
    seen = seen_by(list(cameras.values()), surface_points(camera, 1, square)).reshape(truth.shape) >= 3
    assert (seen & grazing).sum() > 800
    # planes that face the camera alone: 39 % and 15 %, errors of 0.3 % and 1.2 %
    for part, share, error in ((seen & ground, 0.75, 0.002), (seen & grazing, 0.35, 0.007)):
        found = part & (depth > 0)
        assert found.sum() > share * part.sum()
        assert np.median(np.abs(depth / truth - 1)[found]) < error
    normals = read_map(Workspace(tmp_path).normal_map("0000", "geometric"))[ground & (depth > 0)]
    up = normals @ camera.rotation[:, 2]
    assert np.median(np.degrees(np.arccos(np.clip(up, -1, 1)))) < 3


def test_masked_pixels_get_no_depth(scene):
    for kind in ("photometric", "geometric"):
        depth = depth_of(scene, "0001", kind)
        assert not depth[:20].any()
        assert np.mean(depth[24:-8, 8:-8] > 0) > 0.8
    confidence = read_map(Workspace(scene.mvs).confidence_map("0001"))
    assert not confidence[:20].any() and 0 < confidence[20:].mean() <= 1


def test_masked_sources_do_not_match():
    """A reference whose only source is masked on its left half scores 0 there and 1 on the right."""
    picture = torch.from_numpy(np.random.default_rng(0).random((40, 60), np.float32))
    usable = torch.ones(40, 60)
    camera = Camera(60, 40, 50.0, 50.0, 30.0, 20.0, np.eye(3, 4))
    masked = usable.clone()
    masked[:, :30] = 0
    matcher = Matcher(View(picture, usable, camera), [View(picture, masked, camera)], best=1, radius=2)
    score = matcher.score(torch.ones(1, 40, 60))[0]
    assert not score[:, :30].any()
    assert (score[:, 30:] > 0.99).all()


def test_a_photo_without_sources_gets_an_empty_map_and_the_run_goes_on(scene):
    report = read_json(Workspace(scene.mvs).report("0005"))
    assert "sparse points" in report["problem"] and report["coverage"] == 0
    depth = depth_of(scene, "0005")
    assert depth.shape == (130, 90) and not depth.any()


def test_an_all_sky_photo_is_reported(scene):
    labels = scene.mvs.parent / "segmentation/0004.png"
    before = labels.read_bytes()
    write_image(labels, np.full((HEIGHT, WIDTH), SKY, np.uint8))
    estimate(scene, ["0004"])
    assert "masked" in read_json(Workspace(scene.mvs).report("0004"))["problem"]
    assert not depth_of(scene, "0004").any()
    labels.write_bytes(before)
    estimate(scene, ["0004"])  # the label map is newer than the depth map: done again
    assert depth_of(scene, "0004").any()


def test_resume_keeps_whole_maps_and_redoes_truncated_ones(scene):
    workspace = Workspace(scene.mvs)
    kept, cut = workspace.depth_map("0000", "photometric"), workspace.normal_map("0002", "photometric")
    whole = cut.read_bytes()
    kept_time = kept.stat().st_mtime_ns
    cut.write_bytes(whole[: len(whole) // 2])
    assert not workspace.is_whole(cut, "0002", 3)
    estimate(scene, ["0000", "0002"])
    assert kept.stat().st_mtime_ns == kept_time
    assert cut.read_bytes() == whole


def test_a_damaged_map_is_left_out_reported_and_recomputed(scene, tmp_path):
    workspace = Workspace(scene.mvs)
    cut = workspace.depth_map("0002", "photometric")
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-5])
    geometric_passes(scene)
    assert not depth_of(scene, "0002", "geometric").any()
    assert depth_of(scene, "0000", "geometric").any()
    fuse(scene.mvs, tmp_path / "cloud.ply", tmp_path / "summary.json", min_views=3)
    summary = read_json(tmp_path / "summary.json")
    assert "0002" in summary["photos_without_depth"]
    assert "damaged" in summary["photos"]["0002"]["problem"]
    workspace.report("0000").write_text('{"settings": {"sour')
    estimate(scene, ["0000", "0002"])
    assert cut.read_bytes() == whole
    assert workspace.read_report("0002")["problem"] is None and workspace.read_report("0000")["seconds"] > 0
    geometric_passes(scene)


def test_resume_redoes_maps_of_other_settings(scene):
    path = Workspace(scene.mvs).depth_map("0002", "photometric")
    before = path.read_bytes()
    estimate(scene, ["0002"], sources=2)
    assert path.read_bytes() != before
    estimate(scene, ["0002"])
    assert path.read_bytes() == before


def test_fusion_lies_on_the_planes_and_sparse_points_fill_holes(scene, tmp_path):
    fuse(scene.mvs, tmp_path / "cloud.ply", tmp_path / "summary.json", min_views=3)
    cloud, summary = read_cloud(tmp_path / "cloud.ply"), read_json(tmp_path / "summary.json")
    assert summary["points"] == len(cloud.points) == summary["dense_points"] + summary["sparse_points"]
    assert summary["ground_points"] == 0
    assert summary["dense_points"] > 5000
    assert summary["photos_without_depth"] == ["0005"]
    assert summary["photos"]["0000"]["coverage"] > 0.7
    assert summary["photos"]["0000"]["seconds"] > 0
    assert "sparse points" in summary["photos"]["0005"]["problem"]
    x, z = cloud.points[:, 0], cloud.points[:, 2]
    off = np.abs(z - np.maximum(5 - 0.5 * x, 5 + 0.3 * x)) / z
    assert np.median(off) < 0.002 and np.mean(off < 0.01) > 0.98
    for side, (normal, _) in ((x < -0.3, LEFT), (x > 0.3, RIGHT)):
        cosine = cloud.normals[side] @ (-normal / np.linalg.norm(normal))
        assert np.median(np.degrees(np.arccos(np.clip(cosine, -1, 1)))) < 6
    # the test's sparse points are red, all else is grey
    red = np.ptp(cloud.colors.astype(int), axis=1) > 100
    assert summary["sparse_points"] == red.sum()
    photos = list(scene.cameras.values())[:5]
    for point in cloud.points[red]:
        gap = np.linalg.norm(cloud.points[~red] - point, axis=1).min()
        assert gap > 4.9 * min(camera.project(point[None])[1][0] for camera in photos) / FOCAL


def test_fused_points_are_where_the_pixel_centres_look(tmp_path):
    """One photo's map, nothing to average it with: not half a pixel beside, as COLMAP's fusion by itself has them."""
    cameras = {"0000": camera_at((0, 0, 0)), "0001": camera_at((0.01, 0, 0))}
    pictures = {photo: np.full((HEIGHT, WIDTH), 90, np.uint8) for photo in cameras}
    write_workspace(tmp_path, cameras, pictures, np.zeros((0, 3)))
    workspace, camera = Workspace(tmp_path), cameras["0000"]
    for photo, depth in (("0000", wall(camera)), ("0001", np.zeros((HEIGHT, WIDTH)))):
        write_map(workspace.depth_map(photo, "geometric"), depth)
        write_map(workspace.normal_map(photo, "geometric"), np.tile([0.0, 0, -1], (HEIGHT, WIDTH, 1)))
    fuse(tmp_path, tmp_path / "cloud.ply", tmp_path / "summary.json", min_views=1)
    pixels, _ = camera.project(read_cloud(tmp_path / "cloud.ply").points)
    assert len(pixels) > 0.9 * WIDTH * HEIGHT
    np.testing.assert_allclose(pixels % 1, 0.5, atol=1e-3)


def test_point_colours_are_of_most_photos_not_of_one(tmp_path):
    """A dark, a bright and three usual exposures of one wall: its points have the usual one's grey."""
    gains = dict(zip(("0000", "0001", "0002", "0003", "0004"), (0.4, 1.0, 1.0, 1.5, 1.0), strict=True))
    cameras = {photo: camera_at(center) for photo, center in zip(gains, CENTERS, strict=True)}
    texture = noise_texture(5, finest=8)
    pictures = {
        photo: render(camera, lambda points, gain=gains[photo]: gain * (0.4 * texture(points) + 60), depth_of=wall)
        for photo, camera in cameras.items()
    }
    write_workspace(tmp_path / "mvs", cameras, pictures, surface_points(camera_at((0, 0, -0.2)), depth_of=wall))
    workspace = Workspace(tmp_path / "mvs")
    for photo, camera in cameras.items():
        write_map(workspace.depth_map(photo, "geometric"), wall(camera))
        write_map(workspace.normal_map(photo, "geometric"), np.full((HEIGHT, WIDTH, 3), [0.0, 0.0, -1.0]))
    fuse(workspace.root, tmp_path / "cloud.ply", tmp_path / "summary.json", min_views=5)
    cloud = read_cloud(tmp_path / "cloud.ply")
    grey = cloud.colors[np.ptp(cloud.colors.astype(int), axis=1) < 100].mean(1)  # the sparse points are red
    expected = 0.4 * texture(cloud.points[np.ptp(cloud.colors.astype(int), axis=1) < 100].astype(float)) + 60
    assert len(grey) > 4500
    assert np.median(np.abs(grey / expected - 1)) < 0.03


def test_fusing_nothing_is_an_error(scene, tmp_path):
    root = tmp_path / "mvs"
    texture = noise_texture()
    cameras = {"0000": camera_at(CENTERS[0]), "0001": camera_at(CENTERS[1])}
    write_workspace(
        root, cameras, {photo: render(camera, texture, 1) for photo, camera in cameras.items()}, np.zeros((0, 3))
    )
    estimate_depths(root, None, ["0000", "0001"], sources=1)
    for kind in PASSES:
        match_again(root, None, ["0000", "0001"], kind, sources=1, min_views=2)
    with pytest.raises(UserError, match="min_views"):
        fuse(root, tmp_path / "cloud.ply", tmp_path / "summary.json", min_views=2)


def test_consistency_keeps_what_others_confirm():
    here, there = camera_at((0, 0, 0)), camera_at((0.5, 0, 0))
    depth, other = true_depth(here).astype(np.float32), true_depth(there).astype(np.float32)
    wrong = depth.copy()
    wrong[40:60, 60:100] *= 1.05
    wrong[80:, :] = 0
    normals = normals_from_depth(torch.from_numpy(other), there).numpy()
    agree = agrees(wrong, here, other, normals, there, max_pixels=2, max_relative=0.01)
    assert not agree[40:60, 60:100].any()
    assert not agree[80:].any()
    pixels, _ = there.project(surface_points(here, 1))
    seen = ((pixels > 1) & (pixels < [WIDTH - 1, HEIGHT - 1])).all(1).reshape(HEIGHT, WIDTH)
    assert agree[:40][seen[:40]].all()
    assert not agrees(depth, here, np.zeros_like(other), np.zeros_like(normals), there, 2, 0.01).any()


def test_min_views_counts_the_photo_itself(scene):
    shares = []
    for min_views in (1, 2, 5, 6):
        geometric_passes(scene, min_views, ["geometric"])
        shares.append(np.count_nonzero(depth_of(scene, "0000", "geometric")) / (WIDTH * HEIGHT))
    geometric_passes(scene)
    assert shares[0] > 0.95
    assert shares[0] > shares[1] > shares[2] > 0
    assert shares[3] == 0  # five photos look at the ridge


def test_neighbours_fill_what_a_photo_failed_at(scene):
    """A third of a photo's own map is missing, a third wrong: both passes bring back the ridge."""
    workspace, camera = Workspace(scene.mvs), scene.cameras["0000"]
    path, truth = workspace.depth_map("0000", "photometric"), true_depth(camera)
    whole = path.read_bytes()
    depth = read_map(path)
    depth[:40], depth[40:80] = 0, 0.8 * truth[40:80]
    write_map(path, depth)
    geometric_passes(scene)
    found = depth_of(scene, "0000", "geometric")
    path.write_bytes(whole)
    geometric_passes(scene)
    points = surface_points(camera, 1)
    seen = seen_by([scene.cameras[other] for other in scene.ids[1:5]], points).reshape(truth.shape) >= 3
    for rows in (slice(8, 40), slice(40, 80)):
        there = seen[rows] & (found[rows] > 0)
        assert there.sum() > 0.85 * seen[rows].sum()
        assert np.mean(np.abs(found[rows] / truth[rows] - 1)[there] < 0.02) > 0.95


def test_a_photo_is_shown_the_surface_of_another_and_the_nearest_of_two():
    here, there = camera_at((0, 0, 0)), camera_at((0.5, 0, 0))
    depth = torch.from_numpy(true_depth(there)).float()
    truth = true_depth(here)
    found = seen_from(here, depth, normals_from_depth(depth, there), there).numpy()
    pixels, _ = there.project(surface_points(here, 1))
    inner = ((pixels > 2) & (pixels < [WIDTH - 2, HEIGHT - 2])).all(1).reshape(HEIGHT, WIDTH)
    assert np.mean(found[inner] > 0) > 0.99
    assert np.quantile(np.abs(found * truth - 1)[inner & (found > 0)], 0.98) < 0.002

    depth = torch.full((HEIGHT, WIDTH), 5.0)
    depth[40:80, 40:80] = 2.5  # before the wall, and shifted by twice as many pixels
    found = seen_from(here, depth, normals_from_depth(depth, there), there)
    shift = round(0.5 * FOCAL / 2.5)
    assert torch.allclose(found[42:78, 42 + shift : 78 + shift], torch.tensor(0.4))
    assert torch.allclose(found[:38, shift:], torch.tensor(0.2))


def test_modes_are_the_depths_that_most_maps_show():
    maps = torch.tensor([0.5, 0.502, 0.501, 0.25, 0.2502, 0.0, 0.9])[:, None, None]
    first, second = (float(mode) for mode in modes(maps))
    assert first == pytest.approx(0.501) and second == pytest.approx(0.25, rel=0.01)
    first, second = (float(mode) for mode in modes(torch.tensor([0.0, 0.5])[:, None, None]))
    assert (first, second) == (0.5, 0)


def test_a_sources_depth_map_makes_its_depth_score_better():
    """Grey pictures, in which every depth looks alike: the source's map alone decides."""
    here, there = camera_at((0, 0, 0)), camera_at((0.5, 0, 0))
    grey = torch.full((HEIGHT, WIDTH), 0.5)
    reference, source = (View(grey, torch.ones_like(grey), camera) for camera in (here, there))
    inverse_depth = torch.from_numpy(1 / true_depth(there)).float()
    inverse_depth[:20] = 0
    matcher = GeometricMatcher(reference, [source], best=1, radius=2, depths=[inverse_depth])
    truth = torch.from_numpy(1 / true_depth(here)).float()
    scores = matcher.score(torch.stack([truth, 1.02 * truth, 1.5 * truth]))
    middle = scores[:, 30:-10, 60:-10]
    assert (middle[0] > 0.9 * GEOMETRIC_WEIGHT).float().mean() > 0.98
    assert (middle[0] > middle[1]).float().mean() > 0.98
    assert (middle[1] > middle[2]).float().mean() > 0.98
    assert not middle[2].any()
    assert not scores[:, :10].any()


def test_sgm_sums_the_exact_path_costs():
    """Each direction's path cost at a pixel is the least cost of all labellings of the path that ends there."""
    rng = np.random.default_rng(1)
    height, labels, width = 3, 4, 4
    cost = rng.random((height, labels, width)).astype(np.float32)
    image = rng.random((height, width)).astype(np.float32)
    p1, p2, edge = 0.1, 0.5, 0.3

    def path_cost(y, x, label, dy, dx):
        path = [(y, x)]
        while 0 <= path[-1][0] - dy < height and 0 <= path[-1][1] - dx < width:
            path.append((path[-1][0] - dy, path[-1][1] - dx))
        least = np.inf
        for others in itertools.product(range(labels), repeat=len(path) - 1):
            chosen = (label, *others)
            total = sum(cost[r, k, c] for (r, c), k in zip(path, chosen, strict=True))
            for a, b, k, m in zip(path[:-1], path[1:], chosen[:-1], chosen[1:], strict=True):
                jump = max(p1, p2 / (1 + abs(image[a] - image[b]) / edge))
                total += {0: 0.0, 1: p1}.get(abs(k - m), jump)
            least = min(least, total)
        return least

    def excess(y, x, dy, dx):
        """The recursion subtracts the predecessor's least cost at every step; undo nothing, compare differences."""
        values = np.array([path_cost(y, x, label, dy, dx) for label in range(labels)])
        inside = 0 <= y - dy < height and 0 <= x - dx < width
        least_before = min(path_cost(y - dy, x - dx, label, dy, dx) for label in range(labels)) if inside else 0.0
        return values - least_before

    total = sgm.aggregate(torch.from_numpy(cost), torch.from_numpy(image), p1, p2, edge).numpy()
    directions = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    for y, x in itertools.product(range(height), range(width)):
        expected = sum(excess(y, x, dy, dx) for dy, dx in directions)
        np.testing.assert_allclose(total[y, :, x], expected, rtol=1e-4)


def test_sgm_winner_is_the_parabolas_vertex():
    labels = torch.arange(9.0)
    truth = torch.tensor([[3.3, 5.0, 0.0]])  # (1, 3)
    total = (labels[None, :, None] - truth[:, None]) ** 2  # (1, D, 3)
    torch.testing.assert_close(sgm.winners(total), truth)


def test_score_is_highest_at_the_true_depth():
    texture, photos = noise_texture(2), [camera_at(center) for center in CENTERS[:3]]
    views = [View(torch.from_numpy(render(c, texture)).float() / 255, torch.ones(HEIGHT, WIDTH), c) for c in photos]
    matcher = Matcher(views[0], views[1:], best=2, radius=2)
    truth = torch.from_numpy(1 / true_depth(photos[0])).float()
    # disparity of a sideways step b is f b / z: one pixel is 1 / (f b)
    pixel = 1 / (FOCAL * 0.45)
    rate = matcher.disparity_rate(truth)[0]
    assert torch.allclose(rate, torch.tensor(FOCAL * np.hypot(0.45, 0.02), dtype=torch.float32), rtol=1e-4)
    best, off = matcher.score(torch.stack([truth, truth + 2 * pixel])).mean((1, 2))
    assert best > 0.85 and off < best - 0.3
    inner = (slice(10, -10), slice(10, -10))
    assert matcher.bilateral_score(truth, 3, 0.1)[inner].mean() > 0.8


def test_a_flat_patch_has_no_confidence():
    """Sky without texture beside a textured wall: the wall's edge must not lend its texture to the sky."""
    picture = torch.from_numpy(np.random.default_rng(0).random((40, 60), np.float32)) * 0.4
    picture[:, :30] = 0.9
    camera = Camera(60, 40, 50.0, 50.0, 30.0, 20.0, np.eye(3, 4))
    view = View(picture, torch.ones(40, 60), camera)
    matcher = Matcher(view, [view], best=1, radius=2)
    plain, bilateral = matcher.score(torch.ones(1, 40, 60))[0], matcher.bilateral_score(torch.ones(40, 60), 3, 0.1)
    assert plain[20, 29] > 0.9
    assert (bilateral[:, :30] < 0.1).all()
    assert (bilateral[:, 34:] > 0.9).all()


def test_planes_are_fitted_exactly_and_not_across_a_step():
    y, x = torch.meshgrid(torch.arange(30.0), torch.arange(40.0), indexing="ij")
    inverse = 0.2 + 0.0001 * x - 0.0002 * y
    inverse[:, 20:] += 0.1
    planes = fit_planes(inverse, torch.ones_like(inverse), 2, Camera(40, 30, FOCAL, FOCAL, 20, 15, np.eye(3, 4)))
    torch.testing.assert_close(planes.value, inverse, rtol=1e-5, atol=0)
    torch.testing.assert_close(planes.slope_x, torch.full_like(inverse, 0.0001), rtol=0.01, atol=0)
    torch.testing.assert_close(planes.slope_y, torch.full_like(inverse, -0.0002), rtol=0.01, atol=0)


def test_normals_of_an_exact_plane():
    camera = camera_at((0, 0, 0))
    rays = camera.ray_directions() / camera.ray_directions()[..., 2:]
    normal = np.array([0.3, -0.2, -1.0]) / np.linalg.norm([0.3, -0.2, -1.0])
    depth = -4 / (rays @ normal)
    depth[:, :5] = 0
    normals = normals_from_depth(torch.from_numpy(depth.astype(np.float32)), camera).numpy()
    assert not normals[:, :5].any()
    np.testing.assert_allclose(normals[:, 5:], np.broadcast_to(normal, normals[:, 5:].shape), atol=2e-3)


def test_sources_share_points_at_a_good_angle_and_resolution():
    centers = {"near": [0.05, 0, 0], "good": [1, 0, 0], "far": [1, 0, -8], "stranger": [-1, 0, 0], "wide": [8, 0, 5]}
    cameras = [camera_at((0, 0, 0)), *(camera_at(center) for center in centers.values())]
    points = np.random.default_rng(0).uniform([-1, -1, 4.8], [1, 1, 5.2], (50, 3))
    visible = np.ones((50, 6), bool)
    visible[5:, 4] = False  # the stranger shares 5 points only
    scene = SparseScene(["reference", *centers], cameras, points, csr_array(visible))
    order = select_sources(scene, "reference", 10)
    assert order[0] == "good" and set(order) == {"near", "good", "far", "wide"}
    assert select_sources(scene, "reference", 2) == order[:2]
    assert select_sources(scene, "stranger", 3) == []


def test_sources_cover_the_whole_picture():
    """Three photos share most of the points, all on the left; the fourth alone sees the right, or the ground below."""
    rng = np.random.default_rng(0)
    left = rng.uniform([-1.8, -1, 4.8], [-0.5, 0.5, 5.2], (60, 3))
    right = rng.uniform([0.5, -1, 4.8], [1.8, 0.5, 5.2], (12, 3))
    cameras = [camera_at(center) for center in ([0, 0, 0], [0.9, 0, 0], [0.9, 0.1, 0], [0.9, -0.1, 0], [-0.9, 0, 0])]
    visible = np.zeros((72, 5), bool)
    visible[:, 0] = visible[:60, 1:4] = visible[60:, 4] = True
    scene = SparseScene(list("abcde"), cameras, np.concatenate([left, right]), csr_array(visible))
    assert "e" in select_sources(scene, "a", 2)


def test_sources_see_the_ground_where_no_sparse_point_is():
    """A house far ahead has all the points; only a photo that shares few of them shows the pavement."""
    house = np.random.default_rng(0).uniform([-4, 14, 0.1], [4, 14, 4], (80, 3))
    views = [level_camera(0, 0, 1.6), level_camera(2.5, 0, 1.6), level_camera(-2.5, 0, 1.6), level_camera(2.4, -3, 1.6)]
    visible = np.ones((80, 4), bool)
    visible[25:, 3] = False
    up = np.array([[1.0, 0, 0], [0, 0.26, -0.966], [0, 0.966, 0.26]])  # 15 degrees above the horizon
    upward = [replace(view, cam_from_world=np.c_[up, -up @ view.center]) for view in views]
    for cameras, chosen in ((views, "cb"), ([views[0], *upward[1:3], views[3]], "cd"), ([views[0], *upward[1:]], "cb")):
        assert select_sources(SparseScene(list("abcd"), cameras, house, csr_array(visible)), "a", 2) == list(chosen)


def test_undistort_and_select_on_a_synthetic_model(tmp_path):
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 4, 2, 200
    model = pycolmap.synthesize_dataset(options)
    (tmp_path / "sfm").mkdir()
    for number, image in enumerate(model.images.values()):
        image.name = f"{number:04d}.jpg"
        write_image(tmp_path / f"images/{image.name}", np.full((768, 1024, 3), 100, np.uint8))
    model.write(str(tmp_path / "sfm"))
    undistort(tmp_path / "images", tmp_path / "sfm", tmp_path / "mvs", max_size=200)

    workspace = Workspace(tmp_path / "mvs")
    assert list(workspace.cameras) == [f"{number:04d}" for number in range(8)]
    for photo, camera in workspace.cameras.items():
        with Image.open(workspace.image(photo)) as image:
            assert image.size == (camera.width, camera.height) and max(image.size) == 200
    assert (workspace.stereo / "fusion.cfg").read_text().split() == [f"{photo}.jpg" for photo in workspace.cameras]
    scene = read_sparse(workspace.sparse, workspace.cameras)
    for photo in workspace.cameras:
        sources = select_sources(scene, photo, 3)
        assert len(sources) == 3 and photo not in sources

    # a second run leaves nothing of the first
    write_map(workspace.depth_map("0000", "photometric"), np.zeros((5, 5)))
    undistort(tmp_path / "images", tmp_path / "sfm", tmp_path / "mvs", max_size=100)
    assert not workspace.depth_map("0000", "photometric").exists()
    (tmp_path / "images/0003.jpg").unlink()
    with pytest.raises(UserError, match=r"0003\.jpg"):
        undistort(tmp_path / "images", tmp_path / "sfm", tmp_path / "mvs", max_size=100)
    with pytest.raises(UserError, match="no COLMAP model"):
        undistort(tmp_path / "images", tmp_path / "nothing", tmp_path / "mvs", max_size=100)


def test_maps_are_colmaps(tmp_path):
    rng = np.random.default_rng(0)
    depth, normal = rng.random((5, 7), np.float32), rng.random((5, 7, 3), np.float32)
    write_map(tmp_path / "depth.bin", depth)
    write_map(tmp_path / "normal.bin", normal)
    theirs = pycolmap.DepthMap()
    theirs.read(str(tmp_path / "depth.bin"))
    np.testing.assert_array_equal(theirs.to_array(), depth)
    theirs = pycolmap.NormalMap()
    theirs.read(str(tmp_path / "normal.bin"))
    # `to_array` has the right shape but the file's order, one channel after the other; fusion reads it as we write it
    np.testing.assert_array_equal(theirs.to_array().reshape(3, 5, 7), normal.transpose(2, 0, 1))
    np.testing.assert_array_equal(read_map(tmp_path / "normal.bin"), normal)

    (tmp_path / "depth.bin").write_bytes((tmp_path / "depth.bin").read_bytes()[:-1])
    with pytest.raises(UserError, match="truncated"):
        read_map(tmp_path / "depth.bin")
    (tmp_path / "depth.bin").write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match="not a COLMAP map"):
        read_map(tmp_path / "depth.bin")
    with pytest.raises(UserError, match="missing"):
        read_map(tmp_path / "nothing.bin")


def test_bad_input_is_named(scene, tmp_path):
    with pytest.raises(UserError, match="not a dense workspace"):
        estimate_depths(tmp_path, None, [], sources=4)
    with pytest.raises(UserError, match="0042"):
        estimate_depths(scene.mvs, None, ["0042"], sources=4)
    with pytest.raises(UserError, match="no label map"):
        estimate_depths(scene.mvs, tmp_path, ["0000"], sources=4, resume=False)
    write_image(tmp_path / "0000.png", np.ones((3, 3), np.uint8))
    with pytest.raises(UserError, match="undistorted photo has"):
        estimate_depths(scene.mvs, tmp_path, ["0000"], sources=4, resume=False)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="device: cpu"):
            estimate_depths(scene.mvs, None, ["0000"], sources=4, device="cuda")


@pytest.fixture
def no_cuda_in_pycolmap(monkeypatch):
    monkeypatch.setattr(pycolmap, "has_cuda", False)


def test_colmap_backend_missing(scene, monkeypatch, tmp_path, no_cuda_in_pycolmap):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="backend: torch"):
        estimate_depths_colmap(scene.mvs, None)


def fake_colmap(folder, banner, body="sys.exit(1)"):
    path = folder / "colmap"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nif sys.argv[1] == 'help':\n    print({banner!r})\nelse:\n    {body}\n"
    )
    path.chmod(0o755)
    return path


def test_colmap_backend_without_cuda_or_failing(scene, monkeypatch, tmp_path, no_cuda_in_pycolmap):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    executable = fake_colmap(tmp_path, "COLMAP 3.8 (Commit x without CUDA)")
    with pytest.raises(UserError, match=f"{executable} is a COLMAP without CUDA"):
        estimate_depths_colmap(scene.mvs, None)
    fake_colmap(tmp_path, "COLMAP 3.8 (Commit x with CUDA)")
    with pytest.raises(UserError, match="exit status 1"):
        estimate_depths_colmap(scene.mvs, None)


def test_colmap_backend_masks_what_colmap_writes(tmp_path, monkeypatch, no_cuda_in_pycolmap):
    cameras = {"0000": camera_at(CENTERS[0])}
    write_workspace(tmp_path / "mvs", cameras, {"0000": np.zeros((HEIGHT, WIDTH), np.uint8)}, np.zeros((0, 3)))
    labels = np.ones((HEIGHT, WIDTH), np.uint8)
    labels[:50] = SKY
    write_image(tmp_path / "segmentation/0000.png", labels)
    workspace = Workspace(tmp_path / "mvs")
    run = subprocess.run

    def run_colmap(command, **options):
        if command[1] == "help":
            return subprocess.CompletedProcess(command, 0, stdout="(with CUDA)")
        assert command[1:3] == ["patch_match_stereo", "--workspace_path"] and command[3] == str(workspace.root)
        write_map(workspace.depth_map("0000", "geometric"), np.full((HEIGHT, WIDTH), 2.0))
        write_map(workspace.normal_map("0000", "geometric"), np.full((HEIGHT, WIDTH, 3), 0.5))
        return run([sys.executable, "-c", ""], check=False)

    monkeypatch.setattr(colmap.shutil, "which", lambda name: f"/somewhere/{name}")
    monkeypatch.setattr(colmap.subprocess, "run", run_colmap)
    estimate_depths_colmap(workspace.root, tmp_path / "segmentation", masked={SKY})
    depth = read_map(workspace.depth_map("0000", "geometric"))
    assert not depth[:50].any() and (depth[50:] == 2).all()
    assert not read_map(workspace.normal_map("0000", "geometric"))[:50].any()
