"""The geometric passes on rendered planes with known depth."""

import numpy as np
import pytest
import torch
from mvs_scene import (
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    estimate,
    geometric_passes,
    level_camera,
    noise_texture,
    read_depth,
    render,
    seen_by,
    square,
    surface_points,
    true_depth,
    write_workspace,
)

from nrw.core.errors import UserError
from nrw.core.io import read_json
from nrw.mvs.fuse import fuse_depths
from nrw.mvs.geometric import PASSES, match_with_neighbours
from nrw.mvs.photometric import photometric_depths
from nrw.mvs.workspace import Workspace, read_map, write_map


@pytest.mark.parametrize("photo_id", ["0000", "0003"])
def test_depth_of_slanted_planes(scene, photo_id):
    camera = scene.cameras[photo_id]
    truth, points = true_depth(camera), surface_points(camera, 1)
    seen = seen_by([scene.cameras[other] for other in scene.ids[:5]], points).reshape(truth.shape) >= 3
    assert seen.mean() > 0.8
    for kind, coverage, close in (("photometric", 0.97, 0.95), ("geometric", 0.9, 0.98)):
        depth = read_depth(scene, photo_id, kind)
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


def test_ground_at_a_grazing_angle(tmp_path):
    """At 12 m a pixel's depth differs by 5 % from the next one's: no surface that faces the camera does that."""
    flat = noise_texture(4, finest=14)
    texture = lambda points: np.where(points[..., 2] < 0.01, flat(points), flat(points[..., [0, 2]]))  # noqa: E731
    stations = ((0, 0), (1.2, 0.3), (-1.2, -0.2), (0.6, -0.9), (-0.5, 0.9))
    cameras = {f"{number:04d}": level_camera(x, y, 1.6 + 0.05 * number) for number, (x, y) in enumerate(stations)}
    pictures = {photo_id: render(camera, texture, 4, square) for photo_id, camera in cameras.items()}
    write_workspace(tmp_path, cameras, pictures, surface_points(cameras["0000"], depth_of=square))
    photometric_depths(tmp_path, None, list(cameras), sources=4)
    for kind in PASSES:
        match_with_neighbours(tmp_path, None, list(cameras), tmp_path / f"{kind}.key", kind, sources=4, min_views=3)
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


def test_a_damaged_map_is_left_out_reported_and_recomputed(scene, tmp_path):
    workspace = Workspace(scene.mvs)
    cut = workspace.depth_map("0002", "photometric")
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-5])
    geometric_passes(scene)
    assert not read_depth(scene, "0002", "geometric").any()
    assert read_depth(scene, "0000", "geometric").any()
    fuse_depths(scene.mvs, tmp_path / "cloud.ply", None, tmp_path / "summary.json", min_views=3)
    summary = read_json(tmp_path / "summary.json")
    assert "0002" in summary["photos_without_depth"]
    assert "damaged" in summary["photos"]["0002"]["problem"]
    workspace.report("0000").write_text('{"settings": {"sour')
    estimate(scene, ["0000", "0002"])
    assert cut.read_bytes() == whole
    assert workspace.read_report("0002")["problem"] is None and workspace.read_report("0000")["seconds"] > 0
    geometric_passes(scene)


def test_min_views_counts_the_photo_itself(scene):
    shares = []
    for min_views in (1, 2, 5, 6):
        geometric_passes(scene, min_views, ["geometric"])
        shares.append(np.count_nonzero(read_depth(scene, "0000", "geometric")) / (WIDTH * HEIGHT))
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
    found = read_depth(scene, "0000", "geometric")
    path.write_bytes(whole)
    geometric_passes(scene)
    points = surface_points(camera, 1)
    seen = seen_by([scene.cameras[other] for other in scene.ids[1:5]], points).reshape(truth.shape) >= 3
    for rows in (slice(8, 40), slice(40, 80)):
        there = seen[rows] & (found[rows] > 0)
        assert there.sum() > 0.85 * seen[rows].sum()
        assert np.mean(np.abs(found[rows] / truth[rows] - 1)[there] < 0.02) > 0.95


def test_a_pass_skips_photos_that_are_done_and_redoes_all_for_other_settings(scene):
    workspace = Workspace(scene.mvs)
    kept, lost = (workspace.depth_map(photo_id, "consensus") for photo_id in ("0000", "0001"))
    whole, kept_time = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    geometric_passes(scene, kinds=["consensus"])
    assert lost.read_bytes() == whole and kept.stat().st_mtime_ns == kept_time
    geometric_passes(scene, min_views=2, kinds=["consensus"])
    assert np.count_nonzero(read_map(lost)) > np.count_nonzero(np.frombuffer(whole[-4 * WIDTH * HEIGHT :], "<f4"))
    assert kept.stat().st_mtime_ns != kept_time
    geometric_passes(scene)
    assert lost.read_bytes() == whole


def test_each_map_is_read_once_per_photo(scene, monkeypatch):
    read = []
    monkeypatch.setattr("nrw.mvs.geometric.read_map", lambda path: (read.append(path), read_map(path))[1])
    monkeypatch.setattr("nrw.mvs.geometric.pending", lambda ids, *_: ids[:1])
    geometric_passes(scene, kinds=["geometric"])
    assert len(read) == len(set(read)) == 2 * 5  # depths and normals of the five photos of the ridge


def test_bad_input_is_named(scene, tmp_path):
    options = {"sources": 4, "min_views": 3}
    with pytest.raises(UserError, match="not a dense workspace"):
        match_with_neighbours(tmp_path, None, [], tmp_path / "key", "consensus", **options)
    with pytest.raises(UserError, match="0042"):
        match_with_neighbours(scene.mvs, None, ["0042"], tmp_path / "key", "consensus", **options)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="set device to cpu"):
            match_with_neighbours(scene.mvs, None, [], tmp_path / "key", "consensus", **options, device="cuda")
