"""Structure from motion on rendered photos of a known scene, and on COLMAP's synthetic data."""

import filecmp
import shutil
import sqlite3

import numpy as np
import pycolmap
import pytest
from PIL import Image

from nrw.core.errors import UserError
from nrw.core.io import read_json, write_csv
from nrw.sfm import matching, reconstruction
from nrw.sfm.features import extract_features
from nrw.sfm.matching import match_pairs, merge_matches
from nrw.sfm.pairs import choose_pairs, retrieval_pairs
from nrw.sfm.reconstruction import reconstruct
from nrw.sfm.summary import summary_table
from nrw.sfm.upright import upright_rotation

MATCH = dict(matcher="exhaustive", retrieval_above=150, retrieval_neighbours=3, threads=2, reproducible=True, seed=1)
RECONSTRUCT = dict(mapper="incremental", hierarchical_above=500, threads=2, reproducible=True, seed=1)
WIDTH, HEIGHT, FOCAL = 320, 240, 304.0


def level_camera(yaw: float, pitch: float, roll: float = 0.0) -> np.ndarray:
    """(3, 3) cam_from_world of a camera in a world with z up; degrees; at 0, 0, 0 it looks along y."""
    yaw, pitch, roll = np.radians([yaw, pitch, roll])
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.cos(yaw), -np.sin(yaw), 0])
    down = np.cross(forward, right)
    return np.stack([np.cos(roll) * right + np.sin(roll) * down, -np.sin(roll) * right + np.cos(roll) * down, forward])


def corner_photo(rotation: np.ndarray, center: np.ndarray, seed: int) -> Image.Image:
    """A photo of two textured walls that meet in the line x = 0, y = 4 (a corner seen from inside)."""
    rng = np.random.default_rng(seed)
    texture = sum(
        np.asarray(
            Image.fromarray(rng.random((n, n)).astype(np.float32)).resize((1024, 1024), Image.Resampling.BICUBIC)
        )
        for n in (64, 128, 256)
    )
    texture = np.round((texture - texture.min()) / np.ptp(texture) * 255)
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5 - WIDTH / 2, np.arange(HEIGHT) + 0.5 - HEIGHT / 2)
    rays = np.stack([x / FOCAL, y / FOCAL, np.ones_like(x)], axis=-1) @ rotation  # (H, W, 3)
    photo, depth = np.zeros(x.shape), np.full(x.shape, np.inf)
    for side in (-1, 1):
        normal = np.array([side * 0.6, 0.8, 0.0])
        along = np.array([-0.8 * side, 0.6, 0.0])
        distance = (normal @ [0, 4, 0] - normal @ center) / (rays @ normal)
        hit = center + rays * distance[..., None]
        u, v = (hit @ along) * 150 + 512 + 200 * side, hit[..., 2] * 150 + 512
        u, v = np.clip(u, 0, 1022.99), np.clip(v, 0, 1022.99)
        i, j, a, b = v.astype(int), u.astype(int), v % 1, u % 1
        colour = (texture[i, j] * (1 - b) + texture[i, j + 1] * b) * (1 - a) + (
            texture[i + 1, j] * (1 - b) + texture[i + 1, j + 1] * b
        ) * a
        nearer = (distance > 0) & (distance < depth)
        photo[nearer], depth[nearer] = colour[nearer], distance[nearer]
    return Image.fromarray(photo.astype(np.uint8)).convert("RGB")


