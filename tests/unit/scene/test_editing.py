import numpy as np
import pytest
from PIL import Image

from nrw.core import ade20k
from nrw.core.errors import UserError
from nrw.scene import editing

GRASS, ROAD, SIDEWALK, FLOOR, SKY, PERSON, CAR, SIGN = (
    ade20k.label_of(name)
    for name in ("grass", "road", "sidewalk", "floor", "sky", "person", "car", "signboard")
)  # fmt: skip


def meta(*names):
    """Of a data set whose training photos show these classes."""
    return {"classes": sorted({int(ade20k.GROUPS[ade20k.label_of(name)]) for name in names})}


def test_a_class_takes_the_place_of_another_and_all_else_stays():
    table = editing.table({"grass": "pavement"}, meta("grass", "road", "sky"))
    labels = np.array([[0, GRASS, SKY], [ROAD, PERSON, 150]], np.uint8)
    np.testing.assert_array_equal(table[labels], [[0, SIDEWALK, SKY], [ROAD, PERSON, 150]])
    assert table[labels].dtype == np.uint8
    assert editing.table({}, meta()) is None


def test_what_the_networks_see_as_one_is_replaced_together_and_two_classes_can_change_places():
    table = editing.table({"sidewalk": "grass", "grass": "road"}, meta("grass", "floor"))
    assert table[[ROAD, SIDEWALK, FLOOR]].tolist() == [GRASS] * 3 and table[GRASS] == ROAD
    alone = editing.table({"car": "road"}, meta("road", "car"))  # neither has a group of its own
    assert alone[CAR] == ROAD and alone[SIGN] == SIGN


@pytest.mark.parametrize(
    ("replacements", "message"),
    [
        ({"gras": "road"}, "the nearest is 'grass'"),
        ({"grass": "side walk"}, "the nearest is 'sidewalk'"),
        ({"grass": "water"}, "not trained on water; they know sky, road, sidewalk, floor, grass"),
        ({"grass": "car"}, "not trained on car"),
        ({"sidewalk": "road"}, "sidewalk and road as the same class"),
        ({"road": "grass", "floor": "sky"}, "the same class as another that is replaced by grass"),
    ],
)
def test_an_edit_that_means_nothing_is_an_error(replacements, message):
    with pytest.raises(UserError, match=message):
        editing.table(replacements, meta("grass", "road", "sky"))


def test_a_scene_without_labels_and_a_class_that_novel_views_never_show_are_errors():
    with pytest.raises(UserError, match="not segmented"):
        editing.table({"grass": "road"}, meta())
    assert editing.table({"person": "road"}, meta("grass", "road"))[PERSON] == ROAD
    with pytest.raises(UserError, match="no predicted label map of this scene shows person; they show road"):
        editing.table({"person": "road"}, meta("grass", "road"), predicted=[GRASS, SIDEWALK])
    assert editing.table({"road": "grass"}, meta("grass", "road"), predicted=[GRASS, SIDEWALK])[SIDEWALK] == GRASS


def test_pairs_are_read_from_the_command_line():
    assert editing.parse(["grass=sidewalk", " sky = sea"]) == {"grass": "sidewalk", "sky": "sea"}
    for bad in ("grass", "grass=", "=sky"):
        with pytest.raises(UserError, match="a pair of ADE20K names"):
            editing.parse([bad])
    with pytest.raises(UserError, match="replaced by sky already"):
        editing.parse(["grass=sky", "grass=sea"])


LABELS = np.array([[SKY, GRASS, ROAD], [0, GRASS, SKY]], np.uint8)


def gray_palette(labels):
    """A palette image whose colours are gray and in another order than its indices."""
    image = Image.fromarray(255 - labels).convert("P")
    image.putpalette([value for index in range(256) for value in [255 - index] * 3])
    return image


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("gray.png", Image.fromarray(LABELS)),
        ("gray.tif", Image.fromarray(LABELS)),
        ("sixteen.png", Image.fromarray(LABELS.astype(np.uint16))),
        ("wide.tif", Image.fromarray(LABELS.astype(np.int32))),
        ("rgb.png", Image.fromarray(LABELS).convert("RGB")),
        ("rgba.png", Image.fromarray(LABELS).convert("RGBA")),
        ("gray_alpha.png", Image.fromarray(LABELS).convert("LA")),
        ("gray_palette.png", gray_palette(LABELS)),
        ("colours.png", Image.fromarray(ade20k.colorize(LABELS))),
        ("colours.bmp", Image.fromarray(ade20k.colorize(LABELS))),
        ("alpha.png", Image.fromarray(ade20k.colorize(LABELS)).convert("RGBA")),
        ("palette.png", Image.fromarray(ade20k.colorize(LABELS)).quantize(16)),
    ],
)
def test_one_painted_map_is_the_same_however_it_is_stored(tmp_path, name, image):
    image.save(tmp_path / name)
    labels = editing.read_painted(tmp_path / name, (2, 3))
    np.testing.assert_array_equal(labels, LABELS)
    assert labels.dtype == np.uint8


def test_gray_colours_of_the_palette_are_colours_where_they_cannot_be_labels(tmp_path):
    window = ade20k.label_of("windowpane")  # (230, 230, 230)
    for name, labels in (("window", np.full((2, 3), window, np.uint8)), ("black", np.zeros((2, 3), np.uint8))):
        Image.fromarray(ade20k.colorize(labels)).save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(editing.read_painted(tmp_path / f"{name}.png", (2, 3)), labels)
    Image.fromarray(np.full((2, 3), 120, np.uint8)).save(tmp_path / "gray.png")  # the colour of a wall, but one channel
    assert (editing.read_painted(tmp_path / "gray.png", (2, 3)) == 120).all()


def transparent(labels):
    image = Image.fromarray(ade20k.colorize(labels)).convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    return image


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("high.png", Image.fromarray(np.full((2, 3), 151, np.uint8)), "has the value 151; ADE20K labels are 0 to 150"),
        ("sixteen.png", Image.fromarray(LABELS.astype(np.uint16) * 257), f"has the value {257 * GRASS}"),
        ("negative.tif", Image.fromarray(np.full((2, 3), -1, np.int32)), "has the value -1"),
        ("rgb.png", Image.fromarray(np.full((2, 3, 3), 151, np.uint8)), "has the value 151"),
        ("bits.png", Image.fromarray(np.eye(2, 3) > 0), "has the value 255"),
        ("wall.png", Image.fromarray(np.full((2, 3, 3), 120, np.uint8)), "labels as well as colours"),
        ("soft.png", Image.fromarray(np.full((2, 3, 3), (93, 175, 175), np.uint8)), r"6 pixels .* \(93, 175, 175\)"),
        ("clear.png", transparent(LABELS), "transparent"),
        ("float.tif", Image.fromarray(LABELS.astype(np.float32)), "pixels of kind F"),
        ("lossy.jpg", Image.fromarray(LABELS), "is JPEG, which may change values"),
        ("size.png", Image.fromarray(np.zeros((4, 5), np.uint8)), "is 5x4, its view 3x2"),
    ],
)
def test_a_painted_map_that_could_mean_anything_else_is_refused(tmp_path, name, image, message):
    image.save(tmp_path / name)
    with pytest.raises(UserError, match=message):
        editing.read_painted(tmp_path / name, (2, 3))


def test_a_painted_map_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for name, message in (("none", "does not exist"), ("text", "cannot be read")):
        with pytest.raises(UserError, match=message):
            editing.read_painted(tmp_path / f"{name}.png", (2, 3))
