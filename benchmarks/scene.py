"""What a finished scene cost and how good it is, as Markdown: time and memory of every rule, photos, cloud, metrics.

python benchmarks/scene.py results/<scene>
"""

import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from nrw.core.io import read_json
from nrw.core.progress import duration
from nrw.jobs.records import costs
from nrw.scene.files import SceneFiles

METHODS = {"raw": "raw render", "R": "recoloured cloud, colour fit (R)", "ours": "nrw"}
FIGURES = (
    *("psnr", "ssim", "flip", "sharpness"),
    *("static_psnr", "static_ssim", "hit_psnr", "hit_ssim", "hit_sharpness"),
)


def main(scene: Path) -> None:
    print(f"### {scene.name}\n\n{platform.machine()}, Python {platform.python_version()}\n")
    if SceneFiles(scene).sfm_summary.is_file():
        sfm, mvs = read_json(SceneFiles(scene).sfm_summary), read_json(SceneFiles(scene).mvs_summary)
        print(f"{sfm['registered']} of {sfm['photos']} photos registered; {mvs['points']} points in the cloud.\n")
    print("| rule | jobs | seconds | CPU seconds | memory, MB |\n|---|---|---|---|---|")
    rows = costs(SceneFiles(scene).records)
    for row in rows:
        print(f"| {row.rule} | {row.jobs} | {row.seconds:.0f} | {row.cpu_seconds:.0f} | {row.memory:.0f} |")
    total = sum(row.seconds for row in rows)
    print(f"| all | | {total:.0f} | {sum(row.cpu_seconds for row in rows):.0f} | |")
    print(f"\nAll jobs one after another: {duration(total)}.\n")
    metrics = read_json(SceneFiles(scene).metrics)
    print(f"{len(metrics['photos'])} validation photos.\n")
    _print_scores(metrics["protocols"])
    if "views" in metrics:
        views = metrics["views"]
        print(f"\nAs views of {views['size']} pixels, {views['detailed']:.0%} of their surface with detail:\n")
        _print_scores(views["protocols"])


def _print_scores(protocols: Mapping) -> None:
    columns = "| PSNR | SSIM | FLIP | sharpness | static PSNR | SSIM | hit PSNR | SSIM | sharpness |"
    print(f"| protocol | method {columns}\n|---|---{'|---' * 9}|")
    for protocol, methods in protocols.items():
        for method, means in methods.items():
            figures = " | ".join(_figure(name, means[name]) for name in FIGURES)
            print(f"| {protocol} | {METHODS[method]} | {figures} |")


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if name.endswith(("psnr", "sharpness")) else f"{value:.3f}".lstrip("0")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
