"""What a finished scene cost and how good it is, as Markdown: time and memory of every rule, photos, cloud, metrics.

python benchmarks/scene.py results/<scene>
"""

import csv
import platform
import sys
from pathlib import Path

from nrw.io import read_json
from nrw.log import duration

# in the order of the workflow
RULES = [
    *(
        "photos",
        "features",
        "matches",
        "reconstruct",
        "undistort",
        "segmentation",
        "classes",
        "depths",
        "filter",
        "fuse",
    ),
    *("patch_match", "rasterize", "split", "recolour", "compose", "index", "import_aligned", "pack"),
    *("appearance", "rerender", "finetune", "completion", "evaluation", "videos"),
]
METHODS = {"raw": "raw render", "R": "recoloured cloud, colour fit (R)", "ours": "nrw"}
FIGURES = ("psnr", "ssim", "static_psnr", "static_ssim", "hit_psnr", "hit_ssim")


def costs(scene: Path) -> list[tuple[str, int, float, float, float]]:
    """Rule, jobs, seconds (sum over the jobs), CPU seconds, and the largest job's memory in MB."""
    rows = []
    for rule in RULES:
        files = [scene / "benchmarks" / f"{rule}.tsv", *sorted((scene / "benchmarks" / rule).glob("*.tsv"))]
        records = [_record(file) for file in files if file.is_file()]
        if records:
            total = [sum(float(record[key]) for record in records) for key in ("s", "cpu_time")]
            rows.append((rule, len(records), *total, max(float(record["max_rss"]) for record in records)))
    return rows


def _record(file: Path) -> dict[str, str]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))[-1]


def main(scene: Path) -> None:
    print(f"### {scene.name}\n\n{platform.machine()}, Python {platform.python_version()}\n")
    if (scene / "sfm" / "summary.json").is_file():
        sfm, mvs = read_json(scene / "sfm" / "summary.json"), read_json(scene / "mvs" / "summary.json")
        print(f"{sfm['registered']} of {sfm['photos']} photos registered; {mvs['points']} points in the cloud.\n")
    print("| rule | jobs | seconds | CPU seconds | memory, MB |\n|---|---|---|---|---|")
    rows = costs(scene)
    for rule, jobs, seconds, cpu, memory in rows:
        print(f"| {rule} | {jobs} | {seconds:.0f} | {cpu:.0f} | {memory:.0f} |")
    print(f"| all | | {sum(row[2] for row in rows):.0f} | {sum(row[3] for row in rows):.0f} | |")
    print(f"\nAll jobs one after another: {duration(sum(row[2] for row in rows))}.\n")
    metrics = read_json(scene / "evaluation" / "metrics.json")
    print(f"{len(metrics['photos'])} validation photos.\n")
    print(
        "| protocol | method | PSNR | SSIM | static PSNR | SSIM | hit PSNR | SSIM |\n|---|---|---|---|---|---|---|---|"
    )
    for protocol, methods in metrics["protocols"].items():
        for method, means in methods.items():
            figures = " | ".join(_figure(name, means[name]) for name in FIGURES)
            print(f"| {protocol} | {METHODS[method]} | {figures} |")


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if name.endswith("psnr") else f"{value:.3f}".lstrip("0")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
