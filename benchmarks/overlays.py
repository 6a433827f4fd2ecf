"""Structure from motion on photos with captions, frames and watermarks, scored against the demo's true cameras.

python -m benchmarks.overlays [KIND ...] [--size 960] [--keep FOLDER] [--unguarded]

Each kind (`KINDS`) takes 14 photos of the demo landmark, enlarged to `--size`, and prints on each or frames it in one
way: photos by day of five shapes, or of one shape from all times of day, with five photos of another place, or with
five of one view in other lights. They go through import, features, matching and reconstruction with the settings of
`draft`. Printed are the registered photos, the models, the errors of the cameras' rotations, the matches that photos of
one view keep, what the report says, and the CPU seconds. With `--unguarded` nothing is cut off and
no match is left out.
"""

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pycolmap
from PIL import ExifTags, Image, ImageDraw, ImageFont, ImageOps

from benchmarks.truth import DEMO, Truth
from nrw.config.resolve import complete_preset
from nrw.core.io import read_csv, read_json
from nrw.geometry.cameras import fit_size
from nrw.photos.importing import import_photos
from nrw.report.verdict import geometry
from nrw.scene.files import SceneFiles
from nrw.sfm.database import opened
from nrw.sfm.features import extract_features
from nrw.sfm.matching import match_pairs, merge_matches
from nrw.sfm.pairs import choose_pairs
from nrw.sfm.reconstruction import reconstruct

PHOTOS = 14
DAY = ("overcast", "noon")
SHAPE = (640, 480)  # of the photos of one shape
COLUMNS = (
    "photos",
    "registered",
    "models",
    "rotation error, °: median",
    "largest",
    "matches in the tripod's pairs",
    "the report says",
    "CPU s",
)
SEED, THREADS = 1, int(os.environ.get("OMP_NUM_THREADS", "2"))


