"""Time the rules between a scene's depth maps and its packed data set, with this checkout and with another one.

python -m benchmarks.rules OTHER_CHECKOUT results/SCENE --configfile config/demo.yaml [--photos FOLDER] [--rounds 2]

Both start from the same photos, cameras, labels and depth maps, copied for each run: the geometric maps, or with
`--given photometric` those that the passes start from. Runs alternate, on one core, so that a change of the machine's
speed affects both. Printed are the wall-clock and CPU seconds of each rule as Snakemake recorded them, the least over
the rounds, and the ratio of their sums. The rules of the two checkouts may have other names: compare the sums.
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
MADE_ANEW = {  # files and folders in mvs/ that are not copied, by the kind of the maps that are given
    "geometric": ({"cloud.ply", "summary.json"}, ()),
    "photometric": (
        {"cloud.ply", "summary.json", "consensus", "geometric"},
        (".consensus.bin", ".geometric.bin"),
    ),
}


def copy_scene(scene: Path, given: str, out: Path) -> None:
    """Hard links to the scene's files up to the given depth maps."""
    workspace, (files, suffixes) = SceneFiles(scene).workspace, MADE_ANEW[given]

    def skipped(folder: str, names: list[str]) -> set[str]:
        if Path(folder) == workspace:
            return files & set(names)
        return {name for name in names if suffixes and name.endswith(suffixes)}

    for part in ("photos", "sfm", "mvs", "segmentation"):
        if (scene / part).is_dir():
            shutil.copytree(scene / part, out / part, ignore=skipped, copy_function=os.link)


def run(checkout: Path, scene: Path, given: str, config: dict, folder: Path) -> dict[str, tuple[float, float]]:
    """Wall-clock and CPU seconds of each rule that this checkout runs to pack the scene's data set."""
    copy_scene(scene, given, folder / "results" / scene.name)
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
    return {cost.rule: (cost.seconds, cost.cpu_seconds) for cost in costs(records)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--configfile", type=Path, default=ROOT / "config" / "config.yaml")
    parser.add_argument(
        "--photos", type=Path, help="the scene's photo folder, where the configuration does not name it"
    )
    parser.add_argument("--given", choices=list(MADE_ANEW), default="geometric", help="kind of the maps to start from")
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

    least: dict[str, dict[str, tuple[float, float]]] = {"before": {}, "after": {}}
    for _ in range(arguments.rounds):
        for name, checkout in (("before", arguments.other.resolve()), ("after", ROOT)):
            with tempfile.TemporaryDirectory(dir=scene.parent) as folder:
                for rule, found in run(checkout, scene, arguments.given, config, Path(folder)).items():
                    best = least[name].get(rule, found)
                    least[name][rule] = (min(found[0], best[0]), min(found[1], best[1]))
    print("| | rule | seconds | CPU seconds |\n|---|---|---|---|")
    for name, rules in least.items():
        for rule, (seconds, cpu) in rules.items():
            print(f"| {name} | {rule} | {seconds:.1f} | {cpu:.1f} |")
    for number, kind in enumerate(("seconds", "CPU seconds")):
        before, after = (sum(found[number] for found in least[name].values()) for name in ("before", "after"))
        print(f"\n{kind}: before {before:.1f}, after {after:.1f}: {before / after:.2f} times as fast")


if __name__ == "__main__":
    main()
