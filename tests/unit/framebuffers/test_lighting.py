"""The lighting of a synthetic wall under two lamps, each with a pattern of its own, in photos of many exposures."""

import numpy as np
import pytest
from wall import HEIGHT, WIDTH, observe, write_scene

from nrw.core.errors import UserError
from nrw.framebuffers.lighting import light_cloud
from nrw.framebuffers.recolor import recolor
from nrw.geometry.cameras import read_cameras
from nrw.geometry.pointcloud import Cloud, decode_lighting, encode_lighting, read_cloud

WALL, DEPTH = 1, 4.0
COVERED = (slice(30, 60), slice(40, 90))
TRAINING = 18  # of 27 photos


def patterns(x, y):
    """Where each lamp shines, (…, 2), -1 to 1."""
    return np.stack([np.sin(2.5 * x), np.cos(3.1 * y + 0.5)], axis=-1)


def texture(x, y):
    waves = [np.sin(5.1 * x + 1.3 * y), np.sin(4.7 * x - 2.2 * y + 1), np.cos(4.4 * x + 3.4 * y)]
    return 125 + 25 * np.stack(waves, axis=-1)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Folder and ids; someone unmarked stands in every third photo, in one place."""
    root = tmp_path_factory.mktemp("lamps")
    rng = np.random.default_rng(0)

    def shoot(photo, camera):
        x, y, _ = np.moveaxis(camera.center + DEPTH * camera.ray_directions() / camera.ray_directions()[..., 2:], -1, 0)
        lamps = rng.normal(0, 20, (2, 3))
        picture = texture(x, y) * rng.uniform(0.7, 1.1) + rng.uniform(-10, 10) + patterns(x, y) @ lamps
        if int(photo) % 3 == 0:
            picture[COVERED] = [250, 10, 10]
        return np.clip(picture, 0, 255), np.full((HEIGHT, WIDTH), WALL, np.uint8)

    points = np.insert(np.mgrid[-2.6:2.6:0.03, -2.0:2.0:0.03].reshape(2, -1).T, 2, DEPTH, axis=1).astype(np.float32)
    points = np.concatenate([points, np.float32([[0, 0, -9]])])  # behind every camera
    grey = np.full(points.shape, 128, np.uint8)
    ids = write_scene(root, Cloud(points, grey, np.tile(np.float32([0, 0, -1]), (len(points), 1))), 27, shoot)
    observations = observe(root, ids[:TRAINING], segmentation=False)
    recolor(observations, root / "mvs/cloud.ply", root / "colors.npy")
    return root, ids


def light(scene, channels=2, masked=(), threads=1):
    root, ids = scene
    observations = observe(root, ids[:TRAINING], masked)
    out = root / "lighting.npy"
    light_cloud(
        observations, root / "mvs/cloud.ply", root / "colors.npy", out, channels=channels, seed=0, threads=threads
    )
    return np.load(root / "lighting.npy")


@pytest.fixture(scope="module")
def lighting(scene):
    return light(scene)


def error(scene, terms):
    """Median over held-out photos' right halves: what a linear map of terms (N, T), fitted on the left, misses."""
    root, ids = scene
    held_out = observe(root, ids[TRAINING:], segmentation=False)
    cameras, points, errors = read_cameras(root / "mvs/sparse"), read_cloud(root / "mvs/cloud.ply").points, []
    for photo_id in held_out.ids:
        seen, colors = held_out.samples(photo_id)
        column, row = cameras[photo_id].project(points[seen])[0].T
        if int(photo_id) % 3 == 0:
            rows, columns = COVERED
            clear = (row < rows.start - 1) | (row > rows.stop + 1)
            clear |= (column < columns.start - 1) | (column > columns.stop + 1)
            seen, colors, column = seen[clear], colors[clear], column[clear]
        left = column < WIDTH / 2
        used = np.column_stack([terms[seen], np.ones(len(seen))])
        fitted = np.linalg.lstsq(used[left], colors[left], rcond=None)[0]
        errors.append(used[~left] @ fitted - colors[~left])
    return np.median(np.linalg.norm(np.concatenate(errors), axis=1))


def test_with_the_lighting_a_part_of_a_new_photo_tells_the_rest(scene, lighting):
    root, _ = scene
    colors = np.load(root / "colors.npy").astype(float)
    assert lighting.shape == (len(colors), 2)
    assert lighting.dtype == np.uint8
    alone, lit = error(scene, colors), error(scene, np.column_stack([colors, decode_lighting(lighting.astype(float))]))
    assert alone > 25  # of 255: the lamps' patterns
    assert lit < 9


def test_the_numbers_span_the_lamps_patterns(scene, lighting):
    points = read_cloud(scene[0] / "mvs/cloud.ply").points
    inside = np.abs(points[:, 0]) < 1.8
    inside &= (np.abs(points[:, 1]) < 1.2) & (points[:, 2] == DEPTH)
    terms = np.column_stack(
        [decode_lighting(lighting[inside].astype(float)), texture(*points[inside, :2].T), np.ones(inside.sum())]
    )
    wanted = patterns(*points[inside, :2].T)
    left = wanted - terms @ np.linalg.lstsq(terms, wanted, rcond=None)[0]
    assert inside.sum() > 5000
    assert left.std(axis=0).max() < 0.12  # of 0.7


def test_few_photos_get_few_numbers(scene, lighting):
    more = light(scene, channels=5)  # 18 photos are enough for 3
    assert more.shape[1] == 5
    assert more[:-1, :3].std(axis=0).min() > 30
    assert np.all(more[:, 3:] == encode_lighting(np.zeros(1)))


def test_unseen_points_have_none(scene, lighting):
    assert np.all(lighting[-1] == encode_lighting(np.zeros(2)))


@pytest.mark.parametrize("threads", [1, 4])
def test_two_runs_agree(scene, lighting, threads, monkeypatch):
    monkeypatch.setattr("nrw.framebuffers.lighting.CHUNK", 5000)  # several, to have something to share
    np.testing.assert_array_equal(light(scene, threads=threads), lighting)


def test_photos_that_show_nothing_are_an_error(scene):
    with pytest.raises(UserError, match=r"none of the 18 training photos.*buffer\.lighting to 0"):
        light(scene, masked=[WALL])


def test_the_code_holds_what_it_is_given():
    values = np.array([-2, -1, -0.5, 0, 0.3, 1, 7])
    np.testing.assert_allclose(
        decode_lighting(encode_lighting(values).astype(float)), values.clip(-1, 1), atol=0.5 / 127
    )
    assert decode_lighting(encode_lighting(np.zeros(1)).astype(float)) == 0
