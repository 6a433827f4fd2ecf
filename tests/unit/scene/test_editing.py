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


def test_a_painted_map_is_read_in_gray_in_colours_and_with_a_palette(tmp_path):
    labels = np.array([[SKY, GRASS, ROAD], [0, GRASS, SKY]], np.uint8)
    colored = Image.fromarray(ade20k.colorize(labels))
    Image.fromarray(labels).save(tmp_path / "gray.png")
    colored.save(tmp_path / "colours.png")
    colored.convert("RGBA").save(tmp_path / "alpha.png")
    colored.quantize(16).save(tmp_path / "palette.png")
    for name in ("gray", "colours", "alpha", "palette"):
        np.testing.assert_array_equal(editing.read_painted(tmp_path / f"{name}.png", (2, 3)), labels)


def test_a_painted_map_that_does_not_fit_is_an_error(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(np.full((2, 3), 151, np.uint8)).save(tmp_path / "high.png")
    for name, shape, message in (
        ("none", (2, 3), "does not exist"),
        ("text", (2, 3), "cannot be read"),
        ("high", (2, 3), "has the value 151"),
        ("high", (4, 6), "is 3x2, its view 6x4"),
    ):
        with pytest.raises(UserError, match=message):
            editing.read_painted(tmp_path / f"{name}.png", shape)