def viewpoints(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cameras on an arc around the corner, tilted 8° up, all level to within a degree."""
    views = []
    for number, yaw in enumerate(np.linspace(-24, 24, n)):
        rotation = level_camera(yaw, 8, roll=(-1) ** number * 0.7)
        views.append((rotation, np.array([0, 3.4, 0]) - 3.4 * level_camera(yaw, 0)[2] + [0, 0, 0.1 * number]))
    return views


def write_photos(folder, photos: list[Image.Image], focal: dict[int, float]) -> None:
    (folder / "images").mkdir(parents=True)
    rows = [{"id": "", "file": "notes.txt", "verdict": "not a photo", "focal_px": ""}]
    for number, photo in enumerate(photos):
        photo.save(folder / "images" / f"{number:04}.jpg", quality=95)
        rows.append(
            {"id": f"{number:04}", "file": f"p {number}.png", "verdict": "ok", "focal_px": focal.get(number, "")}
        )
    write_csv(folder / "photos.csv", rows, ("id", "file", "verdict", "focal_px"))


def match(features, database, pieces=1, **settings):
    """All of the matching, as the workflow cuts it."""
    folder = database.parent / f"{database.stem} pieces"
    choose_pairs(features, folder / "pairs.txt", **settings)
    results = [folder / f"{number}-of-{pieces}.db" for number in range(1, pieces + 1)]
    for result in results:
        match_pairs(features, folder / "pairs.txt", result.stem, result, seed=1)
    merge_matches(features, results, database)


def run_reconstruct(photos, database, out, **settings):
    reconstruct(
        photos / "images",
        photos / "photos.csv",
        database,
        out / "sparse",
        out / "summary.json",
        out / "summary.txt",
        **(RECONSTRUCT | settings),
    )
    return read_json(out / "summary.json"), pycolmap.Reconstruction(out / "sparse")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Photos 0-5 of one corner, 6-9 of another, 10 a blank one, 11-13 noise; matched exhaustively."""
    folder = tmp_path_factory.mktemp("scene")
    photos = [corner_photo(*view, seed=1) for view in viewpoints(6)]
    photos += [corner_photo(*view, seed=2) for view in viewpoints(4)]
    photos.append(Image.new("RGB", (WIDTH, HEIGHT), "grey"))
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 4, WIDTH // 4)).astype(np.uint8)
        photos.append(Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert("RGB"))
    write_photos(folder, photos, {0: FOCAL, 1: FOCAL})
    extract_features(
        folder / "images", folder / "photos.csv", folder / "features.db", max_size=320, max_features=600, threads=2
    )
    match(folder / "features.db", folder / "database.db", **MATCH)
    return folder


def test_cameras_take_focal_lengths_from_the_table(scene):
    database = pycolmap.Database.open(scene / "features.db")
    images = database.read_all_images()
    assert [image.name for image in images] == [f"{number:04}.jpg" for number in range(14)]
    cameras = [database.read_camera(image.camera_id) for image in images]
    database.close()
    assert len({camera.camera_id for camera in cameras}) == 14
    assert all(camera.model == pycolmap.CameraModelId.SIMPLE_RADIAL for camera in cameras)
    assert [camera.has_prior_focal_length for camera in cameras] == [True] * 2 + [False] * 12
    assert [camera.focal_length for camera in cameras] == [FOCAL] * 2 + [1.2 * WIDTH] * 12


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

    points = {id: point.xyz for id, point in model.points3D.items()}
    np.testing.assert_allclose(np.median(np.stack(list(points.values())), axis=0), 0, atol=1e-9)
    depths = []
    for image in images:
        seen = np.stack([points[point.point3D_id] for point in image.get_observation_points2D()])
        depths.append(
            np.median((seen @ image.cam_from_world().matrix()[:, :3].T)[:, 2] + image.cam_from_world().translation[2])
        )
    assert np.median(depths) == pytest.approx(1)


def test_each_photo_left_out_has_its_reason(scene, tmp_path):
    database = tmp_path / "database.db"
    shutil.copy(scene / "database.db", database)
    connection = pycolmap.Database.open(database)
    ids = {image.name[:4]: image.image_id for image in connection.read_all_images()}
    # verified pairs that are none: 11 agrees with 0 of the scene, 12 with 13 only
    for a, b, count in (("0000", "0011", 40), ("0012", "0013", 30)):
        geometry = pycolmap.TwoViewGeometry()
        geometry.config = pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED.value
        rows = np.random.default_rng(0).permutation(200)[:count].astype(np.uint32)
        geometry.inlier_matches = np.stack([rows, rows[::-1]], axis=1)
        if connection.exists_two_view_geometry(ids[a], ids[b]):
            connection.delete_two_view_geometry(ids[a], ids[b])
        connection.write_two_view_geometry(ids[a], ids[b], geometry)
    connection.close()
    summary, _ = run_reconstruct(scene, database, tmp_path)
    reasons = {photo["id"]: photo["reason"] for photo in summary["left_out"]}
    assert set(reasons) == {f"{number:04}" for number in range(6, 14)}
    assert summary["left_out"][0]["file"] == "p 6.png"
    for id in ("0006", "0007", "0008", "0009"):
        assert reasons[id] == "matched, but in another model of 4 photos"
    assert reasons["0010"] == "no features: blurred, or without texture"
    assert reasons["0011"] == (
        "matched with 1 registered photo, but its pose was not found (40 inlier matches with the best of them)"
    )
    assert reasons["0012"] == reasons["0013"] == "matched with 1 photo, none of which was registered"
    text = (tmp_path / "summary.txt").read_text()
    assert text == summary_table(summary)
    assert text.startswith("6 of 14 photos registered") and "  0010  'p 10.png': no features" in text


def test_reproducible(scene, tmp_path):
    for name in "ab":
        match(scene / "features.db", tmp_path / f"{name}.db", **MATCH)
        run_reconstruct(scene, tmp_path / f"{name}.db", tmp_path / name)
    files = ["cameras.bin", "images.bin", "points3D.bin", "frames.bin"]
    assert filecmp.cmpfiles(tmp_path / "a/sparse", tmp_path / "b/sparse", files, shallow=False) == (files, [], [])
    assert (tmp_path / "a/summary.json").read_bytes() == (tmp_path / "b/summary.json").read_bytes()


def content(path):
    """All rows of a database, by table."""
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables}


