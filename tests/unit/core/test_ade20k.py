"""Names, groups and colours of ADE20K's classes."""

import numpy as np
import pytest

from nrw.core import ade20k
from nrw.core.errors import UserError

EVERY_LABEL = np.arange(151, dtype=np.uint8)[None]  # (1, 151)


def test_there_are_150_different_names():
    assert len(ade20k.ADE20K_NAMES) == len(set(ade20k.ADE20K_NAMES)) == 150


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("wall", 1),
        ("building", 2),
        ("sky", 3),
        ("tree", 5),
        ("road", 7),
        ("windowpane", 9),
        ("grass", 10),
        ("sidewalk", 12),
        ("person", 13),
        ("car", 21),
        ("column", 43),
        ("boat", 77),
        ("bus", 81),
        ("truck", 84),
        ("tower", 85),
        ("van", 103),
        ("fountain", 105),
        ("minibike", 117),
        ("animal", 127),
        ("bicycle", 128),
        ("sculpture", 133),
        ("flag", 150),
        (" Person ", 13),
        ("window", 9),
        ("plane", 91),
    ],
)
def test_labels_are_those_of_the_benchmark(name, label):
    assert ade20k.label_of(name) == label


def test_synonyms_are_no_other_class():
    assert not set(ade20k.SYNONYMS) & set(ade20k.ADE20K_NAMES)
    assert set(ade20k.SYNONYMS.values()) <= set(ade20k.ADE20K_NAMES)


def test_an_unknown_name_is_an_error_with_the_nearest_name():
    with pytest.raises(UserError, match=r"'peron'.*nearest is 'person'"):
        ade20k.labels_of(["car", "peron"])


def test_mask():
    labels = np.array([[2, 13, 0], [150, 13, 21]], np.uint8)
    np.testing.assert_array_equal(ade20k.mask(labels, ["person", "car"]), [[False, True, False], [False, True, True]])


class TestGroups:
    def test_each_group_has_its_own_color(self):
        assert ade20k.N_GROUPS == len(ade20k.GROUP_NAMES) == 29
        assert len(np.unique(ade20k.PALETTE_2019, axis=0)) == 29

    def test_collapse(self):
        label = ade20k.label_of
        assert {int(ade20k.GROUPS[label(name)]) for name in ("road", "sidewalk", "floor")} == {7}
        assert ade20k.GROUPS[label("person")] == 8
        assert ade20k.GROUPS[label("car")] == ade20k.GROUPS[0] == ade20k.OTHER_GROUP
        assert sorted(set(ade20k.GROUPS.tolist())) == list(range(29))

    def test_collapse_keeps_the_shape(self):
        collapsed = ade20k.collapse(np.array([[1, 2, 3]], np.uint8))
        assert collapsed.tolist() == [[0, 1, 2]]
        assert collapsed.dtype == np.uint8


class TestColors:
    def test_known_colors(self):
        np.testing.assert_array_equal(
            ade20k.colorize(np.array([[1, 2, 3, 0]], np.uint8)),
            [[[120, 120, 120], [180, 120, 120], [6, 230, 230], [0, 0, 0]]],
        )

    def test_labels_from_colors_undo_colorize_up_to_the_group(self):
        labels = ade20k.labels_from_colors(ade20k.colorize(EVERY_LABEL))
        np.testing.assert_array_equal(ade20k.collapse(labels), ade20k.collapse(EVERY_LABEL))

    def test_every_member_of_a_group_is_known_by_its_own_color(self):
        sidewalk, floor = [235, 255, 7], [80, 50, 50]
        assert ade20k.labels_from_colors(np.array([[sidewalk, floor]], np.uint8)).tolist() == [[12, 4]]

    def test_the_nearest_color_counts_and_strange_ones_are_unknown(self):
        colors = np.array([[[10, 226, 233], [128, 0, 255]]], np.uint8)
        assert ade20k.labels_from_colors(colors).tolist() == [[3, 0]]
        np.testing.assert_allclose(ade20k.palette_distance(colors), [[41**0.5, 128 - 31]], rtol=1e-6)

    def test_many_colors(self):
        colors = np.random.default_rng(0).integers(0, 256, (300, 301, 3), np.uint8)
        colors[7, 9] = 4, 200, 3
        labels = ade20k.labels_from_colors(colors)
        assert labels.shape == (300, 301)
        assert labels[7, 9] == ade20k.label_of("tree")
