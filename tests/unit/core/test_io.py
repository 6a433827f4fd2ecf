"""Files are whole or absent, and what is written is read."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from small_disk import small_disk

from nrw.core import io
from nrw.core.errors import UserError
from nrw.core.io import (
    atomic_path,
    is_writable,
    read_csv,
    read_image,
    read_json,
    require_writable,
    save_image,
    scratch_folder,
    write_csv,
    write_image,
    write_json,
)


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


def test_what_a_killed_process_has_left_is_deleted(tmp_path):
    write = "import os; from nrw.core import io\nwith io.atomic_path({!r}) as path:\n {}\n os.kill(os.getpid(), 9)"
    for name, fill in (("a.db", "[open(f'{path}{end}', 'w') for end in ('', '-wal', '-shm')]"), ("b", "path.mkdir()")):
        assert subprocess.run([sys.executable, "-c", write.format(str(tmp_path / name), fill)]).returncode == -9
    assert len(list(tmp_path.iterdir())) == 4
    others = {
        tmp_path / f".a.{os.getppid()}.part.db",
        tmp_path / "a.9.part.db",
        tmp_path / ".b.part",
        tmp_path / "a.db",
    }
    for path in others:
        path.touch()  # that of a process at work, and what is not ours
    require_writable(tmp_path / "c.mp4")
    assert set(tmp_path.iterdir()) == others


def test_a_scratch_folder_is_empty_and_goes(tmp_path):
    (tmp_path / ".scratch").mkdir()
    (tmp_path / ".scratch" / "of a killed process").touch()
    with pytest.raises(ValueError), scratch_folder(tmp_path / ".scratch") as folder:
        assert list(folder.iterdir()) == []
        (folder / "a").touch()
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_noticed_where_the_writer_says_nothing_or_something_else(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "is_full", lambda folder: True)
    for error in (None, RuntimeError("no factory succeeded"), OSError("12 requested and 4 written")):
        with pytest.raises(OSError, match="No space left") as raised, atomic_path(tmp_path / "a.bin") as temporary:
            temporary.write_bytes(b"half")
            if error is not None:
                raise error
        assert raised.value.errno == errno.ENOSPC
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="in its own words"), atomic_path(tmp_path / "a.bin"):
        raise UserError("in its own words")
    with pytest.raises(UserError, match=r"a\.mp4 cannot be written: No space left"):
        require_writable(tmp_path / "a.mp4")


def test_a_lost_right_is_noticed_whatever_the_writer_says(tmp_path, no_root):
    locked = tmp_path / "locked"
    locked.mkdir(0o555)
    with no_root():
        assert not is_writable(locked) and is_writable(tmp_path)
        with pytest.raises(PermissionError, match=r"Permission denied: .*locked"), atomic_path(locked / "a"):
            raise RuntimeError("no factory succeeded")
        with pytest.raises(RuntimeError, match="no factory"), atomic_path(tmp_path / "a"):
            raise RuntimeError("no factory succeeded")


def test_a_picture_whose_end_does_not_fit_is_not_kept(tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.uint8))
    with small_disk(tmp_path / "disk", 1 << 16):
        with pytest.raises(OSError, match="No space left"):
            save_image(tmp_path / "disk" / "a.jpg", picture, optimize=True)
        with pytest.raises(OSError, match="No space left"):
            write_image(tmp_path / "disk" / "b.png", np.asarray(picture))
        assert [path.name for path in (tmp_path / "disk").iterdir()] == ["a.jpg"]


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


def test_an_output_is_refused_before_it_is_computed(tmp_path):
    require_writable(tmp_path / "new" / "a.MP4", [".mp4"])
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    for path, message in (
        (tmp_path / "a.avi", r"ends in \.mp4"),
        (tmp_path / "new", "is a folder"),
        (tmp_path / "file" / "a.mp4", "cannot be written: (Not a directory|File exists)"),
        (tmp_path / f"{'x' * 250}.mp4", "File name too long"),
        ("/proc/a.mp4", "cannot be written: "),
    ):
        with pytest.raises(UserError, match=message):
            require_writable(path, [".mp4"] if str(path).endswith((".avi", ".mp4")) else [])
    assert not (tmp_path / "a.avi").exists()


def test_json_keeps_text_and_numbers(tmp_path):
    value = {"name": "Château, 日本", "numbers": [1, 0.1, None, True]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.json").read_bytes())
    assert read_json(tmp_path / "bom.json") == value


def test_csv_keeps_any_text(tmp_path):
    rows = [{"id": "0000", "file": 'a, "b"\nc.jpg'}, {"id": "0001", "file": "Sacré-Cœur.jpg"}]
    write_csv(tmp_path / "a.csv", rows, ["id", "file"])
    assert read_csv(tmp_path / "a.csv") == rows
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.csv").read_bytes())
    assert read_csv(tmp_path / "bom.csv") == rows
