"""Time the rules between a scene's own depth maps and its packed data set, with this checkout and with another one.

python -m benchmarks.rules OTHER_CHECKOUT results/SCENE --configfile config/demo.yaml [--photos FOLDER] [--rounds 2]

Both start from the same photos, cameras, labels and photometric depth maps, copied for each run; runs alternate, on one
core, so that a change of the machine's speed meets both. Printed are the seconds of each rule as Snakemake recorded
them, the least over the rounds, and the ratio of the sums. Rules that one checkout calls by another name are told apart
by it: the sums count.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from nrw.core.io import write_json
from nrw.jobs.records import costs
from nrw.scene.files import SceneFiles

ROOT = Path(__file__).resolve().parents[1]
MADE_ANEW = ("consensus", "geometric", "cloud.ply", "summary.json")  # in mvs/


def copy_scene(scene: Path, out: Path) -> None:
    """Hard links to the scene's files up to the photometric depth maps."""
    files = SceneFiles(scene)

    def skipped(folder: str, names: list[str]) -> set[str]:
        if Path(folder) == files.workspace:
            return set(MADE_ANEW) & set(names)
        return {name for name in names if name.endswith((".consensus.bin", ".geometric.bin"))}

    for part in ("photos", "sfm", "mvs", "segmentation"):
        if (scene / part).is_dir():
            shutil.copytree(scene / part, out / part, ignore=skipped, copy_function=os.link)


def run(checkout: Path, scene: Path, config: dict, folder: Path) -> dict[str, float]:
    """Seconds of each rule that this checkout runs to pack the scene's data set."""
    copy_scene(scene, folder / "results" / scene.name)
    write_json(folder / "config.json", config)
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        checkout / "Snakefile",
        "--cores",
        "1",
        "--quiet",
        "all",
    ]
    command += ["--rerun-triggers", "mtime", "--configfile", folder / "config.json"]
    subprocess.run(
        [*command, "--", Path("results", scene.name, "dataset")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(checkout), "GOMP_SPINCOUNT": "10000"},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    records = SceneFiles(folder / "results" / scene.name).records
    return {cost.rule: cost.seconds for cost in costs(records)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--configfile", type=Path, default=ROOT / "config" / "config.yaml")
    parser.add_argument(
        "--photos", type=Path, help="the scene's photo folder, where the configuration does not name it"
    )
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    scene = arguments.scene.resolve()
    config = yaml.safe_load(arguments.configfile.read_text(encoding="utf-8"))
    photos = arguments.photos or config["scenes"][scene.name]["photos"]
    config["scenes"] = {scene.name: {"photos": str(Path(photos).resolve())}}
    labelled = SceneFiles(scene).classes.is_file()
    model = config.get("segmentation", {}).get("model")
    config["segmentation"] = {
        **config.get("segmentation", {}),
        "model": str(Path(model).resolve()) if labelled else "none",
    }

    least: dict[str, dict[str, float]] = {"before": {}, "after": {}}
    for _ in range(arguments.rounds):
        for name, checkout in (("before", arguments.other.resolve()), ("after", ROOT)):
            with tempfile.TemporaryDirectory(dir=scene.parent) as folder:
                for rule, seconds in run(checkout, scene, config, Path(folder)).items():
                    least[name][rule] = min(seconds, least[name].get(rule, seconds))
    print("| | rule | seconds |\n|---|---|---|")
    for name, rules in least.items():
        for rule, seconds in rules.items():
            print(f"| {name} | {rule} | {seconds:.1f} |")
    before, after = (sum(least[name].values()) for name in ("before", "after"))
    print(f"\nbefore {before:.1f} s, after {after:.1f} s: {before / after:.2f} times as fast")


if __name__ == "__main__":
    main()
