"""A simulated set of thousands of photos: time and memory of the photo manifest, the DAG and a dry run.

python benchmarks/large_set.py FOLDER [PHOTOS]      (FOLDER is made; 5 000 small photos by default)
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from nrw.core.io import read_csv

ROOT = Path(__file__).resolve().parents[1]
SIZE = (400, 300)


def make_photos(folder: Path, count: int) -> None:
    """Photos like clouds, no two alike, in folders of 1 000."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000}" / f"IMG_{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
        coarse.resize(SIZE, Image.Resampling.BICUBIC).save(path, quality=85)


def measured(*command: str, cwd: Path) -> tuple[float, float, float, str]:
    """Seconds, CPU seconds, the most memory in GB that any process so far has held, and what the command printed."""
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - start, cpu, after.ru_maxrss / 1e6, run.stdout


def main(folder: Path, count: int) -> None:
    make_photos(folder / "photos", count)
    snakemake = [str(Path(sys.executable).parent / "snakemake"), "--snakefile", str(ROOT / "Snakefile")]
    snakemake += ["--configfile", str(ROOT / "config" / "config.yaml"), "--workflow-profile", "none"]
    photos = ["--config", "photos=photos"]
    print("| step | seconds | CPU seconds | memory, GB | |\n|---|---|---|---|---|")
    steps = {
        "DAG (--rulegraph)": ["all", "--rulegraph"],
        "dry run": ["--dry-run", "all"],
        "photo manifest, 2 cores": ["--cores", "2", "photos"],
        "dry run of the rest": ["--dry-run", "all"],
    }
    for name, arguments in steps.items():
        seconds, cpu, memory, output = measured(*snakemake, *arguments, *photos, cwd=folder)
        jobs = [line.split()[1] for line in output.splitlines() if line.startswith("total ")]
        print(
            f"| {name} | {seconds:.1f} | {cpu:.1f} | {memory:.2f} | {f'{jobs[0]} jobs' if jobs else ''} |", flush=True
        )
    rows = read_csv(folder / "results" / "photos" / "photos" / "photos.csv")
    print(f"\nphotos.csv: {len(rows)} rows, {sum(row['verdict'] == 'ok' for row in rows)} ok.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5000)
