"""Sets of photos that fall apart, with and without `sfm.rescue`, scored against the demo's true cameras.

python -m benchmarks.rescue [SET ...] [--size 960] [--device cpu] [--keep FOLDER]

Each set (`SETS`) is made of demo photos, enlarged to `--size`, so that SIFT does not connect all of them. They go
through import, features, matching and reconstruction with the settings of `draft`, then through `join_parts` and
reconstruction again. Printed are the models and registered photos before and after, the errors of the cameras'
rotations, and the CPU seconds.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import ImageOps

from benchmarks.overlays import DAY, SEED, THREADS, enlarged, errors_of, mapping, match_folder, reconstruct_matched
from benchmarks.truth import DEMO, Truth
from nrw.core.io import read_json
from nrw.scene.files import SceneFiles
from nrw.sfm.reconstruction import find_parts
from nrw.sfm.rescue import join_parts

BRIGHT = (*DAY, "golden")
SIDE = 28  # degrees from the facade's normal, from which on a photo is from the side
COLUMNS = (
    "photos",
    "models before",
    "after",
    "registered before",
    "after",
    "rotation error before, °: median / largest",
    "after",
    "CPU s: to the first mapping",
    "joining",
    "second mapping",
)


def side(photo: Mapping) -> float:
    """Degrees from the facade's normal to the camera, positive on the right."""
    x, y, _ = -np.array(photo["R"]).T @ photo["t"]
    return float(np.degrees(np.arctan2(x, -y)))


def light(photo: Mapping) -> str:
    return photo["appearance"]["kind"]


def two_sides(photo: Mapping) -> bool:
    """By day, from far left and far right."""
    return light(photo) in BRIGHT and abs(side(photo)) > SIDE


def day_and_night(photo: Mapping) -> bool:
    """At noon and at night."""
    return light(photo) in ("noon", "night")


def front(photo: Mapping) -> bool:
    """By day, from the front."""
    return light(photo) in DAY and abs(side(photo)) <= SIDE


SETS: dict[str, Callable[[Mapping], bool]] = {"two sides": two_sides, "day and night": day_and_night, "twins": front}


def write_photos(name: str, truth: Truth, size: int, folder: Path) -> None:
    """The photos of a set; for `twins` every second one is mirrored, as if it showed another, mirrored house."""
    for number, photo in enumerate(sorted(name_ for name_, its in truth.photos.items() if SETS[name](its))):
        picture, exif = enlarged(DEMO / "photos" / photo, size)
        path = folder / photo
        if name == "twins" and number % 2:
            picture, path = ImageOps.mirror(picture), folder / "mirrored" / photo
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=92, exif=exif)


def row(name: str, truth: Truth, size: int, device: str, folder: Path) -> str:
    """Reconstruct a set twice: its figures, as in the table."""
    files = SceneFiles(folder / "scene")
    write_photos(name, truth, size, folder / "photos")
    ends = [time.process_time()]
    match_folder(folder / "photos", files)
    reconstruct_matched(files, files.database)
    before, errors_before = read_json(files.sfm_summary), errors_of(files, truth)
    ends.append(time.process_time())
    find_parts(files.upright_photos, files.database, files.parts, **mapping())
    start = time.process_time()
    join_parts(
        *(files.upright_photos, files.database, files.parts, files.joined_database),
        **{"device": device, "threads": THREADS, "reproducible": True, "seed": SEED},
    )
    ends.append(time.process_time())
    reconstruct_matched(files, files.joined_database)
    after, errors_after = read_json(files.sfm_summary), errors_of(files, truth)
    cells = [
        before["photos"],
        *(" + ".join(str(model["photos"]) for model in summary["models"]) for summary in (before, after)),
        *(summary["registered"] for summary in (before, after)),
        *(f"{np.median(errors):.2f} / {errors.max():.1f}" for errors in (errors_before, errors_after)),
        f"{ends[1] - ends[0]:.0f}",
        f"{ends[2] - start:.0f}",
        f"{time.process_time() - ends[2]:.0f}",
    ]
    return " | ".join(map(str, cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--size", type=int, default=960, help="longer side of the photos, pixels")
    parser.add_argument("--device", default="cpu", help="of the networks")
    parser.add_argument("--keep", type=Path, help="folder for photos and results")
    arguments = parser.parse_args()
    unknown = set(arguments.sets) - set(SETS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(SETS)}")
    truth = Truth()
    print(f"| {' | '.join(('set', *COLUMNS))} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for name in arguments.sets or SETS:
        with contextlib.ExitStack() as stack:
            folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            print(f"| {name} | {row(name, truth, arguments.size, arguments.device, folder / name)} |", flush=True)


if __name__ == "__main__":
    main()
