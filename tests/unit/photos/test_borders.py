"""Strips around photos, and what only looks like one."""

import numpy as np
import pytest
from photo_folder import copy_of, imported, noise
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from nrw.photos.borders import Strip, certain, find_strips, inside


def captioned(seed, width=160, height=120, share=0.1, color="white"):
    """A photo above a bar with a logo and text, which differs from photo to photo."""
    bar = round(height * share)
    picture = ImageOps.expand(noise(seed, width, height), (0, 0, 0, bar), color)
    draw = ImageDraw.Draw(picture)
    margin = max(4, bar // 4)
    draw.ellipse([margin, height + margin, bar, height + bar - margin], fill="red")
    draw.text((bar + 4, height + bar / 2), f"PRO f/{seed}", "black", ImageFont.load_default(bar * 0.5), "lm")
    return picture


def over_a_level_roof(seed, roof=40):
    """A night photo: black sky above a roof over the whole width, level as few photos are."""
    picture = noise(seed, 160, 120)
    picture.paste("black", (0, 0, 160, roof))
    return picture


def thumbnails(count, equal=False):
    rows = np.eye(count, 1024, dtype=np.float32)
    return np.repeat(rows[:1], count, axis=0) if equal else rows


def test_a_caption_is_found_up_to_its_end_with_what_is_printed_on_it():
    (strip,) = find_strips(np.asarray(captioned(0, 640, 480)))
    assert (strip.edge, strip.width, strip.height, strip.color) == ("bottom", 640, 528, (255, 255, 255))
    assert strip.thickness == pytest.approx(48, abs=2)
    assert inside([strip], 640, 528) == (0, 0, 640, 528 - strip.thickness)


def test_a_frame_is_found_at_all_edges_and_a_photo_has_none():
    framed = ImageOps.expand(noise(0, 160, 120), (5, 7, 9, 11), "navy")
    found = {strip.edge: strip.thickness for strip in find_strips(np.asarray(framed))}
    assert list(found) == ["bottom", "top", "left", "right"]
    assert [found[edge] for edge in ("left", "top", "right", "bottom")] == pytest.approx([5, 7, 9, 11], abs=2)
    assert find_strips(np.asarray(noise(0, 160, 120))) == ()
    assert find_strips(np.full((120, 160, 3), 90, np.uint8)) == ()  # fog, or a lens cap


def test_a_sky_above_a_skyline_is_no_strip():
    picture = np.asarray(noise(0, 160, 120)).copy()
    for column in range(160):
        picture[: 30 + column // 8, column] = 255
    assert find_strips(picture) == ()


def test_strips_are_certain_where_they_recur_in_photos_of_other_shapes():
    found = [
        find_strips(np.asarray(captioned(seed, *size)))
        for seed, size in enumerate([(640, 480), (640, 360), (480, 640)])
    ]
    assert [len(strips) for strips in found] == [1, 1, 1]
    assert certain(found, thumbnails(3)) == found
    assert certain(found, thumbnails(3, equal=True)) == [(), (), ()]  # one view: what recurs may be of the place
    assert certain(found[:2], thumbnails(2)) == [(), ()]


def test_strips_of_other_thickness_or_colour_do_not_recur():
    strip = Strip("top", 40, 640, 480, (0, 0, 0))
    others = [
        Strip("top", 80, 640, 480, (0, 0, 0)),
        Strip("top", 40, 640, 480, (0, 0, 90)),
        Strip("bottom", 40, 640, 480, (0, 0, 0)),
    ]
    assert certain([(strip,), *((other,) for other in others)], thumbnails(4)) == [()] * 4


def test_a_letterbox_is_certain_by_itself():
    boxed = find_strips(np.asarray(ImageOps.expand(noise(0, 160, 90), (0, 15), "black")))
    assert len(boxed) == 2 and certain([boxed], thumbnails(1)) == [boxed]


def test_the_import_cuts_captions_off_and_leaves_skies(folder):
    for seed in range(10, 14):
        captioned(seed, 200, 160).save(folder / f"caption{seed}.png")
    over_a_level_roof(20).save(folder / "night.png")
    rows, images = imported(folder)
    for seed in range(10, 14):
        row = rows[f"caption{seed}.png"]
        edge, thickness = row["border"].split()
        assert edge == "bottom" and int(thickness) == pytest.approx(16, abs=2)
        assert (row["original_height"], int(row["height"])) == ("176", 176 - int(thickness))
        copy = copy_of(rows, images, f"caption{seed}.png")
        assert np.abs(copy - np.asarray(noise(seed, 200, 160))[: len(copy)]).mean() < 6
    assert find_strips(np.asarray(over_a_level_roof(20)))
    assert (rows["night.png"]["border"], rows["night.png"]["height"]) == ("", "120")
    assert (copy_of(rows, images, "night.png")[:38] < 12).all()
    assert rows["a0.jpg"]["border"] == ""


def test_what_is_left_inside_a_frame_is_judged_like_a_photo(folder):
    soft = noise(33, 480, 360).filter(ImageFilter.GaussianBlur(24))  # as smooth as photos
    soft.save(folder / "soft.jpg", quality=95)
    ImageOps.expand(soft, 10, "black").save(folder / "framed.png")
    ImageOps.expand(noise(30, 200, 48), (0, 20), "black").save(folder / "thin.png")
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28
    ImageOps.expand(noise(31, 160, 120), (0, 10), "black").save(folder / "focal.jpg", exif=exif, quality=95)
    rows, _ = imported(folder)
    assert rows["soft.jpg"]["verdict"] == "near duplicate of framed.png"  # the larger file
    assert rows["thin.png"]["verdict"].startswith("too small (200x4")
    row = rows["focal.jpg"]
    diagonal = np.hypot(int(row["width"]), int(row["height"]))
    assert float(row["focal_px"]) == pytest.approx(28 / 43.27 * diagonal, abs=0.01)
    assert int(row["height"]) == pytest.approx(120, abs=5)
