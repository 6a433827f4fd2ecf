"""Folders of photos, imported as the first stage does."""

import os
import struct
import zlib

import numpy as np
from PIL import Image

from nrw.core.io import read_csv
from nrw.photos.importing import import_photos

DEFAULTS = dict(max_size=200, min_size=50, max_megapixels=1.0, duplicate_distance=8, threads=2)


def noise(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """Blurred coloured noise: unlike every other seed's for the perceptual hash."""
    values = np.random.default_rng(seed).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def odd_names(number: int) -> list[bytes]:
    """File names that a file system takes, and that a shell, a web page, a table or a terminal may choke on."""
    return [
        b'it\'s "%d".jpg' % number,
        b"new\nline\r%d.jpg" % number,
        b"$(touch x) `touch x` %d;rm -rf *.jpg" % number,
        b"x\\..\\..\\%d.jpg" % number,
        b"%%2e%%2e%%2f%d.jpg" % number,
        b"-rf --%d.jpg" % number,
        b"latin \xe9\xff %d.jpg" % number,
        b"%d" % number + b"\xc3\xa9" * 122 + b".jpg".rjust(11 - len(str(number)), b"x"),  # 255 bytes
        b"<script>alert(%d)<%%2Fscript>.jpg" % number,
        b'"><img src=x onerror=alert(%d)>.jpg' % number,
        b'=HYPERLINK("x",%d).jpg' % number,
        b"\x1b[31m red \x07 %d.jpg" % number,
        "\u202egpj.%d \U0001f4f7 e\u0301.jpg".encode() % number,
        b" %d .jpg " % number,
        b"{wildcard} {{%d}} {}.jpg" % number,
        b"%d\\xe9\\n\\u0041.jpg" % number,
        b"CON.%d.jpg." % number,
        b"a,b;c\t%d.jpg" % number,
    ]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def linear_profile(name: bytes) -> bytes:
    """An ICC profile (version 2, matrix and curves) with the sRGB primaries and no gamma, of any name."""

    def xyz(*values):
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" * 80,
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


def imported(folder, **settings):
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