def test_pieces_of_the_pairs_give_the_same_database(scene, tmp_path):
    before = (scene / "features.db").stat().st_mtime_ns
    match(scene / "features.db", tmp_path / "database.db", pieces=3, **MATCH)
    whole, pieced = content(scene / "database.db"), content(tmp_path / "database.db")
    assert len(whole["two_view_geometries"]) == 14 * 13 // 2
    assert pieced == whole
    assert (scene / "features.db").stat().st_mtime_ns == before
    assert not list(tmp_path.rglob("*partial*"))


def test_more_pieces_than_pairs(scene, tmp_path):
    (tmp_path / "pairs.txt").write_text("0000.jpg 0001.jpg\n")
    results = [tmp_path / f"{item}.db" for item in ("1-of-2", "2-of-2")]
    for result in results:
        match_pairs(scene / "features.db", tmp_path / "pairs.txt", result.stem, result, seed=1)
    merge_matches(scene / "features.db", results, tmp_path / "database.db")
    assert [len(content(result)["matches"]) for result in results] == [0, 1]
    assert content(tmp_path / "database.db")["matches"] == content(scene / "database.db")["matches"][:1]


def test_an_interrupted_piece_matches_only_the_pairs_that_are_missing(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(matching, "BATCH", 20)
    features, pairs, result = tmp_path / "features.db", tmp_path / "pairs.txt", tmp_path / "1-of-1.db"
    shutil.copyfile(scene / "features.db", features)
    choose_pairs(features, pairs, **MATCH)
    matched, original, interrupt_after = [], pycolmap.match_image_pairs, 40

    def counting(database, matching_options, pairing, verification):
        if len(matched) == interrupt_after:
            raise KeyboardInterrupt
        matched.extend(pairing.match_list_path.read_text().splitlines())
        original(database, matching_options, pairing, verification)

    monkeypatch.setattr(pycolmap, "match_image_pairs", counting)
    with pytest.raises(KeyboardInterrupt):
        match_pairs(features, pairs, "1-of-1", result, seed=1)
    assert not result.exists()
    interrupt_after = None
    match_pairs(features, pairs, "1-of-1", result, seed=1)
    assert len(matched) == len(set(matched)) == 14 * 13 // 2
    assert content(result)["two_view_geometries"] == content(scene / "database.db")["two_view_geometries"]

    result.rename(tmp_path / "1-of-1.partial.sqlite")
    features.touch()  # other features: what an earlier try left does not count
    matched.clear()
    match_pairs(features, pairs, "1-of-1", result, seed=1)
    assert len(matched) == 14 * 13 // 2


def test_retrieval_pairs_photos_of_one_place(scene):
    database = pycolmap.Database.open(scene / "features.db")
    ids = {image.image_id: int(image.name[:4]) for image in database.read_all_images()}
    pairs = retrieval_pairs(database, 2, threads=1, seed=1)
    again = retrieval_pairs(database, 2, threads=1, seed=1)
    database.close()
    assert pairs == again and len(set(pairs)) == len(pairs)
    pairs = {(ids[a], ids[b]) for a, b in pairs}
    assert {(a, a + 1) for a in range(9) if a != 5} <= pairs
    assert not {(a, b) for a, b in pairs if a < 6 <= b < 10}


def test_retrieval_above_a_number_of_photos(scene, tmp_path):
    def compared(path):
        database = pycolmap.Database.open(path)
        pairs, _ = database.read_num_matches()
        database.close()
        return len(pairs)

    match(scene / "features.db", tmp_path / "out.db", **(MATCH | {"matcher": "auto", "retrieval_above": 13}))
    assert 0 < compared(tmp_path / "out.db") < compared(scene / "database.db")
    exhaustive, retrieved = content(scene / "database.db"), content(tmp_path / "out.db")
    assert set(retrieved["two_view_geometries"]) < set(exhaustive["two_view_geometries"])
    summary, _ = run_reconstruct(scene, tmp_path / "out.db", tmp_path)
    assert summary["registered"] == 6


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
        {"id": image.name.removesuffix(".png"), "file": image.name, "verdict": "ok"} for image in truth.images.values()
    ]
    write_csv(tmp_path / "photos.csv", rows, ("id", "file", "verdict"))
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
    photos = []
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(0, 256, (60, 80)).astype(np.uint8)
        photos.append(Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC).convert("RGB"))
    write_photos(tmp_path, photos, {})
    extract_features(
        tmp_path / "images", tmp_path / "photos.csv", tmp_path / "f.db", max_size=320, max_features=500, threads=2
    )
    match(tmp_path / "f.db", tmp_path / "d.db", **MATCH)
    with pytest.raises(UserError) as error:
        run_reconstruct(tmp_path, tmp_path / "d.db", tmp_path / "out", mapper="global")
    message = str(error.value)
    assert "0 of 3 photos registered" in message
    assert "0002  'p 2.png': no verified matches" in message
    for advice in ("overlap", "photos.csv", "max_features", "mapper to incremental"):
        assert advice in message
    assert not (tmp_path / "out").exists()


