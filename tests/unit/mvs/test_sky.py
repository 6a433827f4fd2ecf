"""The sky above a house: along its roof, beside poles and trees, with stray depths in it, at night; and no sky."""

import numpy as np
import pytest
from plaza_scene import BLUE, HEIGHT, STONE, WIDTH, camera_at, matched, photo, surfaces, write_plaza

from nrw.core.errors import UserError
from nrw.core.io import read_image
from nrw.mvs.sky import SIZE, count_surfaces, find_sky, mask_sky
from nrw.mvs.sources import read_sparse

CAMERA = camera_at(0)
NO_VOTES = np.zeros((HEIGHT, WIDTH), np.uint8)  # the photos are of the size at which the sky is found
HORIZON = 150
assert max(HEIGHT, WIDTH) == SIZE


def truth():
    depth, _ = surfaces(CAMERA)
    return (depth == 0) & (np.arange(HEIGHT)[:, None] < HORIZON - 3)


def overlap(found, true):
    return (found & true).sum() / (found | true).sum()


def test_the_sky_ends_at_the_roof_though_depths_reach_beyond_it():
    found = find_sky(photo(CAMERA), matched(CAMERA, margin=6), CAMERA, NO_VOTES)
    assert overlap(found, truth()) > 0.985
    _, house = surfaces(CAMERA)
    assert (found & house).sum() < 0.002 * house.sum()
    assert not found[HORIZON:].any()


@pytest.mark.parametrize("sky", [(250, 250, 250), (6, 6, 10)], ids=["overcast", "night"])
def test_skies_of_other_colors(sky):
    found = find_sky(photo(CAMERA, sky), matched(CAMERA), CAMERA, NO_VOTES)
    assert overlap(found, truth()) > 0.98


def test_flag_poles_and_trees_without_depth_stay_while_windows_like_the_sky_are_none():
    pixels, rng = photo(CAMERA), np.random.default_rng(1)
    roof = int(np.argmax(surfaces(CAMERA)[1][:, 160]))
    pole = (slice(roof - 45, roof), slice(200, 203))
    tree = (slice(60, HORIZON), slice(280, 315))
    window = (slice(roof + 20, roof + 40), slice(120, 140))
    pixels[pole] = (60, 60, 60)
    pixels[tree] = np.clip(rng.normal((40, 75, 30), 14, (HORIZON - 60, 35, 3)), 0, 255)
    pixels[window] = BLUE
    depth = matched(CAMERA)
    depth[window] = 0
    depth[tree] = 0
    found = find_sky(pixels, depth, CAMERA, NO_VOTES)
    assert found[pole].mean() < 0.15
    assert found[roof - 40 : roof - 5, 190:197].all() and found[roof - 40 : roof - 5, 206:213].all()
    assert found[tree].mean() < 0.05
    assert not found[window].any()


def test_stray_depths_in_the_sky_are_sky_and_flags_are_not():
    pixels, depth = photo(CAMERA), matched(CAMERA)
    depth[20:38, 40:60] = depth[8:16, 250:262] = 3.0
    flag = (slice(15, 27), slice(150, 170))
    pixels[flag] = (190, 30, 30)
    depth[flag] = 3.0
    found = find_sky(pixels, depth, CAMERA, NO_VOTES)
    assert found[20:38, 40:60].mean() > 0.95 and found[8:16, 250:262].mean() > 0.95
    assert found[flag].mean() < 0.1


def test_a_bright_cloud_is_sky():
    pixels = photo(CAMERA)
    pixels[15:30, 30:75] = 252
    assert find_sky(pixels, matched(CAMERA), CAMERA, NO_VOTES)[12:33, 27:78].mean() > 0.98


def test_what_the_neighbours_have_a_surface_at_is_none():
    pixels, depth = photo(CAMERA), matched(CAMERA)
    smooth = (slice(0, HORIZON), slice(60, 120))  # a wall as smooth as the sky, up to the picture's border
    pixels[smooth] = STONE
    depth[smooth] = 0
    votes = NO_VOTES.copy()
    votes[smooth] = 5
    assert find_sky(pixels, depth, CAMERA, votes)[smooth].mean() < 0.02


def test_a_facade_that_fills_the_picture_has_no_sky():
    close = camera_at(-0.5, 11.0)  # 3 m before the house
    assert surfaces(close)[1][0].all()
    depth = matched(close)
    depth[:12, 100:140] = 0  # a hole at the upper border
    assert not find_sky(photo(close), depth, close, NO_VOTES).any()


def test_without_any_surface_nothing_is_known():
    assert not find_sky(photo(CAMERA), np.zeros((HEIGHT, WIDTH), np.float32), CAMERA, NO_VOTES).any()


def test_a_larger_photo_gets_a_mask_of_its_size():
    large = CAMERA.resized(3 * WIDTH, 3 * HEIGHT)
    found = find_sky(photo(large.resized(WIDTH, HEIGHT)).repeat(3, 0).repeat(3, 1), matched(large, 12), large, NO_VOTES)
    assert found.shape == (3 * HEIGHT, 3 * WIDTH)
    assert overlap(found[1::3, 1::3], truth()) > 0.98


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, one_thread):
    return write_plaza(tmp_path_factory.mktemp("plaza"))


def test_masks_of_a_chunk_are_written_once(workspace):
    ids, key = ["0000", "0002"], workspace.root / "sky.key"
    mask_sky(workspace.root, ids, key)
    for photo_id in ids:
        mask = read_image(workspace.sky_mask(photo_id))
        depth, _ = surfaces(workspace.cameras[photo_id])
        assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}
        assert overlap(mask > 0, (depth == 0) & (np.arange(HEIGHT)[:, None] < HORIZON - 3)) > 0.97
    assert not workspace.sky_mask("0001").exists()
    before = workspace.sky_mask("0000").stat().st_mtime_ns
    mask_sky(workspace.root, ids, key)
    assert workspace.sky_mask("0000").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="0099"):
        mask_sky(workspace.root, ["0099"], key)


def test_neighbours_surfaces_are_seen_where_they_are(workspace):
    votes = count_surfaces(workspace, read_sparse(workspace.sparse, workspace.cameras), "0002")
    _, house = surfaces(workspace.cameras["0002"])
    assert votes.shape == (HEIGHT, WIDTH)
    assert np.median(votes[house]) >= 3
    assert not votes[:20].any()
