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
    mark_duplicates(photos, 8)
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


def test_a_photo_saved_again_is_found_though_its_hash_changes():
    """Bits of nearly average frequencies change; the colours decide."""
    picture = noise(0)
    again, other = photo_of("b.jpg", picture.resize((90, 68))), photo_of("c.jpg", noise(1))
    photo = photo_of("a.jpg", picture)
    again.phash, other.phash = photo.phash ^ 0b11001100, photo.phash
    verdicts = {"a.jpg": "ok", "b.jpg": "near duplicate of a.jpg", "c.jpg": "ok"}
    assert verdicts_of([photo, again, other]) == verdicts
    assert verdicts_of([photo, photo_of("d.jpg", picture.point(lambda value: value // 2))])["d.jpg"] == "ok"


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


def view(kind="", seed=0):
    """A wall of stones with a bright window, taken from a tripod (480 x 360) in the light that `kind` names."""
    pixels = np.asarray(noise(seed, 480, 360), np.float32) * 0.6 + 60
    pixels += np.random.default_rng(seed).normal(0, 12, (360, 480, 1))
    if kind == "evening":
        pixels *= (1.0, 0.88, 0.7)
    elif kind == "cloud":
        pixels *= 0.85
    elif kind == "exposure":
        pixels = 255 * (pixels / 255).clip(0, 1) ** 1.4
    elif kind == "lamp":
        pixels[150:200, 200:260] += (90, 70, 30)
    elif kind == "shadow":
        pixels[:, :40] *= 0.55
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("light", ["evening", "cloud", "exposure", "lamp", "shadow"])
def test_the_same_view_in_other_light_is_no_duplicate(light):
    photos = [photo_of("day.png", view()), photo_of("other.png", view(light))]
    mark_duplicates(photos, 64)  # their hashes are alike, or nearly so
    assert [photo.verdict for photo in photos] == ["ok", "ok"]


@pytest.mark.parametrize("light", ["", "evening", "lamp"])
def test_the_same_picture_in_another_quality_size_or_format_is_a_duplicate(folder, light):
    picture = view(light)
    picture.save(folder / "original.png")
    half, third = (picture.resize((480 // part, 360 // part)) for part in (2, 3))
    picture.save(folder / "worse.jpg", quality=20)
    picture.save(folder / "web.webp", quality=40)
    half.save(folder / "half.jpg", quality=60)
    third.save(folder / "third.jpg", quality=75, subsampling=2)
    rows, _ = imported(folder, max_size=480)
    copies = ("worse.jpg", "web.webp", "half.jpg", "third.jpg")
    assert {file: rows[file]["verdict"] for file in copies} == dict.fromkeys(copies, "near duplicate of original.png")
    assert rows["original.png"]["verdict"] == "ok"


def test_a_day_from_one_tripod_is_kept_through_the_import(folder):
    lights = ("", "evening", "cloud", "exposure", "lamp", "shadow")
    for number, light in enumerate(lights):
        view(light).save(folder / f"t{number}.jpg", quality=90)
    rows, _ = imported(folder, max_size=480)
    assert [rows[f"t{number}.jpg"]["verdict"] for number in range(len(lights))] == ["ok"] * len(lights)


def test_pictures_without_contrast_are_duplicates_only_of_equal_ones():
    grays = [Image.new("RGB", (120, 90), (level,) * 3) for level in (100, 101, 100)]
    assert list(verdicts_of([photo_of(f"{i}.png", gray) for i, gray in enumerate(grays)]).values()) == [
        "ok", "ok", "duplicate of 0.png",
    ]  # fmt: skip