def test_unknown_names_are_errors(tmp_path):
    with pytest.raises(UserError, match=r"'exact'.*auto, exhaustive, retrieval"):
        match(tmp_path / "a.db", tmp_path / "b.db", **(MATCH | {"matcher": "exact"}))
    with pytest.raises(UserError, match=r"'fast'.*incremental, global, hierarchical"):
        run_reconstruct(tmp_path, tmp_path / "a.db", tmp_path, mapper="fast")


# photos that all look the same way (4°) leave part of their common pitch, 10°, in
@pytest.mark.parametrize(("spread", "mean_error"), [(4, 6), (30, 1.2), (180, 0.6)])
def test_upright_rotation_of_hand_held_cameras(spread, mean_error):
    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        world = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        world *= np.linalg.det(world)
        yaws = rng.uniform(-spread, spread, 40)
        cameras = np.stack([level_camera(yaw, rng.normal(10, 4), rng.normal(0, 1.5)) for yaw in yaws])
        cameras[::8] = np.stack(
            [level_camera(yaw, 10, roll) for yaw, roll in zip(yaws[::8], (90, -90, 90, 35, 180), strict=True)]
        )
        rotation = upright_rotation(cameras @ world.T)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        errors.append(np.degrees(np.arccos((rotation @ world)[2, 2])))
        if spread < 180:
            assert (rotation @ world)[1, 1] > 0.95  # y is forward
    assert np.mean(errors) < mean_error and np.max(errors) < 15


def test_upright_rotation_of_a_full_circle():
    cameras = np.stack([level_camera(yaw, 10) for yaw in range(0, 360, 45)])
    rotation = upright_rotation(cameras)
    np.testing.assert_allclose(rotation[2], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
