"""How costs grow with the number of photos: as recorded, on disk, and predicted for large sets.

python benchmarks/growth.py [results/SCENE …]

Time and memory are the records of the draft preset in benchmarks/RESULTS.md, storage is that of the scenes named here,
predictions are those of nrw.jobs.requests, by which the workflow asks a cluster for time and memory.
"""

import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from nrw.config.resolve import resolve
from nrw.core.io import read_json
from nrw.core.progress import duration
from nrw.jobs.requests import COSTS, SCATTERED, Load, memory_mb, seconds
from nrw.scene.files import SceneFiles

NODE_THREADS = 16
FOLDERS = ("photos", "sfm", "mvs", "segmentation", "framebuffers", "aligned", "dataset")
RESULTS = Path(__file__).parent / "RESULTS.md"


def recorded() -> dict[int, dict[str, tuple[float, float]]]:
    """CPU seconds and MB by rule, by number of photos, of the sets of internet photos in RESULTS.md."""
    sets = {}
    for section in re.split(r"\n##+ ", RESULTS.read_text(encoding="utf-8")):
        heading = re.match(r".*, (\d+) internet photos", section)
        rows = re.findall(r"^\| (\w+) \| \d+ \| \d+ \| (\d+) \| (\d+) \|$", section, re.MULTILINE)
        if heading and rows:
            sets[int(heading[1])] = {rule: (float(cpu), float(memory)) for rule, cpu, memory in rows}
    return sets


def growth() -> Iterator[str]:
    """A table line a rule: what it took, and the power of N that its CPU seconds, taken as 1 at least, grew with."""
    (few, small), (many, large) = sorted(recorded().items())
    yield f"| rule | {few} photos: CPU s | MB | {many} photos: CPU s | MB | CPU s a photo | grows as |"
    yield "|---|---|---|---|---|---|---|"
    for rule in (rule for rule in large if rule in small):
        (cpu, memory), (cpu_large, memory_large) = small[rule], large[rule]
        power = math.log(max(cpu_large, 1) / max(cpu, 1)) / math.log(many / few)
        yield (
            f"| {rule} | {cpu:.0f} | {memory:.0f} | {cpu_large:.0f} | {memory_large:.0f} | {cpu_large / many:.2f} | "
            f"N^{power:.2f} |"
        )


def storage(scenes: list[Path]) -> Iterator[str]:
    """A table line a folder: megabytes a photo of each scene (gigabytes for 1 000 photos), and files a photo."""
    numbers = [read_json(SceneFiles(scene).sfm_summary)["photos"] for scene in scenes]
    yield (
        "| MB a photo (GB for 1 000), files a photo | "
        + " | ".join(f"{scene.name}, {number} photos" for scene, number in zip(scenes, numbers, strict=True))
        + " |"
    )
    yield "|---|" + "---|" * len(scenes)
    for folders in (*((folder,) for folder in FOLDERS), FOLDERS):
        cells = []
        for scene, number in zip(scenes, numbers, strict=True):
            files = [path for folder in folders for path in (scene / folder).rglob("*") if path.is_file()]
            cells.append(f"{sum(path.stat().st_size for path in files) / 1e6 / number:.2f}, {len(files) / number:.1f}")
        yield f"| {folders[0] if len(folders) == 1 else 'all'} | {' | '.join(cells)} |"


def forecast(preset: str, sets: tuple[int, ...] = (74, 1000, 5000)) -> Iterator[str]:
    """A table line a rule: time on one node of 16 cores and, where the preset says so, a GPU; memory a job asks for."""
    config = resolve({"photos": "place", "preset": preset})
    yield f"| {preset} | " + " | ".join(f"{photos} photos | MB" for photos in sets) + " |"
    yield "|---|" + "---|---|" * len(sets)
    totals = [0.0] * len(sets)
    for rule in COSTS:
        if rule in ("import_aligned", "patch_match"):
            continue
        cells = []
        for column, photos in enumerate(sets):
            load = Load.of(photos, config, NODE_THREADS)
            time = seconds(rule, load)
            if not COSTS[rule].parallel and (COSTS[rule].gpu == 1 or config["device"] == "cpu") and rule in SCATTERED:
                time /= NODE_THREADS  # its pieces run side by side
            time *= 3 if rule == "film" else 1
            totals[column] += time
            cells.append(f"{duration(time)} | {memory_mb(rule, load, 1)}")
        yield f"| {rule} | {' | '.join(cells)} |"
    yield "| all, one after another | " + " | ".join(f"{duration(total)} |" for total in totals) + " |"


def main(scenes: list[Path]) -> None:
    tables = [growth(), storage(scenes)] if scenes else [growth()]
    for table in (*tables, forecast("draft"), forecast("standard")):
        print("\n".join(table), end="\n\n")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
