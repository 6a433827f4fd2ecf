"""Photo folders with everything that people put into them."""

import errno
import io
import os
import struct
import warnings

import numpy as np
import pytest
from photo_folder import DEFAULTS, copy_of, imported, noise, png_chunk
from PIL import Image

from nrw.config.sources import remember
from nrw.core.errors import UserError
from nrw.core.folder import SOURCE
from nrw.photos import importing
from nrw.photos.importing import import_photos


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), r"\.jpg': Memory ran out: MemoryError"),
        (ImportError("libx.so: failed to map segment from shared object"), r"\.jpg': Memory ran out: libx\.so"),
        (OSError(errno.ENOSPC, "No space left on device"), r"\.jpg': No space left on device"),
    ],
)
def test_a_photo_is_not_blamed_for_a_machine_without_memory_or_room(folder, monkeypatch, error, words):
    def starved(*_):
        raise error

    monkeypatch.setattr(importing, "_judge_and_copy", starved)
    with pytest.raises(UserError, match=words):
        imported(folder)


def test_every_verdict(folder):
    noise(10).save(folder / "good.png")
    (folder / "notes.txt").write_text("not a photo")
    (folder / "clip.mp4").write_bytes(b"\0" * 100)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("this is no JPEG")
    whole = io.BytesIO()
    noise(11).save(whole, "JPEG", quality=95)
    (folder / "half.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)).save(whole, "PNG")
    (folder / "half.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    for name in ("moving.gif", "moving.webp", "moving.png"):
        noise(12).save(folder / name, save_all=True, append_images=[noise(13)])
    noise(14, 120, 49).save(folder / "small.jpg")
    noise(15, 1500, 800).save(folder / "large.jpg")
    # a bomb: a kilobyte that says it is 4 gigapixels
    header = struct.pack(">IIBBBBB", 65000, 65000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    (folder / "bomb.png").write_bytes(bomb)
    (folder / "b.jpg").write_bytes((folder / "a0.jpg").read_bytes())
    (folder / "a1 (1).jpg").write_bytes((folder / "a1.jpg").read_bytes())
    noise(1).save(folder / "worse.jpg", quality=60)
    noise(2, 180, 135).save(folder / "larger.jpg", quality=95)
    (folder / "nowhere.jpg").symlink_to(folder / "gone.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / ".hidden.jpg").write_bytes(whole.getvalue())

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's warning about decompression bombs
        rows, _ = imported(folder)
    verdicts = {file: row["verdict"] for file, row in rows.items()}
    assert verdicts.pop("text.jpg").startswith("unreadable: not an image")
    assert verdicts == {
        "a0.jpg": "ok",
        "a1 (1).jpg": "duplicate of a1.jpg",  # though it comes earlier
        "a1.jpg": "ok",
        "a2.jpg": "near duplicate of larger.jpg",  # the larger one is kept, though it comes later
        "b.jpg": "duplicate of a0.jpg",
        "bomb.png": "oversized (4225 megapixels)",
        "clip.mp4": "not a photo",
        "empty.jpg": "unreadable: the file is empty",
        "good.png": "ok",
        "half.jpg": "truncated",
        "half.png": "truncated",
        "large.jpg": "oversized (1 megapixels)",
        "larger.jpg": "ok",
        "moving.gif": "animated",
        "moving.png": "animated",
        "moving.webp": "animated",
        "notes.txt": "not a photo",
        "nowhere.jpg": "unreadable: a link to nothing",
        "pipe.jpg": "not a photo",
        "small.jpg": "too small (120x49)",
        "worse.jpg": "near duplicate of a1.jpg",
    }
    assert [row["id"] for row in rows.values() if row["id"]] == ["0000", "0001", "0002", "0003"]


def test_size_of_copies_and_focal_length(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA405] = 28
    noise(30, 1000, 750).save(folder / "phone.jpg", exif=exif)
    rows, images = imported(folder)
    row = rows["phone.jpg"]
    assert (row["width"], row["height"]) == ("150", "200")
    assert (row["original_width"], row["original_height"]) == ("750", "1000")
    assert float(row["focal_px"]) == pytest.approx(28 / 43.27 * 250, abs=0.01)
    assert (
        np.abs(copy_of(rows, images, "phone.jpg") - np.asarray(noise(30, 200, 150).rotate(-90, expand=True))).mean() < 6
    )
    assert rows["a0.jpg"]["focal_px"] == ""


def test_any_names(folder):
    names = [
        "with space.jpg",
        "quo\"te's.jpg",
        "comma, semi;.jpg",
        "new\nline.jpg",
        "ümläut 日本.jpg",
        "-rf.JPG",
        "a*?$(x).jpg",
    ]
    for seed, name in enumerate(names):
        noise(50 + seed).save(folder / name, "JPEG")
    noise(60).save(io_bytes := io.BytesIO(), "JPEG")
    with open(os.fsencode(folder) + b"/latin\xe9.jpg", "wb") as stream:
        stream.write(io_bytes.getvalue())
    for number, sub in enumerate(("x", "y/x", "dir.jpg")):
        (folder / sub).mkdir(parents=True, exist_ok=True)
        noise(70 + number).save(folder / sub / "a0.jpg")
    rows, images = imported(folder)
    assert {*names, "latin\\xe9.jpg", "x/a0.jpg", "y/x/a0.jpg", "dir.jpg/a0.jpg"} < set(rows)
    assert {row["verdict"] for row in rows.values()} == {"ok"}
    assert len({row["id"] for row in rows.values()}) == len(rows) == 14
    for number, sub in enumerate(("x", "y/x", "dir.jpg")):
        assert np.abs(copy_of(rows, images, f"{sub}/a0.jpg") - np.asarray(noise(70 + number))).mean() < 10


def test_files_are_judged_by_their_content(folder):
    jpeg = (folder / "a0.jpg").read_bytes()
    (folder / "a0.jpg").unlink()
    (folder / "Trevi_0.jpg?width=1024&height=768").write_bytes(jpeg)
    noise(10).save(folder / "no suffix", "PNG")
    noise(11).save(folder / "wrong.txt", "JPEG")
    noise(12).save(folder / "photo.html", "WEBP")
    (folder / "page.jpg?width=1024").write_text("<html>not found</html>")
    (folder / "README").write_text("from the web")
    for name in (
        "raw.NEF",
        "raw.dng?download=1",
        "raw?.CR2",
        "clip.mov",
        "IMG_1.THM",
    ):  # not opened, whatever they hold
        noise(13).save(folder / name, "TIFF")
    rows, _ = imported(folder)
    assert {file: row["verdict"] for file, row in rows.items()} == {
        "IMG_1.THM": "not a photo",
        "README": "not a photo",
        "Trevi_0.jpg?width=1024&height=768": "ok",
        "a1.jpg": "ok",
        "a2.jpg": "ok",
        "clip.mov": "not a photo",
        "no suffix": "ok",
        "page.jpg?width=1024": "unreadable: not an image, or damaged from its start",
        "photo.html": "ok",
        "raw.NEF": "not a photo",
        "raw.dng?download=1": "not a photo",
        "raw?.CR2": "not a photo",
        "wrong.txt": "ok",
    }


def test_what_cannot_be_read_has_a_row(folder, no_root):
    for name in ("b", "private", "c"):
        (folder / name).mkdir()
        noise(80).save(folder / name / "lost.jpg")
    (folder / "c" / "lost.jpg").chmod(0)
    (folder / "private").chmod(0)
    with no_root():
        rows, _ = imported(folder)
    assert {file: row["verdict"] for file, row in rows.items()} == {
        **dict.fromkeys(("a0.jpg", "a1.jpg", "a2.jpg", "b/lost.jpg"), "ok"),
        "c/lost.jpg": "unreadable: Permission denied",
        "private/": "unreadable: the folder cannot be read (Permission denied)",
    }


def test_few_photos_leave_their_table_and_copies(tmp_path):
    (tmp_path / "in").mkdir()
    noise(0).save(tmp_path / "in" / "0.jpg")
    noise(1, 40, 30).save(tmp_path / "in" / "tiny.jpg")
    rows, images = imported(tmp_path / "in")
    assert [row["verdict"] for row in rows.values()] == ["ok", "too small (40x30)"]
    assert os.listdir(images) == ["0000.jpg"]


def test_results_among_the_photos_are_not_imported(folder):
    results = folder / "results" / "place"
    remember(results / SOURCE, {"photos": str(folder)})
    (results / "photos" / "images").mkdir(parents=True)
    noise(7).save(results / "photos" / "images" / "0000.jpg")
    (folder / "results" / "of the trip").mkdir()
    noise(8).save(folder / "results" / "of the trip" / "b.jpg")
    rows, _ = imported(folder)
    assert set(rows) == {"a0.jpg", "a1.jpg", "a2.jpg", "results/of the trip/b.jpg"}


def test_errors_say_what_was_found(tmp_path):
    out = tmp_path / "out"

    def fails(folder):
        with pytest.raises(UserError) as error:
            import_photos(folder, out / "photos.csv", out / "images", **DEFAULTS)
        assert str(folder) in str(error.value)
        assert not (out / "images").exists()
        return str(error.value)

    assert "does not exist" in fails(tmp_path / "gone")
    (tmp_path / "file").write_text("")
    assert "is a file" in fails(tmp_path / "file")
    (tmp_path / "in").mkdir()
    assert "is empty" in fails(tmp_path / "in")
