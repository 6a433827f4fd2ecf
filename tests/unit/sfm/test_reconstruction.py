"""Cameras of rendered photos of a known scene, and of COLMAP's synthetic data."""

import filecmp

import numpy as np
import pycolmap
import pytest
from corner_scene import FOCAL, MATCH, match, noise_photo, run_reconstruct, viewpoints, write_photos

from nrw.core.errors import UserError
from nrw.core.io import write_csv
from nrw.sfm import reconstruction
from nrw.sfm.features import extract_features


def test_known_poses_upright_and_scaled(scene, tmp_path):
    summary, model = run_reconstruct(scene, scene / "database.db", tmp_path)
    assert summary["registered"] == 6 and summary["photos"] == 14
    assert [entry["photos"] for entry in summary["models"]] == [6, 4]
    assert summary["models"][0]["mean_reprojection_error"] < 0.5
    assert summary["models"][0]["mean_track_length"] > 2
    reason = next(photo["reason"] for photo in summary["left_out"] if photo["id"] == "0012")
    assert reason == "no verified matches: no other photo shares a feature with it; does it show the place?"

    images = sorted(model.images.values(), key=lambda image: image.name)
    truth = viewpoints(6)
    true_from_ours = pycolmap.estimate_sim3d(
        np.stack([image.projection_center() for image in images]), np.stack([center for _, center in truth])
    )
    turn = true_from_ours.rotation.matrix()
    for image, (rotation, center) in zip(images, truth, strict=True):
        assert np.linalg.norm(true_from_ours * image.projection_center() - center) < 0.05
        angle = np.degrees(
            np.arccos((np.trace(image.cam_from_world().rotation.matrix() @ turn.T @ rotation.T) - 1) / 2)
        )
        assert angle < 1
        assert image.camera.focal_length == pytest.approx(FOCAL, rel=0.05)
    # our z is the true z, and y is the mean viewing direction, which is the true y
    assert np.degrees(np.arccos(turn[2, 2])) < 1.5
    assert np.degrees(np.arccos(turn[1, 1])) < 3

    points = {point_id: point.xyz for point_id, point in model.points3D.items()}
    np.testing.assert_allclose(np.median(np.stack(list(points.values())), axis=0), 0, atol=1e-9)
    depths = []
    for image in images:
        seen = np.stack([points[point.point3D_id] for point in image.get_observation_points2D()])
        depths.append(
            np.median((seen @ image.cam_from_world().matrix()[:, :3].T)[:, 2] + image.cam_from_world().translation[2])
        )
    assert np.median(depths) == pytest.approx(1)


def test_reproducible(scene, tmp_path):
    for name in "ab":
        match(scene / "features.db", tmp_path / f"{name}.db", **MATCH)
        run_reconstruct(scene, tmp_path / f"{name}.db", tmp_path / name)
    files = ["cameras.bin", "images.bin", "points3D.bin", "frames.bin"]
    assert filecmp.cmpfiles(tmp_path / "a/sparse", tmp_path / "b/sparse", files, shallow=False) == (files, [], [])
    assert (tmp_path / "a/summary.json").read_bytes() == (tmp_path / "b/summary.json").read_bytes()


@pytest.mark.parametrize(
    ("mapper", "hierarchical_above"), [("global", 500), ("hierarchical", 500), ("auto", 6), ("auto", 500)]
)
def test_other_mappers(mapper, hierarchical_above, tmp_path, monkeypatch):
    parts = []
    mapping = pycolmap.hierarchical_mapping

    def hierarchical_mapping(database, images, folder, options):
        parts.append(options.clustering_options.leaf_max_num_images)
        return mapping(database, images, folder, options)

    monkeypatch.setattr(pycolmap, "hierarchical_mapping", hierarchical_mapping)
    pycolmap.set_random_seed(1)
    options = pycolmap.SyntheticDatasetOptions(
        num_rigs=1, num_frames_per_rig=8, num_points3D=200, camera_has_prior_focal_length=True
    )
    database = pycolmap.Database.open(tmp_path / "database.db")
    truth = pycolmap.synthesize_dataset(options, database)
    database.close()
    (tmp_path / "images").mkdir()
    rows = [
        {"id": image.name.removesuffix(".png"), "file": image.name, "verdict": "ok", "focal_px": ""}
        for image in truth.images.values()
    ]
    write_csv(tmp_path / "photos.csv", rows, ("id", "file", "verdict", "focal_px"))
    settings = {"mapper": mapper, "hierarchical_above": hierarchical_above}
    summary, model = run_reconstruct(tmp_path, tmp_path / "database.db", tmp_path, **settings)
    assert parts == ([hierarchical_above] if mapper == "hierarchical" or hierarchical_above < 8 else [])
    assert summary["registered"] == 8 and summary["left_out"] == []
    ours = {image.name: image.projection_center() for image in model.images.values()}
    theirs = {image.name: image.projection_center() for image in truth.images.values()}
    similarity = pycolmap.estimate_sim3d(np.stack([ours[name] for name in theirs]), np.stack(list(theirs.values())))
    for name, center in theirs.items():
        assert np.linalg.norm(similarity * ours[name] - center) < 0.02


def test_a_fragment_starts_the_mapper_again(scene, tmp_path, monkeypatch):
    starts = []

    def unlucky_first(*arguments, run=reconstruction._map):
        starts.append(arguments[-1])
        models = run(*arguments)
        if len(starts) == 1:
            for image in list(models[0].images.values())[3:]:
                models[0].deregister_frame(image.frame_id)
        return models

    monkeypatch.setattr(reconstruction, "_map", unlucky_first)
    summary, _ = run_reconstruct(scene, scene / "database.db", tmp_path)
    assert starts == [1, 2] and summary["registered"] == 6


def test_too_few_registered(tmp_path):
    write_photos(tmp_path, [noise_photo(seed) for seed in range(3)], {})
    extract_features(
        tmp_path / "images", tmp_path / "photos.csv", tmp_path / "f.db", max_size=320, max_features=500, threads=2
    )
    match(tmp_path / "f.db", tmp_path / "d.db", **MATCH)
    with pytest.raises(UserError) as error:
        run_reconstruct(tmp_path, tmp_path / "d.db", tmp_path / "out", mapper="global")
    message = str(error.value)
    assert "0 of 3 photos registered" in message
    assert "0002  'p 2.png': no verified matches" in message
    for advice in ("overlap", "photos.csv", "sfm.max_features", "sfm.mapper to incremental"):
        assert advice in message
    assert not (tmp_path / "out").exists()


def test_unknown_names_are_errors(tmp_path):
    with pytest.raises(UserError, match=r"sfm\.mapper is 'fast'.*incremental, global, hierarchical"):
        run_reconstruct(tmp_path, tmp_path / "a.db", tmp_path, mapper="fast")
