"""Matches of what is printed on photos, and those of photos of one view."""

import numpy as np
import pycolmap
import pytest
from corner_scene import HEIGHT, MATCH, WIDTH, corner_photo, match, viewpoints, write_photos
from PIL import Image, ImageEnhance

from nrw.sfm.database import opened
from nrw.sfm.features import extract_features
from nrw.sfm.stationary import Picture, at_one_place, printed_features, printed_matches, read_pictures

RNG = np.random.default_rng(0)
LOGO = Image.fromarray(RNG.integers(0, 256, (12, 18), dtype=np.uint8)).resize((108, 72), Image.Resampling.BICUBIC)


def printed_on(photo: Image.Image) -> Image.Image:
    """The photo with a logo near its lower left corner."""
    photo.paste(LOGO, (6, photo.height - 78))
    return photo


def matched(folder, photos):
    """The database of these photos, all pairs matched."""
    write_photos(folder, photos, {})
    extract_features(
        folder / "images", folder / "photos.csv", folder / "f.db", max_size=320, max_features=600, threads=2
    )
    match(folder / "f.db", folder / "d.db", **MATCH)
    return folder / "d.db"


def inliers(database):
    """The number of verified matches by pair of photo numbers."""
    with opened(database) as connection:
        numbers = {image.image_id: int(image.name[:4]) for image in connection.read_all_images()}
        pairs, counts = connection.read_two_view_geometry_num_inliers()
    named = [tuple(numbers[image] for image in pycolmap.pair_id_to_image_pair(pair)) for pair in pairs]
    return {tuple(sorted(pair)): count for pair, count in zip(named, counts, strict=True) if count}


@pytest.fixture(scope="module")
def two_places():
    """Three photos of each of two places, with the same logo on all."""
    return [printed_on(corner_photo(*view, seed=seed)) for seed in (1, 2) for view in viewpoints(3)]


def test_a_logo_joins_no_photos_of_different_places(two_places, tmp_path, monkeypatch):
    kept = inliers(matched(tmp_path / "kept", two_places))
    monkeypatch.setattr("nrw.sfm.matching.drop_print", lambda *_: (0, 0))
    before = inliers(matched(tmp_path / "before", two_places))
    across = {(a, b) for a in range(3) for b in range(3, 6)}
    assert across <= set(before) and not across & set(kept)
    assert {(0, 1), (1, 2), (3, 4), (4, 5)} <= set(kept)


def test_photos_of_one_view_keep_their_matches(two_places, tmp_path, monkeypatch):
    """Four photos from a tripod, in other light, among those with the logo."""
    view = corner_photo(*viewpoints(3)[1], seed=1)
    tripod = [ImageEnhance.Brightness(view).enhance(light) for light in (0.5, 0.7, 0.9, 1.1)]
    kept = inliers(matched(tmp_path / "kept", two_places + tripod))
    monkeypatch.setattr("nrw.sfm.matching.drop_print", lambda *_: (0, 0))
    before = inliers(matched(tmp_path / "before", two_places + tripod))
    pairs = [(a, b) for a in range(6, 10) for b in range(a + 1, 10)]
    assert all(before[pair] > 200 for pair in pairs)
    assert {pair: kept[pair] for pair in pairs} == {pair: before[pair] for pair in pairs}


def test_a_database_without_print_is_left_as_it_is(scene):
    with opened(scene / "database.db") as database:
        numbers, matches = database.read_all_matches()
        pairs = dict(zip(map(pycolmap.pair_id_to_image_pair, numbers), matches, strict=True))
        printed = printed_features(read_pictures(database), pairs)
    assert len(pairs) > 10 and not any(features.any() for features in printed.values())


def picture(points, width, height):
    return Picture(np.asarray(points, float), np.array([width, height], float))


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (lambda w, h, size: [w - 8 * size, h - 2 * size], (960, 540, 1.0)),  # a corner, in pixels
        (lambda w, h, size: [w / 2 - 4 * size, h / 2 - size], (720, 960, 1.0)),  # the centre
        (lambda w, h, size: [2 * size, h - 2 * size], (960, 480, 480 / 720)),  # a corner, relative to the height
        (lambda w, h, size: [w / 2 - 4 * size, 0], (480, 960, 0.5)),  # the upper edge, relative to the width
    ],
)
def test_print_lies_at_one_place_in_photos_of_other_shapes(place, other):
    letters, scene = RNG.uniform(0, 1, (20, 2)) * [8, 2], RNG.uniform(0, 1, (30, 2))
    width, height, scale = other
    a = picture(np.concatenate([place(960, 720, 40) + 40 * letters, scene * [960, 720]]), 960, 720)
    there = np.array(place(width, height, 40 * scale)) + 40 * scale * letters
    b = picture(np.concatenate([there, scene[::-1] * [width, height]]), width, height)
    matches = np.stack([np.arange(50)] * 2, axis=1)
    assert at_one_place(a, b, matches)[:20].all()
    assert at_one_place(a, b, matches)[20:].sum() <= 1
    assert np.array_equal(printed_matches(a, b, matches), at_one_place(a, b, matches))


def test_few_or_scattered_matches_at_one_place_are_no_print():
    spread = picture(RNG.uniform(0, 1, (300, 2)) * [WIDTH, HEIGHT], WIDTH, HEIGHT)
    matches = np.stack([np.arange(300)] * 2, axis=1)
    assert at_one_place(spread, spread, matches).all()
    for count in (4, 15, 300):
        assert not printed_matches(spread, spread, matches[:count]).any()


def test_features_that_match_elsewhere_more_often_are_of_the_scene():
    letters = picture(np.array([[100, 20 + 4 * row] for row in range(20)] + [[300, 200]]), WIDTH, HEIGHT)
    moved = picture(letters.points + np.array([15, 9]), WIDTH, HEIGHT)
    same = np.stack([np.arange(20)] * 2, axis=1)
    pictures = {1: letters, 2: letters, 3: letters, 4: moved, 5: moved, 6: moved}
    print_only = {(1, 2): same, (1, 3): same}
    assert printed_features(pictures, print_only)[1].tolist() == [True] * 20 + [False]
    assert not printed_features(pictures, {(1, 2): same})[1].any()  # one pair is no proof
    of_the_scene = printed_features(pictures, {**print_only, (1, 4): same, (1, 5): same, (1, 6): same})
    assert not of_the_scene[1].any()
