"""Photos that repeat another one."""

import numpy as np
import pytest
from photo_folder import imported, noise
from PIL import Image

from nrw.photos.duplicates import hash_photo, mark_duplicates
from nrw.photos.table import Photo


def photo_of(file, picture, size=None, focal_px=None):
    """A usable photo with its hashes. size: of the original."""
    width, height = size or picture.size
    photo = Photo(file, "ok", "", *picture.size, width, height, focal_px)
    hash_photo(photo, picture)
    return photo


def verdicts_of(photos):
    mark_duplicates(photos, 3)
    return {photo.file: photo.verdict for photo in photos}


def test_views_that_hash_alike_are_not_duplicates(folder):
    # one horizon, but a bright subject in another place: with a limit of 64 bits every hash matches
    for number, column in enumerate((20, 60, 100)):
        pixels = np.full((90, 120, 3), 200, np.uint8)
        pixels[50:] = 90
        pixels[30:80, column - 15 : column + 15] = 10
        Image.fromarray(pixels).save(folder / f"view{number}.png")
    rows, _ = imported(folder, duplicate_distance=64)
    assert {row["verdict"] for row in rows.values()} == {"ok"}


def test_of_equal_photos_the_largest_is_kept_then_one_with_a_focal_length_then_an_original_name():
    picture = noise(0)
    assert verdicts_of([photo_of("a.jpg", picture, focal_px=100.0), photo_of("b.jpg", picture, (240, 180))]) == {
        "a.jpg": "duplicate of b.jpg",
        "b.jpg": "ok",
    }
    assert verdicts_of([photo_of("a.jpg", picture), photo_of("a (1).jpg", picture, focal_px=100.0)]) == {
        "a.jpg": "duplicate of a (1).jpg",
        "a (1).jpg": "ok",
    }
    for copy in ("A (1).jpg", "a copy.jpg", "a - Copy 2.jpg"):
        assert verdicts_of([photo_of(copy, picture), photo_of("z.jpg", picture)])["z.jpg"] == "ok"


def test_pictures_of_other_shapes_and_files_with_other_verdicts_are_not_duplicates():
    broken = Photo("a.jpg", "truncated")
    square = photo_of("b.jpg", noise(0, 100, 100))
    wide = photo_of("c.jpg", noise(0, 150, 100))
    assert verdicts_of([broken, square, wide]) == {"a.jpg": "truncated", "b.jpg": "ok", "c.jpg": "ok"}


def test_thumbnails_are_compared_by_their_correlation():
    bright = photo_of("a.png", noise(0))
    dark = photo_of("b.png", noise(0).point(lambda value: 20 + value // 2))
    assert np.linalg.norm(bright.thumbnail) == pytest.approx(1, abs=1e-5)
    assert bright.thumbnail.mean() == pytest.approx(0, abs=1e-6)
    assert bright.thumbnail @ dark.thumbnail > 0.99
    assert bright.digest != dark.digest
    assert not photo_of("c.png", Image.new("RGB", (120, 90), "gray")).thumbnail.any()