def caption(photo: Image.Image, number: int) -> Image.Image:
    """A white bar below, a tenth of the height: a maker's logo and name on the left, the exposure on the right."""
    width, height = photo.size
    bar = height // 10
    made = Image.new("RGB", (width, height + bar), "white")
    made.paste(photo)
    draw = ImageDraw.Draw(made)
    middle = height + bar / 2
    draw.ellipse([bar * 0.4, middle - bar * 0.3, bar, middle + bar * 0.3], outline="crimson", width=max(2, bar // 12))
    draw.text((bar * 1.3, middle), "LUMOS X20 PRO", "black", ImageFont.load_default(bar * 0.36), "lm")
    exposure = f"24mm f/1.8 1/{100 + 20 * number}s ISO{50 * (1 + number % 4)}"
    draw.text((width - bar * 0.4, middle), exposure, "black", ImageFont.load_default(bar * 0.26), "rm")
    return made


def stamp(photo: Image.Image, number: int) -> Image.Image:
    """Date and time in orange digits in the lower right corner; the time changes from photo to photo."""
    text = f"2019 07 14  1{number % 10}:{10 + 3 * number}"
    size = max(photo.size) * 0.028
    at = (photo.width - size, photo.height - size)
    ImageDraw.Draw(photo).text(
        at, text, "orange", ImageFont.load_default(size), "rs", stroke_width=1, stroke_fill="black"
    )
    return photo


def watermark(photo: Image.Image, number: int) -> Image.Image:
    """Nearly opaque white text over the middle, of the same size in pixels on every photo."""
    layer = Image.new("RGBA", photo.size)
    draw = ImageDraw.Draw(layer)
    middle = photo.width / 2, photo.height / 2
    font = ImageFont.load_default(max(photo.size) * 0.07)
    draw.text(
        middle, "© The Picture Agency", (255, 255, 255, 230), font, "mm", stroke_width=1, stroke_fill=(0, 0, 0, 230)
    )
    return Image.alpha_composite(photo.convert("RGBA"), layer).convert("RGB")


def frame(photo: Image.Image, number: int) -> Image.Image:
    """A black frame, a thirtieth of the longer side."""
    return ImageOps.expand(photo, max(photo.size) // 30, "black")


@dataclass(frozen=True)
class Kind:
    """A set of photos. print_on: what is printed on each. one_shape: all are of SHAPE, from every time of day.

    others: photos of another place. lights: pictures of one view in other lights, as from a tripod.
    """

    print_on: Callable[[Image.Image, int], Image.Image] | None = None
    one_shape: bool = False
    others: int = 0
    lights: int = 0


KINDS = {
    "clean": Kind(),
    "caption": Kind(caption),
    "stamp": Kind(stamp),
    "watermark": Kind(watermark),
    "frame": Kind(frame),
    "one shape, clean": Kind(one_shape=True),
    "one shape, caption": Kind(caption, one_shape=True),
    "one shape, watermark": Kind(watermark, one_shape=True),
    "two places, clean": Kind(others=5),
    "two places, caption": Kind(caption, others=5),
    "two places, watermark": Kind(watermark, others=5),
    "tripod, clean": Kind(lights=5),
    "tripod, caption": Kind(caption, lights=5),
    "tripod, watermark": Kind(watermark, lights=5),
}


def elsewhere(photo: Image.Image) -> Image.Image:
    """Another place: the mirrored negative shares no feature with the photo."""
    return ImageOps.mirror(ImageOps.invert(photo))


def write_photos(kind: Kind, truth: Truth, size: int, folder: Path) -> None:
    """The photos of one kind: PHOTOS under their own names, other-N.jpg of the other place, tripod-N.jpg."""
    chosen = [name for name, photo in truth.photos.items() if _fits(photo, kind)]
    sources = {name: DEMO / "photos" / name for name in chosen[:PHOTOS]}
    more = [name for name, photo in truth.photos.items() if _fits(photo, Kind()) and name not in sources]
    sources |= {f"other-{number}.jpg": DEMO / "photos" / name for number, name in enumerate(more[: kind.others])}
    frames = truth.appearances[2]["frames"][: kind.lights]
    sources |= {f"tripod-{number}.jpg": truth.folder / its["file"] for number, its in enumerate(frames)}
    for number, (name, source) in enumerate(sources.items()):
        photo, exif = enlarged(source, size)
        if name.startswith("other"):
            photo = elsewhere(photo)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (kind.print_on(photo, number) if kind.print_on else photo).save(path, quality=92, exif=exif)


def enlarged(source: Path, size: int) -> tuple[Image.Image, Image.Exif]:
    """A photo, upright, with `size` pixels on its longer side, and its EXIF data."""
    with Image.open(source) as opened:
        exif = opened.getexif()
        photo = ImageOps.exif_transpose(opened).convert("RGB")
    exif.pop(ExifTags.Base.Orientation, None)  # the pixels are upright now
    return photo.resize(fit_size(photo.width * 8, photo.height * 8, size), Image.Resampling.BICUBIC), exif


def _fits(photo: Mapping, kind: Kind) -> bool:
    if kind.one_shape:
        return (photo["width"], photo["height"]) == SHAPE
    return photo["appearance"]["kind"] in DAY


def match_folder(photos: Path, files: SceneFiles) -> None:
    """Import and matching as the workflow runs them."""
    config = complete_preset("draft")
    sfm = config["sfm"]
    import_photos(photos, files.photos_csv, files.upright_photos, threads=THREADS, **config["ingest"])
    sizes = {name: sfm[name] for name in ("max_size", "max_features")}
    extract_features(files.upright_photos, files.photos_csv, files.features, threads=THREADS, **sizes)
    pairing = {name: sfm[name] for name in ("matcher", "retrieval_above", "retrieval_neighbours")}
    choose_pairs(files.features, files.pairs, threads=THREADS, reproducible=True, seed=SEED, **pairing)
    matches = files.matches("1-of-1")
    match_pairs(files.features, files.pairs, "1-of-1", matches, seed=SEED)
    merge_matches(files.features, [matches], files.database, seed=SEED)


def reconstruct_matched(files: SceneFiles, database: Path) -> None:
    """The reconstruction from a database as the workflow runs it."""
    reconstruct(
        files.upright_photos,
        files.photos_csv,
        database,
        files.reconstruction,
        files.sfm_summary,
        files.sfm_table,
        **mapping(),
    )


def mapping() -> dict:
    """The settings of a mapping."""
    sfm = complete_preset("draft")["sfm"]
    chosen = {name: sfm[name] for name in ("mapper", "hierarchical_above")}
    return {**chosen, "threads": THREADS, "reproducible": True, "seed": SEED}


def rotation_errors(estimated: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) degrees between rotations (3, 3) cam_from_world, after the turn of the world that fits most of them."""
    turns = np.stack([mine.T @ its for mine, its in zip(estimated, true, strict=True)])
    weights = np.ones(len(turns))
    for _ in range(50):  # the median rotation, by reweighting
        u, _, v = np.linalg.svd(np.einsum("n,nij->ij", weights, turns))
        turn = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
        errors = np.degrees(np.arccos(np.clip((np.einsum("nij,ij->n", turns, turn) - 1) / 2, -1, 1)))
        weights = 1 / np.maximum(errors, 0.01)
    return errors


def errors_of(files: SceneFiles, truth: Truth) -> np.ndarray:
    """(N,) degrees: the rotation errors of the registered photos that the truth knows."""
    names = {row["id"]: row["file"] for row in read_csv(files.photos_csv)}
    model = pycolmap.Reconstruction(files.reconstruction)
    rotations = {
        names[Path(image.name).stem]: image.cam_from_world().rotation.matrix()
        for image in model.images.values()
        if image.has_pose
    }
    known = [name for name in rotations if name in truth.photos]
    return rotation_errors([rotations[name] for name in known], [np.array(truth.photos[name]["R"]) for name in known])


def row(kind: Kind, truth: Truth, size: int, folder: Path) -> str:
    """Reconstruct the photos of one kind: its figures, as in the table."""
    files = SceneFiles(folder / "scene")
    write_photos(kind, truth, size, folder / "photos")
    start = time.process_time()
    match_folder(folder / "photos", files)
    reconstruct_matched(files, files.database)
    seconds = time.process_time() - start
    names = {row["id"]: row["file"] for row in read_csv(files.photos_csv)}
    summary = read_json(files.sfm_summary)
    errors = errors_of(files, truth)
    tripod = tripod_matches(files.database, {f"{id_}.jpg" for id_, name in names.items() if name.startswith("tripod")})
    finding = geometry(summary["checks"])
    cells = [
        f"{summary['registered']} of {summary['photos']}",
        " + ".join(str(entry["photos"]) for entry in summary["models"]),
        f"{np.median(errors):.2f}",
        f"{errors.max():.1f}",
        str(tripod or "–"),
        f"{finding.level}: {finding.title}",
        f"{seconds:.0f}",
    ]
    return " | ".join(cells)


def tripod_matches(database: Path, tripod: set[str]) -> int:
    """The number of verified matches between the pictures of one view, over all their pairs."""
    with opened(database) as connection:
        ids = {image.image_id for image in connection.read_all_images() if image.name in tripod}
        pairs, inliers = connection.read_two_view_geometry_num_inliers()
    return sum(
        count
        for pair, count in zip(pairs, inliers, strict=True)
        if ids.issuperset(pycolmap.pair_id_to_image_pair(pair))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--size", type=int, default=960, help="longer side of the photos without bars, pixels")
    parser.add_argument("--keep", type=Path, help="folder for photos and results")
    parser.add_argument("--unguarded", action="store_true", help="show the fault")
    arguments = parser.parse_args()
    unknown = set(arguments.kinds) - set(KINDS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(KINDS)}")
    truth = Truth()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for kind in arguments.kinds or KINDS:
        with contextlib.ExitStack() as stack:
            if arguments.unguarded:
                stack.enter_context(patch("nrw.photos.importing.find_strips", lambda _: ()))
                stack.enter_context(patch("nrw.sfm.matching.drop_print", lambda *_: (0, 0)))
            folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            print(f"| {kind} | {row(KINDS[kind], truth, arguments.size, folder / kind)} |", flush=True)


if __name__ == "__main__":
    main()
