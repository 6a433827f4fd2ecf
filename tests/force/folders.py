"""Photo folders as people have them, made at random from a seed; the generator knows the right verdict on every file.

`make(seed, root, elsewhere)` fills a folder with files of 3 to 15 of the KINDS.
"""

import io
import json
import os
import re
import socket
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pillow_heif
from photo_folder import linear_profile, odd_names, png_chunk
from PIL import Image, ImageCms, ImageDraw, ImageFont, ImageOps

pillow_heif.register_heif_opener()
DEMO = Path(__file__).resolve().parents[2] / "resources" / "demo"
SETTINGS = dict(max_size=320, min_size=100, max_megapixels=2.0, duplicate_distance=8)
DAMAGED = r"truncated|unreadable: .+"
ORIENTED = {  # EXIF orientation -> how a camera stores the upright picture
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass
class Expected:
    """What the import must say of a file. verdict: a pattern of the whole verdict.

    picture: of a usable photo, RGB, upright, without its frame. framed: something is cut off.
    """

    verdict: str
    picture: Image.Image | None = None
    framed: bool = False


@dataclass
class Folder:
    """A folder that is being filled. elsewhere: a folder outside, for what links point to.

    expected: by the name in photos.csv. groups: kind and names of photos that repeat one another. locked: what nobody
    may read. kinds: those that were put in.
    """

    root: Path
    elsewhere: Path
    rng: np.random.Generator
    expected: dict[str, Expected] = field(default_factory=dict)
    groups: list[tuple[str, list[str]]] = field(default_factory=list)
    locked: list[Path] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)
    number: int = 0

    def choose(self, values: Sequence):
        return values[int(self.rng.integers(len(values)))]

    def path(self, suffix: str = "", name: str = "") -> Path:
        """A new path in the folder or, sometimes, in a folder below; a name is made where none is given."""
        self.number += 1
        parent = self.root / self.choose(["", "", "Rome 2019", "Rome 2019/Day 1"])
        parent.mkdir(parents=True, exist_ok=True)
        return parent / (name or f"IMG_{self.number:04}{suffix}")

    def picture(self, sides: Sequence[int] = (200, 320, 480, 641)) -> Image.Image:
        """A photo of the demo landmark that the folder does not show yet, RGB; sides: one is the longer side."""
        with Image.open(self.sources.pop()) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
        side = self.choose(sides)
        return ImageOps.contain(upright, (side, side), Image.Resampling.LANCZOS)

    def expect(self, path: Path, verdict: str, picture: Image.Image | None = None, framed: bool = False) -> None:
        self.expected[name_in_table(path.relative_to(self.root))] = Expected(verdict, picture, framed)

    def usable(self) -> tuple[int, int]:
        """The least and the largest number of photos with the verdict ok: one of each group."""
        sure = sum(found.verdict == "ok" for found in self.expected.values())
        sure -= sum(len(names) - 1 for _, names in self.groups)
        return sure, sure + sum(found.verdict.startswith("ok|") for found in self.expected.values())


def name_in_table(relative: Path) -> str:
    """A file's name in photos.csv: bytes that are not UTF-8 as \\xNN."""
    return os.fsencode(relative.as_posix()).decode("utf-8", "backslashreplace")


