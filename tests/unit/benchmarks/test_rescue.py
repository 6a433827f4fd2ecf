"""The sets of photos that the benchmark makes."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmarks.rescue import SETS, side, write_photos
from benchmarks.truth import Truth


@pytest.mark.parametrize(("name", "photos"), [("two sides", 21), ("day and night", 24), ("twins", 15)])
def test_a_set_has_its_photos(name, photos, tmp_path):
    write_photos(name, Truth(), 64, tmp_path)
    assert len(list(tmp_path.rglob("*.jpg"))) == photos


def test_the_sides_are_left_and_right_of_the_facade():
    straight = {"R": np.eye(3), "t": np.array([-10.0, 10.0, 0.0])}  # the camera stands at (10, -10, 0)
    assert side(straight) == pytest.approx(45)
    sides = [side(photo) for photo in Truth().photos.values() if SETS["two sides"](photo)]
    assert min(map(abs, sides)) > 28 and sum(value < 0 for value in sides) == 9


def test_every_second_photo_of_the_twins_is_mirrored(tmp_path):
    write_photos("twins", Truth(), 64, tmp_path)
    mirrored = sorted((tmp_path / "mirrored").rglob("*.jpg"))
    assert len(mirrored) == 7
    name = mirrored[0].relative_to(tmp_path / "mirrored")
    assert not (tmp_path / name).exists()
    plain = Image.open(Truth().folder.parent / "photos" / name).convert("RGB").resize(Image.open(mirrored[0]).size)
    shown = np.asarray(Image.open(mirrored[0]), np.int16)
    assert (
        np.abs(np.asarray(ImageOps.mirror(plain), np.int16) - shown).mean() < np.abs(np.asarray(plain) - shown).mean()
    )
