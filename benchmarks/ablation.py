"""What each part of the rerenderer is worth: variants trained for the same time on one data set, in one table.

python -m benchmarks.ablation results/SCENE OUT [--minutes 10] [--seeds 0 1] [--variants NAME …] [--jobs 2]

Every variant goes through the three stages in `--minutes` of training; how many images that is follows from the speed
of the variant's own first steps. `--jobs` runs go on side by side, with the machine's cores divided among them. Scored
are the validation photos, under the protocols of nrw.evaluation.scores. A finished run is not repeated. The rows `raw`
and `R` need no training.
"""

import argparse
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nrw.config.resolve import complete_preset, merge, read_preset
from nrw.core.io import read_json, write_json
from nrw.scene.files import SceneFiles

SHARES = {"appearance": 0.05, "rerender": 0.35, "finetune": 0.6}  # of the time
PILOT_STEPS = 16  # half of them before the clock is read
ON_A_GPU = (
    "batch_size",
    "crop_size",
    "tick_kimg",
    "appearance",
    "completion",
)  # in preset paper


def paper() -> dict:
    """The networks, losses and rates of 2019 (preset paper) at the size and with the memory of draft."""
    preset = read_preset("paper")
    training = {key: value for key, value in preset["training"].items() if key not in ON_A_GPU}
    network = {"architecture": preset["network"]["architecture"]}  # whose widths are its own
    return {"buffer": preset["buffer"], "network": network, "training": training}


WHOLE = {"quarter_resolution_share": 0.0, "half_resolution_share": 0.0}
UNTRAINED = {"training": {stage: {"kimg": 0.0} for stage in SHARES}}
VARIANTS: dict[str, dict] = {  # what differs from the draft preset
    "untrained": UNTRAINED,  # what the regression of a photo on its deep buffer gives
    "untrained, no lighting": {**UNTRAINED, "buffer": {"lighting": 0}},
    "draft": {},
    "paper": paper(),
    "encoder trained in stage 2": {"training": {"rerender": {"encoder_learning_rate": 0.002}}},
    "no pretraining": {"training": {"appearance": {"kimg": 0.0}}},
    "no colour jitter": {"training": {"color_jitter": 0.0}},
    "appearance from whole photos": {"training": {"partial_appearance": 0.0}},
    "whole size from the start": {"training": {"rerender": WHOLE}},
    "PatchGAN in the last half of stage 3": {"training": {"losses": {"adversarial": 0.02}}},
    "perceptual loss, random VGG16": {"training": {"losses": {"perceptual": 0.3}}},
    "no view direction": {"buffer": {"view_direction": False}},
    "one scale": {"buffer": {"levels": 1}},
    "no lighting": {"buffer": {"lighting": 0}},
    "no detail": {"buffer": {"detail": False}},  # without the photos' own
    "4 learned channels a point": {"buffer": {"point_channels": 4}},
    "networks of standard": {
        "network": read_preset("standard")["network"],
        "buffer": {"point_channels": read_preset("standard")["buffer"]["point_channels"]},
    },
    "z of 16": {"network": {"z_dim": 16}},
}
FIGURES = [
    ("half_refined", "psnr"),
    ("half_refined", "ssim"),
    ("half_refined", "hit_ssim"),
    ("full", "psnr"),
    ("full", "ssim"),
]


def config_of(variant: str, seed: int, threads: int) -> dict:
    config = merge(complete_preset("draft"), VARIANTS[variant])
    return merge(config, {"seed": seed, "training": {"threads": threads}})


def train(scene: Path, out: Path, config: dict, minutes: float) -> dict[str, dict]:
    """Run the three stages in `minutes`; returns kimg, images a second and seconds of each."""
    spent, before = {}, None
    for stage, share in SHARES.items():
        if config["training"][stage]["kimg"] > 0:
            speed = train_stage(stage, scene, before, out / "pilot", pilot(config, stage))["images_per_s"]
            shutil.rmtree(out / "pilot")
            kimg = share * minutes * 60 * speed / 1000
            config = merge(config, {"training": {stage: {"kimg": kimg}}})
        began = time.monotonic()
        last = train_stage(stage, scene, before, out, config)
        spent[stage] = {**last, "seconds": time.monotonic() - began}
        before = out / stage
    return spent