def encoded(picture: Image.Image, format: str = "JPEG", **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


# --- photos in every format, depth, turn and colour space


def plain(folder: Folder) -> None:
    path, picture = folder.path(".jpg"), folder.picture()
    picture.save(path, quality=int(folder.rng.integers(60, 96)), progressive=bool(folder.rng.integers(2)))
    folder.expect(path, "ok", picture)


def other_format(folder: Folder) -> None:
    picture = folder.picture()
    suffix, options = folder.choose(
        [
            (".png", {}),
            (".PNG", {"optimize": True}),
            (".tif", {"compression": "tiff_lzw"}),
            (".tiff", {"compression": "jpeg"}),
            (".webp", {"quality": 80}),
            (".webp", {"lossless": True}),
            (".heic", {"quality": 80}),
            (".avif", {"quality": 80}),
            (".bmp", {}),
            (".gif", {}),
            (".jpeg", {"quality": 80, "subsampling": 2}),
            (".jfif", {"quality": 80}),
        ]
    )
    path = folder.path(suffix)
    picture.save(path, **options) if suffix != ".jfif" else path.write_bytes(encoded(picture, **options))
    folder.expect(path, "ok", picture)


def other_pixels(folder: Folder) -> None:
    """16 bits, CMYK, Lab, palettes, one bit, gray."""
    picture = folder.picture()
    gray = picture.convert("L")
    kind = folder.choose(
        ["gray16 png", "gray16 tiff", "rgb16 png", "cmyk jpg", "cmyk tiff", "lab", "palette", "1", "L"]
    )
    shown = gray.convert("RGB") if "gray" in kind or kind in ("1", "L") else picture
    path = folder.path({"lab": ".tif", "cmyk jpg": ".jpg", "L": ".jpg"}.get(kind, ".tif" if "tiff" in kind else ".png"))
    if kind.startswith("gray16"):
        Image.fromarray(np.asarray(gray).astype(np.uint16) * 257).save(path)
    elif kind == "rgb16 png":
        path.write_bytes(png16(np.asarray(picture).astype(">u2") * 257))
    elif kind.startswith("cmyk"):
        picture.convert("CMYK").save(path)
    elif kind == "lab":
        rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        ImageCms.profileToProfile(picture, rgb, lab, outputMode="LAB").save(path)
    elif kind == "palette":
        picture.quantize(64).save(path)
    else:
        gray.convert(kind).save(path)
    folder.expect(path, "ok", shown)


def png16(pixels: np.ndarray) -> bytes:
    """A PNG of (H, W, 3) big-endian uint16 pixels, which Pillow does not write."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks.items())


def transparent(folder: Folder) -> None:
    """Half is transparent, and shows white; the colour under it may be anything."""
    picture, suffix = folder.picture(), folder.choose([".png", ".webp", ".tif", ".heic", ".avif"])
    alpha = np.full((picture.height, picture.width), 255, np.uint8)
    alpha[: picture.height // 2, : picture.width // 2] = 0
    made = picture.copy()
    made.putalpha(Image.fromarray(alpha))
    path = folder.path(suffix)
    made.save(path, **({"lossless": True} if suffix == ".webp" else {}))
    shown = np.where(alpha[..., None] > 0, np.asarray(picture), 255).astype(np.uint8)
    folder.expect(path, "ok", Image.fromarray(shown))


def turned(folder: Folder) -> None:
    picture, orientation = folder.picture(), int(folder.rng.integers(1, 9))
    turn = ORIENTED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = folder.path(folder.choose([".jpg", ".png", ".webp", ".tif", ".heic"]))
    (picture if turn is None else picture.transpose(turn)).save(path, exif=exif.tobytes())
    folder.expect(path, "ok", picture)


def damaged_exif(folder: Folder) -> None:
    path, picture = folder.path(".jpg"), folder.picture()
    noise = folder.rng.integers(0, 256, 500, np.uint8).tobytes()
    exif = folder.choose(
        [b"Exif\0\0" + noise, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + noise, b"Exif\0\0MM\0*" + noise[:3]]
    )
    picture.save(path, exif=exif)
    folder.expect(path, "ok")  # noise may name an orientation


def odd_profile(folder: Folder) -> None:
    picture = folder.picture()
    kind = folder.choose(["linear", "noise", "of Lab", "sRGB", "of gray"])
    made = picture
    if kind == "linear":
        encoded = np.asarray(picture) / 255
        linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
        made = Image.fromarray(np.rint(linear * 255).astype(np.uint8))
    profile = {
        "linear": linear_profile(folder.choose([b"sRGB IEC61966-2.1", b"linear", b"\xff\xfe"])),
        "noise": folder.rng.integers(0, 256, 300, np.uint8).tobytes(),
        "of Lab": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        "of gray": linear_profile(b"gray").replace(b"mntrRGB ", b"mntrGRAY"),
        "sRGB": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }[kind]
    path = folder.path(folder.choose([".png", ".tif"]))
    made.save(path, icc_profile=profile)
    folder.expect(path, "ok", picture)


def with_more_inside(folder: Folder) -> None:
    """A motion photo (a video behind the picture), a stereo pair or gain map (MPO), a TIFF of several pages."""
    picture, kind = folder.picture(), folder.choose(["motion", "mpo", "pages"])
    path = folder.path(".tif" if kind == "pages" else ".jpg")
    if kind == "motion":
        path.write_bytes(encoded(picture) + b"\0\0\0\x18ftypmp42" + b"\0" * 5000)
    else:
        other = ImageOps.mirror(picture).resize((picture.width // 2, picture.height // 2))
        picture.save(path, "MPO" if kind == "mpo" else "TIFF", save_all=True, append_images=[other])
    folder.expect(path, "ok", picture)


def wrong_name(folder: Folder) -> None:
    """The suffix is another format's, or none, or the name is a part of a web address."""
    picture, format = folder.picture(), folder.choose(["JPEG", "PNG", "WEBP"])
    number = folder.number
    path = folder.path(
        name=folder.choose(
            [
                f"Trevi_{number}.jpg?width=1024&height=768",
                f"{number}.JPG:large",
                f"photo {number}.txt",
                f"photo {number}.heic",
                f"image{number}",
                f"download{number}.php?id=3.html",
                f"{number}.jpg.part",
            ]
        )
    )
    path.write_bytes(encoded(picture, format))
    folder.expect(path, "ok", picture)


def odd_name(folder: Folder) -> None:
    picture = folder.picture()
    path = folder.path(name=os.fsdecode(folder.choose(odd_names(folder.number))))
    path.write_bytes(encoded(picture))
    folder.expect(path, "ok", picture)


def deep(folder: Folder) -> None:
    picture, parent = folder.picture(), folder.root.joinpath("deep", *(f"{n:03}" for n in range(60)))
    if parent.exists():
        return
    parent.mkdir(parents=True)
    (parent / "a.jpg").write_bytes(encoded(picture))
    folder.expect(parent / "a.jpg", "ok", picture)


def too_deep(folder: Folder) -> None:
    """Folders so far below that their path is longer than the system takes."""
    names, here = [], os.open(folder.root, os.O_RDONLY)
    if "too deep" in os.listdir(here):
        return os.close(here)
    for name in ["too deep", *("x" * 250 for _ in range(17))]:
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        names, here = [*names, name], below
        if len(os.fsencode(folder.root.joinpath(*names))) > 4095:
            break
    os.close(here)
    folder.expected["/".join(names) + "/"] = Expected(r"unreadable: the folder cannot be read \(File name too long\)")


# --- files that are no photos, or no whole ones


def cut_short(folder: Folder) -> None:
    format, suffix = folder.choose(
        [("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("TIFF", ".tif"), ("HEIF", ".heic"), ("AVIF", ".avif")]
    )
    whole = encoded(folder.picture(), format)
    path = folder.path(suffix)
    path.write_bytes(whole[: int(len(whole) * folder.rng.uniform(0.02, 0.9))])
    folder.expect(path, DAMAGED)


def bad_bytes(folder: Folder) -> None:
    """A disk that lost some bytes: whether the picture is still one, its decoder says."""
    format, suffix = folder.choose(
        [("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("TIFF", ".tif"), ("HEIF", ".heic"), ("GIF", ".gif")]
    )
    whole = bytearray(encoded(folder.picture(), format))
    for place in folder.rng.integers(0, len(whole), int(folder.rng.integers(1, 40))):
        whole[place] = int(folder.rng.integers(256))
    path = folder.path(suffix)
    path.write_bytes(whole)
    # a lost byte may turn up the size that the file names, too
    folder.expect(path, rf"ok|animated|oversized \(\d+ megapixels\)|too small \(.*\)|{DAMAGED}")


def not_an_image(folder: Folder) -> None:
    data, suffix = folder.choose(
        [
            (b"", ".jpg"),
            (b"<html><body>404 not found</body></html>", ".jpg"),
            (b"\0\0\0\x18ftypmp42" + b"\0" * 3000, ".jpg"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 400 400\n(x) run\n", ".png"),
            (b"%PDF-1.7\n", ".jpeg"),
            (b"\xff\xd8\xff", ".jpg"),
            (b"\x89PNG\r\n\x1a\n", ".png"),
            (b"GIF89a", ".gif"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", ".webp"),
            (b"II*\0\x08\0\0\0\0\0\0\0\0\0", ".tif"),
            (b"\0\0\0\x18ftypheic" + b"\xff" * 100, ".heic"),
        ]
    )
    path = folder.path(suffix)
    path.write_bytes(data)
    folder.expect(path, DAMAGED)


def another_file(folder: Folder) -> None:
    """What nobody takes for a photo: it gets its row, and is not opened or not understood."""
    picture = folder.picture()
    raw = encoded(picture, "TIFF")  # as RAW files look to a decoder
    data, suffix = folder.choose(
        [
            *((raw, suffix) for suffix in (".NEF", ".CR2", ".dng", ".ARW")),
            (b"\0\0\0\x18ftypmp42", ".mp4"),
            (b"\0\0\0\x14ftypqt  ", ".MOV"),
            (b"<x:xmpmeta/>", ".xmp"),
            (encoded(picture), ".THM"),
            (b"camera,lens", ".csv"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ".svg"),
            (encoded(picture, "PDF"), ".pdf"),
            (encoded(picture, "JPEG2000"), ".jp2"),
            (encoded(picture, "ICO"), ".ico"),
            (b"PK\x03\x04", ".zip"),
            (b"#!/bin/sh\ntouch /tmp/ran\n", ".sh"),
        ]
    )
    path = folder.path(suffix)
    path.write_bytes(data)
    folder.expect(path, "not a photo")
    if data == raw and folder.rng.integers(2):
        picture.save(path.with_suffix(".jpg"))
        folder.expect(path.with_suffix(".jpg"), "ok", picture)


def hidden(folder: Folder) -> None:
    """What file managers leave has no row."""
    name = folder.choose([".IMG.jpg", "._IMG.jpg", "Thumbs.db", ".DS_Store", "__MACOSX/a.jpg", "@eaDir/a.jpg"])
    path = folder.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encoded(folder.picture()))


def animated(folder: Folder) -> None:
    suffix = folder.choose([".gif", ".webp", ".png", ".avif"])
    picture, path = folder.picture(), folder.path(suffix)
    picture.save(path, save_all=True, append_images=[ImageOps.invert(picture)])
    folder.expect(path, "animated")


def tiny(folder: Folder) -> None:
    size = folder.choose([(1, 1), (99, 400), (3000, 60), (2, 900)])
    path = folder.path(folder.choose([".jpg", ".png"]))
    folder.picture().resize(size).save(path)
    folder.expect(path, rf"too small \({size[0]}x{size[1]}\)")


def huge(folder: Folder) -> None:
    """More megapixels than the limit: a few kilobytes that say so, a large picture, or text that unpacks to 70 MB."""
    path, kind = folder.path(".png"), folder.choose(["bomb", "large", "text"])
    start, end = b"\x89PNG\r\n\x1a\n", png_chunk(b"IEND", b"")
    if kind == "bomb":
        header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
        path.write_bytes(start + header + png_chunk(b"IDAT", zlib.compress(b"\0" * 10000)) + end)
        folder.expect(path, r"oversized \(3600 megapixels\)")
    elif kind == "large":
        Image.new("RGB", (2000, 1500)).save(path)
        folder.expect(path, r"oversized \(3 megapixels\)")
    else:
        whole = encoded(folder.picture(), "PNG")
        text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 70_000_000))
        path.write_bytes(whole[:33] + text + whole[33:])
        folder.expect(path, DAMAGED)


def sparse(folder: Folder) -> None:
    path = folder.path(folder.choose([".jpg", ".png", ".tif", ".heic"]))
    with open(path, "wb") as stream:
        stream.truncate(4 << 30)
    folder.expect(path, DAMAGED)


def floating_point(folder: Folder) -> None:
    path = folder.path(".tif")
    Image.fromarray(np.asarray(folder.picture().convert("F"))).save(path)
    folder.expect(path, "unreadable: floating-point pixels, whose range is not known")


# --- photos that repeat another


def repeated(folder: Folder) -> None:
    """The same file again: under a copy's name, in another folder, linked, linked hard, or as another format."""
    picture, first = folder.picture(), folder.path(".png")
    picture.save(first)
    kind = folder.choose(["copy", "elsewhere", "link", "hard link", "format"])
    second = (
        first.with_stem(f"{first.stem} (1)") if kind == "copy" else folder.path(".tif" if kind == "format" else ".png")
    )
    if kind == "link":
        second.symlink_to(first)
    elif kind == "hard link":
        second.hardlink_to(first)
    elif kind == "format":
        picture.save(second)
    else:
        second.write_bytes(first.read_bytes())
    for path in (first, second):
        folder.expect(path, "ok", picture)
    folder.groups.append(("duplicate", [name_in_table(path.relative_to(folder.root)) for path in (first, second)]))


def nearly_repeated(folder: Folder) -> None:
    """The same photo, saved worse or smaller: the larger one is kept."""
    picture, first, second = folder.picture([320, 480, 641]), folder.path(".png"), folder.path(".jpg")
    picture.save(first)
    smaller = (picture.width * 3 // 4, picture.height * 3 // 4)
    folder.choose([picture, picture.resize(smaller, Image.Resampling.LANCZOS)]).save(second, quality=80)
    for path in (first, second):
        folder.expect(path, "ok", picture)
    folder.groups.append(("near duplicate", [name_in_table(path.relative_to(folder.root)) for path in (first, second)]))


def other_light(folder: Folder) -> None:
    """The same view in other light repeats nothing."""
    picture = folder.picture()
    pixels = np.asarray(picture) / 255
    evening = Image.fromarray(np.rint(pixels * [160, 120, 90]).astype(np.uint8))
    for shown in (picture, evening):
        path = folder.path(".jpg")
        shown.save(path, quality=92)
        folder.expect(path, "ok", shown)


def framed(folder: Folder) -> None:
    """A frame around a photo; or a caption bar below three."""
    if folder.rng.integers(2):
        picture, path = folder.picture(), folder.path(".jpg")
        ImageOps.expand(picture, 14, folder.choose(["black", "white", "#203040"])).save(path, quality=92)
        folder.expect(path, "ok", picture, framed=True)
        return
    for number in range(3):
        picture, path = folder.picture([480, 641]), folder.path(".jpg")
        bar = picture.height // 8
        made = Image.new("RGB", (picture.width, picture.height + bar), "white")
        made.paste(picture)
        place, font = (bar / 2, picture.height + bar / 2), ImageFont.load_default(bar * 0.4)
        ImageDraw.Draw(made).text(place, f"LUMOS X20  1/{number + 2}00 s", "black", font, "lm")
        made.save(path, quality=95)
        folder.expect(path, "ok", picture, framed=True)


# --- what a file system can do


def link(folder: Folder) -> None:
    """Links to a photo or a folder elsewhere, to nothing, to themselves, to their own folder, to devices."""
    kind = folder.choose(["photo", "folder", "nothing", "itself", "loop", "zero", "tty"])
    picture = folder.picture()
    path = folder.path("" if kind in ("folder", "loop") else ".jpg")
    if kind in ("photo", "folder"):
        target = folder.elsewhere / f"{folder.number}"
        target.mkdir(parents=True)
        (target / "a.jpg").write_bytes(encoded(picture))
        path.symlink_to(target if kind == "folder" else target / "a.jpg")
        folder.expect(path / "a.jpg" if kind == "folder" else path, "ok", picture)
    elif kind == "nothing":
        path.symlink_to(folder.choose(["gone.jpg", "../../../../gone", "/proc/self/nothing"]))
        folder.expect(path, "unreadable: a link to nothing")
    elif kind == "itself":
        path.symlink_to(path.name)
        folder.expect(path, "unreadable: .+")
    elif kind == "loop":
        path.symlink_to(folder.root)
    else:
        path.symlink_to(f"/dev/{kind}")
        folder.expect(path, r"not a photo|unreadable: .+")


def pipe(folder: Folder) -> None:
    path = folder.path(".jpg")
    if folder.rng.integers(2):
        os.mkfifo(path)
    else:
        here = os.getcwd()
        os.chdir(path.parent)  # the address of a socket is short
        try:
            with closing(socket.socket(socket.AF_UNIX)) as server:
                server.bind(path.name)
        finally:
            os.chdir(here)
    folder.expect(path, "not a photo")


def forbidden(folder: Folder) -> None:
    """A file, or a folder, that may not be read."""
    path = folder.path(".jpg")
    if folder.rng.integers(2):
        folder.picture().save(path)
        folder.expect(path, "unreadable: Permission denied")
    else:
        path = path.with_suffix("")
        path.mkdir()
        folder.picture().save(path / "lost.jpg")
        folder.expected[f"{name_in_table(path.relative_to(folder.root))}/"] = Expected(
            r"unreadable: the folder cannot be read \(Permission denied\)"
        )
    folder.locked.append(path)


PHOTOS: list[Callable[[Folder], None]] = [
    *(plain, other_format, other_pixels, transparent, turned, damaged_exif, odd_profile, with_more_inside, wrong_name),
    *(odd_name, deep, repeated, nearly_repeated, other_light, framed),
]
OTHERS: list[Callable[[Folder], None]] = [
    *(cut_short, bad_bytes, not_an_image, another_file, hidden, animated, tiny, huge, sparse, floating_point),
    *(too_deep, link, pipe, forbidden),
]
KINDS = [*PHOTOS, *OTHERS]


@cache
def demo_photos() -> list[Path]:
    """The demo's photos that are whole, no two alike."""
    return [DEMO / "photos" / name for name in json.loads((DEMO / "truth" / "cameras.json").read_text())["photos"]]


def make(seed: int, root: Path, elsewhere: Path) -> Folder:
    """Fill the new folder `root` with files of 3 to 15 kinds, of which none, some or all are usable photos."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True)
    folder = Folder(root, elsewhere, rng, sources=list(rng.permutation(demo_photos())))
    share = rng.choice([0.2, 0.6, 0.9])  # of photos: some folders have too few
    for _ in range(int(rng.integers(3, 16))):
        kind = folder.choose(PHOTOS if rng.random() < share else OTHERS)
        folder.kinds.append(kind.__name__)
        kind(folder)
    for path in folder.locked:
        path.chmod(0)
    return folder


def faults(folder: Folder, rows: dict[str, dict[str, str]], images: Path) -> list[str]:
    """What is wrong with the rows of photos.csv (by file) and the copies in `images`; empty where all is right."""
    found = [f"{name!r} has no row" for name in folder.expected.keys() - rows.keys()]
    found += [f"{name!r} has a row: {rows[name]['verdict']}" for name in rows.keys() - folder.expected.keys()]
    grouped = {name for _, names in folder.groups for name in names}
    for kind, names in folder.groups:
        kept = [name for name in names if rows.get(name, {}).get("verdict") == "ok"]
        others = [rows[name]["verdict"] for name in names if name in rows and name not in kept]
        if len(kept) != 1 or any(verdict != f"{kind} of {kept[0]}" for verdict in others):
            found.append(f"{kind}: {[(name, rows.get(name, {}).get('verdict')) for name in names]}")
    for name, row in rows.items():
        expected = folder.expected.get(name)
        if expected is None:
            continue
        if name not in grouped and not re.fullmatch(expected.verdict, row["verdict"]):
            found.append(f"{name!r}: {row['verdict']!r}, and {expected.verdict!r} is right")
        if row["id"] and expected.picture is not None:
            if bool(row["border"]) != expected.framed:
                found.append(f"{name!r}: cut off was {row['border']!r}")
            with Image.open(images / f"{row['id']}.jpg") as copy:
                difference = _difference(copy, expected.picture)
            if difference > 6:
                found.append(f"{name!r}: the copy differs from the photo by {difference:.1f} grey levels")
    return found


def _difference(a: Image.Image, b: Image.Image) -> float:
    """Mean difference of two pictures at 16 x 16 pixels, grey levels; 255 where their shapes differ."""
    if abs(a.width / a.height / (b.width / b.height) - 1) > 0.05:
        return 255.0
    small = [
        np.asarray(picture.convert("RGB").resize((16, 16), Image.Resampling.BOX), np.float32) for picture in (a, b)
    ]
    return float(np.abs(small[0] - small[1]).mean())
