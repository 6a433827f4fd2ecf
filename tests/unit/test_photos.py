"""Photo folders with everything that people put into them."""

import io
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from nrw.core.errors import UserError
from nrw.core.io import read_csv
from nrw.photos.decoding import focal_length
from nrw.photos.importing import import_photos, list_files

DEFAULTS = dict(max_size=200, min_size=50, max_megapixels=1.0, duplicate_distance=3, threads=2)


def picture(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """Blurred coloured noise: unlike every other seed's for the perceptual hash."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path):
    """A folder with three usable photos, so that further files are judged without an error."""
    (tmp_path / "in").mkdir()
    for seed in range(3):
        picture(seed).save(tmp_path / "in" / f"a{seed}.jpg", quality=95)
    return tmp_path / "in"


def run(folder, **settings):
    """The rows of photos.csv by file, and the folder of copies."""
    out = folder.parent / "out"
    import_photos(folder, out / "photos.csv", out / "images", **(DEFAULTS | settings))
    rows = read_csv(out / "photos.csv")
    assert {f"{row['id']}.jpg" for row in rows if row["id"]} == set(os.listdir(out / "images"))
    assert all((row["verdict"] == "ok") == bool(row["id"]) for row in rows)
    return {row["file"]: row for row in rows}, out / "images"


def copy_of(rows, images, file):
    """(H, W, 3) int16 pixels of a file's upright copy."""
    with Image.open(images / f"{rows[file]['id']}.jpg") as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert image.size == (int(rows[file]["width"]), int(rows[file]["height"]))
        assert not image.getexif()
        return np.asarray(image).astype(np.int16)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_every_verdict(folder):
    picture(10).save(folder / "good.png")
    (folder / "notes.txt").write_text("not a photo")
    (folder / "clip.mp4").write_bytes(b"\0" * 100)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("this is no JPEG")
    whole = io.BytesIO()
    picture(11).save(whole, "JPEG", quality=95)
    (folder / "half.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)).save(whole, "PNG")
    (folder / "half.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    for name in ("moving.gif", "moving.webp", "moving.png"):
        picture(12).save(folder / name, save_all=True, append_images=[picture(13)])
    picture(14, 120, 49).save(folder / "small.jpg")
    picture(15, 1500, 800).save(folder / "large.jpg")
    # a bomb: a kilobyte that says it is 4 gigapixels
    header = struct.pack(">IIBBBBB", 65000, 65000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    (folder / "bomb.png").write_bytes(bomb)
    (folder / "b.jpg").write_bytes((folder / "a0.jpg").read_bytes())
    (folder / "a1 (1).jpg").write_bytes((folder / "a1.jpg").read_bytes())
    picture(1).save(folder / "worse.jpg", quality=60)
    picture(2, 180, 135).save(folder / "larger.jpg", quality=95)
    (folder / "nowhere.jpg").symlink_to(folder / "gone.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / ".hidden.jpg").write_bytes(whole.getvalue())

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's warning about decompression bombs
        rows, _ = run(folder)
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


def test_views_that_hash_alike_are_not_duplicates(folder):
    # one horizon, but a bright subject in another place: with a limit of 64 bits every hash matches
    for number, column in enumerate((20, 60, 100)):
        pixels = np.full((90, 120, 3), 200, np.uint8)
        pixels[50:] = 90
        pixels[30:80, column - 15 : column + 15] = 10
        Image.fromarray(pixels).save(folder / f"view{number}.png")
    rows, _ = run(folder, duplicate_distance=64)
    assert {row["verdict"] for row in rows.values()} == {"ok"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(folder, orientation):
    upright = picture(20, 90, 120)
    # EXIF names the turn that makes the stored picture upright; these are their inverses
    store = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(store[orientation]) if orientation in store else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in ("jpg", "png", "webp", "tif", "heic"):
        stored.save(folder / f"turned.{suffix}", exif=exif.tobytes(), quality=98)
        rows, images = run(folder)
        row = rows[f"turned.{suffix}"]
        assert (row["verdict"], row["original_width"], row["original_height"]) == ("ok", "90", "120")
        assert np.abs(copy_of(rows, images, f"turned.{suffix}") - np.asarray(upright)).mean() < 6, suffix
        (folder / f"turned.{suffix}").unlink()


def test_size_of_copies_and_focal_length(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA405] = 28
    picture(30, 1000, 750).save(folder / "phone.jpg", exif=exif)
    rows, images = run(folder)
    row = rows["phone.jpg"]
    assert (row["width"], row["height"]) == ("150", "200")
    assert (row["original_width"], row["original_height"]) == ("750", "1000")
    assert float(row["focal_px"]) == pytest.approx(28 / 43.27 * 250, abs=0.01)
    assert (
        np.abs(copy_of(rows, images, "phone.jpg") - np.asarray(picture(30, 200, 150).rotate(-90, expand=True))).mean()
        < 6
    )
    assert rows["a0.jpg"]["focal_px"] == ""


def test_focal_length_from_the_sensor():
    # a Canon EOS 10D: 22.7 mm wide, 3072 pixels, 3443.9 pixels an inch; at 50 mm f = 50 / 22.66 mm * 3072
    exif = {0x920A: 50.0, 0xA20E: 3443.946, 0xA210: 2, 0xA002: 3072, 0xA003: 2048}
    assert focal_length(exif, 3072, 2048) == pytest.approx(6779, abs=2)
    assert focal_length(exif, 2048, 3072) == pytest.approx(6779, abs=2)
    assert focal_length(exif, 768, 512) == pytest.approx(6779 / 4, abs=1)
    assert focal_length(exif | {0xA210: 3, 0xA20E: 3443.946 / 2.54}, 3072, 2048) == pytest.approx(6779, abs=2)
    assert focal_length(exif | {0xA405: 80}, 3072, 2048) == pytest.approx(80 / 43.27 * np.hypot(3072, 2048))
    for broken in ({}, {0xA405: 0}, {0xA405: "wide"}, {0x920A: 50.0}, exif | {0x920A: 0.001}, exif | {0xA210: 9}):
        assert focal_length(broken, 3072, 2048) is None


def test_kinds_of_pixels(folder):
    grey = np.tile(np.linspace(0, 1, 120), (90, 1))
    Image.fromarray(np.round(grey * 65535).astype(np.uint16)).save(folder / "grey16.png")
    Image.fromarray(np.round(grey * 65535).astype(np.uint16)).save(folder / "grey16.tif")
    Image.fromarray((grey * 255).astype(np.uint8).T.copy()).save(folder / "grey8.png")
    half = np.zeros((90, 120, 4), np.uint8)
    half[..., 0], half[:, 60:, 3] = 255, 255
    Image.fromarray(half).save(folder / "alpha.webp", lossless=True)
    Image.fromarray(half).quantize(8).transpose(Image.Transpose.ROTATE_180).save(folder / "palette.png")
    picture(40).convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    Image.fromarray(grey.astype(np.float32)).save(folder / "float.tif")
    rows, images = run(folder)

    expected = (grey * 255)[..., None]
    assert np.abs(copy_of(rows, images, "grey16.png") - expected).max() <= 3
    assert rows["grey16.tif"]["verdict"] == "duplicate of grey16.png"
    assert np.abs(copy_of(rows, images, "grey8.png") - expected.transpose(1, 0, 2)).max() <= 3
    alpha = copy_of(rows, images, "alpha.webp")
    assert np.abs(alpha[:, :50] - 255).max() <= 3 and np.abs(alpha[:, 70:] - [255, 0, 0]).max() <= 3
    palette = copy_of(rows, images, "palette.png")
    assert np.abs(palette[:, 70:] - 255).max() <= 3 and np.abs(palette[:, :50] - [255, 0, 0]).max() <= 3
    assert np.abs(copy_of(rows, images, "cmyk.jpg") - np.asarray(picture(40))).mean() < 6
    assert rows["float.tif"]["verdict"].startswith("unreadable: floating-point pixels")


def linear_profile() -> bytes:
    """An ICC profile (version 2, matrix and curves) with the sRGB primaries and no gamma."""

    def xyz(*values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    name = b"linear\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + b"\0" * 79,
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        **{kind: b"curv" + b"\0" * 8 for kind in (b"rTRC", b"gTRC", b"bTRC")},
    }
    table, data = struct.pack(">I", len(tags)), b""
    for kind, value in tags.items():
        table += kind + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(value))
        data += value + b"\0" * (-len(value) % 4)
    body = table + data
    header = struct.pack(">I4sI", 128 + len(body), b"none", 0x02100000) + b"mntrRGB XYZ " + b"\0" * 12 + b"acsp"
    return header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061).ljust(60, b"\0") + body


def test_colour_profiles(folder):
    picture(41).save(folder / "linear.png", icc_profile=linear_profile())
    picture(42).save(
        folder / "srgb.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    )
    picture(43).save(
        folder / "unfit.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    )
    picture(44).save(folder / "damaged.png", icc_profile=b"no profile")
    rows, images = run(folder)
    linear = np.asarray(picture(41)) / 255
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255  # IEC 61966-2-1
    assert np.abs(copy_of(rows, images, "linear.png") - encoded).mean() < 3
    for seed, file in ((42, "srgb.png"), (43, "unfit.png"), (44, "damaged.png")):
        assert np.abs(copy_of(rows, images, file) - np.asarray(picture(seed))).mean() < 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_and_second_pictures_do_not_spoil_a_photo(folder):
    picture(43).save(folder / "exif.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    picture(44).save(folder / "gainmap.jpg", "MPO", save_all=True, append_images=[picture(45, 60, 45)])
    picture(46).save(folder / "pages.tif", save_all=True, append_images=[picture(47, 60, 45)])
    rows, images = run(folder)
    for seed, file in ((43, "exif.jpg"), (44, "gainmap.jpg"), (46, "pages.tif")):
        assert rows[file]["verdict"] == "ok"
        assert np.abs(copy_of(rows, images, file) - np.asarray(picture(seed))).mean() < 10


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
        picture(50 + seed).save(folder / name, "JPEG")
    picture(60).save(io_bytes := io.BytesIO(), "JPEG")
    with open(os.fsencode(folder) + b"/latin\xe9.jpg", "wb") as stream:
        stream.write(io_bytes.getvalue())
    for number, sub in enumerate(("x", "y/x", "dir.jpg")):
        (folder / sub).mkdir(parents=True, exist_ok=True)
        picture(70 + number).save(folder / sub / "a0.jpg")
    rows, images = run(folder)
    assert {*names, "latin\\xe9.jpg", "x/a0.jpg", "y/x/a0.jpg", "dir.jpg/a0.jpg"} < set(rows)
    assert {row["verdict"] for row in rows.values()} == {"ok"}
    assert len({row["id"] for row in rows.values()}) == len(rows) == 14
    for number, sub in enumerate(("x", "y/x", "dir.jpg")):
        assert np.abs(copy_of(rows, images, f"{sub}/a0.jpg") - np.asarray(picture(70 + number))).mean() < 10


def test_links_to_folders_are_followed_once(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "loop").symlink_to(folder)
    picture(80).save(folder / "sub" / "c.jpg")
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    picture(81).save(elsewhere / "d.jpg")
    (folder / "linked").symlink_to(elsewhere)
    (folder / ".git").mkdir()
    picture(82).save(folder / ".git" / "e.jpg")
    assert list_files(folder) == ["a0.jpg", "a1.jpg", "a2.jpg", "linked/d.jpg", "sub/c.jpg"]


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

    for seed in range(2):
        picture(seed).save(tmp_path / "in" / f"{seed}.jpg")
    for number in range(30):
        picture(number, 40, 30).save(tmp_path / "in" / f"tiny {number:02}.jpg")
    message = fails(tmp_path / "in")
    assert "30 too small, 2 ok" in message
    assert "'tiny 00.jpg': too small (40x30)" in message
    assert "and 12 more" in message
    assert len(read_csv(out / "photos.csv")) == 32
    assert not [name for name in os.listdir(out) if name.startswith(".")]