def pilot(config: dict, stage: str) -> dict:
    """The configuration of a stage of a few steps, with a tick half-way."""
    batch = config["training"][stage].get("batch_size", config["training"]["batch_size"])
    kimg = PILOT_STEPS * batch / 1000
    return merge(config, {"training": {"tick_kimg": kimg / 2, stage: {"kimg": kimg}}})


def train_stage(stage: str, scene: Path, before: Path | None, out: Path, config: dict) -> dict[str, float]:
    """Train one stage into out/<stage>; returns its kimg and images a second (of its last tick)."""
    from nrw.training import appearance, rerender

    files, folder, checkpoints = SceneFiles(scene), out / stage, out / "checkpoints" / stage
    if stage == "appearance":
        appearance.train(files.dataset, folder, checkpoints, config)
    else:
        detail = files.training_detail if config["buffer"]["detail"] else None  # of the scene's own stage 1
        rerender.train(files.dataset, detail, before, folder, checkpoints, config, stage)
    rows = (folder / "stats.jsonl").read_text().splitlines()
    last = json.loads(rows[-1]) if rows else {"kimg": 0.0, "images_per_s": 0.0}
    return {key: last[key] for key in ("kimg", "images_per_s")}


def evaluate(scene: Path, out: Path, refine_steps: int) -> dict:
    from nrw.dataset.packed import PackedDataset
    from nrw.evaluation.scores import evaluate
    from nrw.scene.model import SceneModel

    completion = scene / "completion"
    model = SceneModel.load(out / "finetune", completion if completion.is_dir() else None)
    files = SceneFiles(scene)
    dataset = PackedDataset(files.dataset, files.training_detail if model.spec.detail else None)
    return evaluate(model, dataset, None, None, out / "evaluation", refine_steps=refine_steps)["protocols"]


def run(scene: Path, out: Path, variant: str, seed: int, minutes: float, threads: int) -> None:
    import torch

    config = config_of(variant, seed, threads)
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    stages = train(scene, out, config, minutes)
    scores = evaluate(scene, out, config["evaluation"]["refine_steps"])
    result = {"variant": variant, "seed": seed, "minutes": minutes, "stages": stages, "protocols": scores}
    write_json(out / "result.json", result)


def table(results: list[Mapping]) -> Iterator[str]:
    """A line a variant: means over its runs, and half of their range."""
    yield "| variant | runs | kimg | minutes | half, z refined: PSNR | SSIM | hit SSIM | full: PSNR | SSIM |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for method in ("raw", "R"):
        protocols = results[0]["protocols"]
        cells = [f"{protocols[protocol][method][figure]:.3f}" for protocol, figure in FIGURES]
        yield f"| {method} | | | | {' | '.join(cells)} |"
    for variant in dict.fromkeys(result["variant"] for result in results):
        runs = [result for result in results if result["variant"] == variant]
        kimg = statistics.mean(run["stages"]["rerender"]["kimg"] + run["stages"]["finetune"]["kimg"] for run in runs)
        minutes = statistics.mean(sum(stage["seconds"] for stage in run["stages"].values()) / 60 for run in runs)
        cells = []
        for protocol, figure in FIGURES:
            values = [run["protocols"][protocol]["ours"][figure] for run in runs]
            spread = f" ± {(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        yield f"| {variant} | {len(runs)} | {kimg:.1f} | {minutes:.1f} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS, metavar=("VARIANT", "SEED"))
    arguments = parser.parse_args()
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    if arguments.one:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        run(arguments.scene, arguments.out, arguments.one[0], int(arguments.one[1]), arguments.minutes, threads)
        return

    def start(chosen: tuple[str, int]) -> Path:
        variant, seed = chosen
        out = arguments.out / f"{variant.replace(' ', '-')}-{seed}"
        if not (out / "result.json").exists():
            out.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "benchmarks.ablation", arguments.scene, out, "--one", variant, str(seed)]
            command += ["--minutes", str(arguments.minutes), "--jobs", str(arguments.jobs)]
            with open(out / "log.txt", "w") as log:
                subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
        return out / "result.json"

    runs = [(variant, seed) for variant in arguments.variants for seed in arguments.seeds]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = [read_json(path) for path in pool.map(start, runs)]
    print(*table(results), sep="\n")


if __name__ == "__main__":
    main()
