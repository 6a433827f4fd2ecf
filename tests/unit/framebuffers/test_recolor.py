"""Point colors of a synthetic scene: a textured wall behind a small panel, photographed at many exposures."""

import numpy as np
import pytest
from PIL import Image
from wall import HEIGHT, WIDTH, observe, write_scene

from nrw.core.errors import UserError
from nrw.framebuffers.recolor import recolor
from nrw.geometry.cameras import read_cameras
from nrw.geometry.pointcloud import Cloud

PERSON, SKY, WALL = 13, 3, 1
WALL_DEPTH, PANEL_DEPTH, PANEL_HALF = 4.0, 3.0, 0.25
OUTLIER, MARKED = "0002", "0005"  # an unmarked red square; a marked person
BOX = (slice(40, 80), slice(60, 110))
PANEL_COLOR = np.array([60.0, 140, 180])


def texture(x, y):
    """Smooth colors of the wall, 50 to 200."""
    waves = [np.sin(2.1 * x + 1.3 * y), np.sin(1.7 * x - 2.2 * y + 1), np.cos(2.4 * x + 0.4 * y)]
    return 125 + 75 * np.stack(waves, axis=-1)


def photograph(camera, gain, offset):
    """The picture of the scene without noise, (H, W, 3) float."""
    rays = camera.ray_directions().astype(np.float64)
    hits = [camera.center + rays * ((depth - camera.center[2]) / rays[..., 2:]) for depth in (WALL_DEPTH, PANEL_DEPTH)]
    on_panel = np.all(np.abs(hits[1][..., :2]) <= PANEL_HALF, axis=-1)
    colors = np.where(on_panel[..., None], PANEL_COLOR, texture(hits[0][..., 0], hits[0][..., 1]))
    return np.clip(colors * gain + offset, 0, 255)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    root = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(0)

    def shoot(photo, camera):
        picture = photograph(camera, rng.uniform(0.5, 1.1, 3), rng.uniform(-20, 20, 3))
        labels = np.full((HEIGHT, WIDTH), WALL, np.uint8)
        if photo == OUTLIER:
            picture[BOX] = [255, 0, 0]
        if photo == MARKED:
            picture[BOX] = [0, 255, 0]
            labels[BOX] = PERSON
        return picture, labels

    wall = np.mgrid[-2.6:2.6:0.03, -2.0:2.0:0.03].reshape(2, -1).T
    panel = np.mgrid[-PANEL_HALF:PANEL_HALF:31j, -PANEL_HALF:PANEL_HALF:31j].reshape(2, -1).T
    points = np.concatenate(
        [np.insert(wall, 2, WALL_DEPTH, axis=1), np.insert(panel, 2, PANEL_DEPTH, axis=1), [[0, 0, -9.0]]]
    )
    truth = np.concatenate([texture(*wall.T), np.tile(PANEL_COLOR, (len(panel), 1)), [[125, 125, 125]]])
    own = np.clip(truth * 0.5 + 20, 0, 255).astype(np.uint8)  # the cloud's colors are dark
    normals = np.tile(np.float32([0, 0, -1]), (len(points), 1))
    ids = write_scene(root, Cloud(points.astype(np.float32), own, normals), 9, shoot)
    return root, points, truth, ids


def run(scene, ids, masked=(PERSON,), segmentation=True):
    root = scene[0]
    observations = observe(root, ids, masked, segmentation)
    recolor(observations, root / "mvs/cloud.ply", root / "colors.npy")
    return np.load(root / "colors.npy")


def error(colors, truth):
    """Distance from the truth, (N,), up to one gain and offset per channel, found robustly."""
    result = np.empty(truth.shape)
    for channel in range(3):
        keep = np.ones(len(truth), bool)
        for _ in range(5):
            line = np.polyfit(truth[keep, channel], colors[keep, channel].astype(float), 1)
            result[:, channel] = colors[:, channel] - np.polyval(line, truth[:, channel])
            keep = np.abs(result[:, channel]) <= 2 * np.median(np.abs(result[:, channel])) + 1e-9
    return np.linalg.norm(result, axis=1)


