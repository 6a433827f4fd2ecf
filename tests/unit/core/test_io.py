"""Files are whole or absent, and what is written is read."""

import numpy as np
import pytest

from nrw.core.io import atomic_path, read_csv, read_image, read_json, write_csv, write_image, write_json


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ValueError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with atomic_path(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert [file.name for file in path.iterdir()] == ["new"]


def test_an_error_in_a_directory_leaves_nothing_behind(tmp_path):
    with pytest.raises(OSError), atomic_path(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
        raise OSError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "dtype"), [((5, 7), np.uint8), ((5, 7, 3), np.uint8), ((5, 7, 4), np.uint8), ((5, 7), np.uint16)]
)
def test_png_keeps_every_bit(tmp_path, shape, dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    write_image(tmp_path / "a.png", pixels)
    again = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(again, pixels)
    assert again.dtype == dtype


def test_an_image_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(OSError, match="RGBA"):
        write_image(tmp_path / "a.jpg", np.zeros((4, 4, 4), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_json_keeps_text_and_numbers(tmp_path):
    value = {"name": "Château, 日本", "numbers": [1, 0.1, None, True]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_csv_keeps_any_text(tmp_path):
    rows = [{"id": "0000", "file": 'a, "b"\nc.jpg'}, {"id": "0001", "file": "Sacré-Cœur.jpg"}]
    write_csv(tmp_path / "a.csv", rows, ["id", "file"])
    assert read_csv(tmp_path / "a.csv") == rows