def seen_by(scene, ids):
    """Points of the wall whose projection is well inside one of the photos and clear of the panel."""
    root, points, _, _ = scene
    count = np.zeros(len(points), int)
    for photo in ids:
        camera = read_cameras(root / "mvs/sparse")[photo]
        uv, depth = camera.project(points)
        inside = np.all((uv > 1) & (uv < [WIDTH - 1, HEIGHT - 1]), axis=1) & (points[:, 2] == WALL_DEPTH)
        at_panel = camera.center + (points - camera.center) * ((PANEL_DEPTH - camera.center[2]) / depth)[:, None]
        count += inside & (np.abs(at_panel[:, :2]).max(axis=1) > PANEL_HALF + 0.06)
    return count


def in_box(scene, photo):
    uv, depth = read_cameras(scene[0] / "mvs/sparse")[photo].project(scene[1])
    rows, columns = BOX
    inside = (uv[:, 0] > columns.start) & (uv[:, 0] < columns.stop) & (uv[:, 1] > rows.start) & (uv[:, 1] < rows.stop)
    return inside & (depth > 0) & (scene[1][:, 2] == WALL_DEPTH)


@pytest.fixture(scope="module")
def colors(scene):
    """From all photos, with the person masked."""
    return run(scene, scene[3])


def test_the_texture_is_recovered_up_to_one_exposure(scene, colors):
    assert colors.dtype == np.uint8
    assert colors.shape == scene[2].shape
    errors = error(colors, scene[2])
    several = seen_by(scene, scene[3]) >= 4
    assert several.sum() > 8000
    assert np.median(errors[several]) < 4
    assert np.percentile(errors[several], 99) < 12


def test_an_unmarked_outlier_is_outvoted(scene, colors):
    covered = in_box(scene, OUTLIER) & (seen_by(scene, scene[3]) >= 4)
    errors = error(colors, scene[2])
    assert covered.sum() > 500
    # the plain mean of up to nine photos would be off by more than 255 / 9 for red alone
    assert np.percentile(errors[covered], 95) < 12


def test_masked_labels_give_no_color(scene):
    """Two photos only, so that no vote could hide the person."""
    ids = [MARKED, "0004"]
    covered = in_box(scene, MARKED) & (seen_by(scene, ["0004"]) == 1)
    truth = scene[2]
    assert covered.sum() > 500
    assert np.percentile(error(run(scene, ids), truth)[covered], 95) < 20
    assert np.percentile(error(run(scene, ids, masked=[SKY]), truth)[covered], 50) > 30
    assert np.percentile(error(run(scene, ids, segmentation=False), truth)[covered], 50) > 30


def test_what_stands_in_front_does_not_color_what_is_behind(scene, colors):
    """The centre of the wall is hidden from the middle view, where the panel is, and seen from the others."""
    behind = (np.abs(scene[1][:, :2]).max(axis=1) < 0.25) & (scene[1][:, 2] == WALL_DEPTH)
    errors = error(colors, scene[2])
    assert behind.sum() > 200
    assert np.percentile(errors[behind], 90) < 12
    only_middle = run(scene, ["0004"])
    hidden = only_middle[behind].astype(float)
    panel = (scene[1][:, 2] == PANEL_DEPTH) & (np.abs(scene[1][:, :2]).max(axis=1) < 0.2)
    panel = only_middle[panel].astype(float)
    # hidden points keep the cloud's colors, which vary as the texture does; the panel is one flat color
    assert panel.std(axis=0).max() < 3
    assert np.linalg.norm(hidden - np.median(panel, axis=0), axis=1).mean() > 30


def test_unseen_points_keep_the_clouds_color_at_the_common_exposure(scene):
    ids = ["0003", "0004"]
    colors = run(scene, ids)
    unseen = seen_by(scene, scene[3]) == 0
    unseen &= scene[1][:, 2] == WALL_DEPTH
    assert unseen.sum() > 500
    assert np.percentile(error(colors, scene[2])[unseen], 90) < 15


def test_the_common_statistics_are_the_sets(scene, colors):
    """The median over the photos of each photo's median; the photos' own scatter around it by some 20."""
    root, _, _, ids = scene
    medians = [np.median(np.array(Image.open(root / f"mvs/images/{i}.jpg")).reshape(-1, 3), axis=0) for i in ids]
    several = seen_by(scene, ids) >= 4
    np.testing.assert_allclose(np.median(colors[several], axis=0), np.median(medians, axis=0), atol=12)


def test_two_runs_agree(scene, colors):
    np.testing.assert_array_equal(run(scene, scene[3]), colors)


def test_photos_that_show_nothing_are_an_error(scene):
    with pytest.raises(UserError, match="none of the 2 training photos"):
        run(scene, scene[3][:2], masked=[WALL, PERSON])
