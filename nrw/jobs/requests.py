"""Costs of the rules: requests to a cluster, numbers of pieces, and forecasts for large sets.

The formulas are fitted to benchmark records of the draft preset on 10 and 74 photos: CPU seconds of one core, and the
largest resident memory of a job. The records are of a busy machine; an idle one needs as little as half of that time
(benchmarks/RESULTS.md, "Growth"). What was not measured says so: label maps and COLMAP's patch-match, for which no
model and no CUDA build was available, and everything on a GPU.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nrw.config.choices import VIDEO_KINDS, mapper_for, matcher_for
from nrw.core.limits import RESCUE_PAIRS

# One GPU against one core. Guesses, on the slow side.
GPU_GEOMETRY, GPU_NETWORKS = 20, 100
SAFETY = 3  # time asked for, over the estimate: nodes differ, file systems are shared
MEMORY_SAFETY = 1.5
SNAKEMAKE_MB = 600  # Snakemake's own processes inside a cluster job count against its memory
MIN_MINUTES = 10
# rules that are cut into pieces: of photos that take seconds each, of photos that take a fraction of one, of pairs
CHUNKED = ("segment_photos", "photometric_depths", "consensus_depths", "geometric_depths")
BATCHED = ("mask_sky", "rasterize_photos", "compose_aligned", "measure_residuals")
PAIRED = ("match_pairs",)
SCATTERED = CHUNKED + BATCHED + PAIRED
PAIRS_KEPT = 0.75  # of photos x neighbours: two photos often choose each other


@dataclass(frozen=True)
class Load:
    """The load that a scene is: what the costs depend on.

    photos: in the scene. pairs: of photos to match. sfm, mvs, buffer: megapixels of a photo for SIFT, for dense depth,
    and of a framebuffer. points: of the dense cloud. config: the complete configuration. threads: of the job.
    """

    photos: int
    pairs: int
    sfm: float
    mvs: float
    buffer: float
    points: float
    config: Mapping
    threads: int = 1

    @classmethod
    def of(cls, photos: int, config: Mapping, threads: int = 1) -> "Load":
        sfm = config["sfm"]
        pairs = photos * (photos - 1) // 2
        if matcher_for(sfm, photos) == "retrieval":
            pairs = min(pairs, int(PAIRS_KEPT * photos * sfm["retrieval_neighbours"]))
        mvs = _megapixels(config["mvs"]["max_size"])
        return cls(
            photos,
            pairs,
            _megapixels(min(config["ingest"]["max_size"], sfm["max_size"])),
            mvs,
            _megapixels(config["framebuffers"]["max_size"]),
            9000 * photos**0.67 * mvs / 0.31,  # 41 538 points from 10 photos, 157 069 from 74
            config,
            threads,
        )


def _megapixels(longer_side: float) -> float:
    """Megapixels of a 4:3 photo."""
    return longer_side**2 * 0.75 / 1e6


@dataclass(frozen=True)
class Cost:
    """seconds: CPU seconds for the whole scene, without the start-up. memory: MB of one job.

    gpu: speed-up by a GPU. parallel: whether threads speed it up. start: start-up of one job, seconds.
    """

    seconds: Callable[[Load], float]
    memory: Callable[[Load], float]
    gpu: float = 1
    parallel: bool = False
    start: float = 3.0


def _mapping(load: Load) -> float:
    """Seconds of mapping: 148 for 74 photos, 2 for 10, a power of 2.15; in parts beyond `sfm.hierarchical_above`."""
    sfm = load.config["sfm"]
    part = load.photos
    if mapper_for(sfm, load.photos) == "hierarchical":
        part = min(part, sfm["hierarchical_above"])
    return 148 * (part / 74) ** 2.15 * load.photos / part


def _training(stage: str, seconds_per_image: float) -> Callable[[Load], float]:
    """Seconds of a stage: grow with the images shown, their pixels, the networks' width, and VGG16 where it is used."""

    def seconds(load: Load) -> float:
        config = load.config
        images = 1000 * config["training"][stage]["kimg"]
        size = (config["training"]["crop_size"] / 160) ** 2
        width = (config["network"]["base_width"] / 16) ** 2
        losses = config["training"]["losses"]
        extra = 1 + 2 * (losses["perceptual"] > 0) + (losses["adversarial"] > 0)
        return images * seconds_per_image * size * width * extra + 0.1 * load.photos

    return seconds


def _training_memory(load: Load) -> float:
    training = load.config["training"]
    crops = training["batch_size"] / training["accumulate"] * (training["crop_size"] / 160) ** 2
    width = load.config["network"]["base_width"] / 16
    # weight, gradient, Adam's two, average, best average
    table = 24 * load.points * load.config["buffer"]["point_channels"] / 1e6
    table += 3 * load.points * load.config["buffer"]["lighting"] / 1e6
    return 1400 + 110 * crops * width + table + 4 * load.photos**2 / 1e6


def _samples(load: Load) -> float:
    """Points that a photo sees: a share of the cloud, and no more than its pixels."""
    return min(0.6 * load.points, 1e6 * load.mvs)


def _seconds_per_sample(load: Load) -> float:
    """Coloring, plus lighting, which grows with the square of its numbers: 2.5e-6 s for 12 numbers on 74 photos."""
    return 1e-6 * (0.3 + 2.5 * (load.config["buffer"]["lighting"] / 12) ** 2)


def _frames(load: Load) -> float:
    videos = load.config["videos"]
    return videos["fps"] * max(videos[kind]["seconds"] for kind in VIDEO_KINDS)


MAPPING = Cost(_mapping, lambda x: 150 + 2.5 * x.photos * x.config["sfm"]["max_features"] / 4096, parallel=True)
COSTS = {
    "import_photos": Cost(lambda x: 0.15 * x.photos, lambda x: 130 + 60 * x.threads, parallel=True),
    "check_photos": Cost(lambda x: 0.001 * x.photos, lambda x: 150),
    "extract_features": Cost(
        lambda x: 2.0 * x.sfm * x.photos, lambda x: 150 + 250 * max(x.sfm, 0.7) * x.threads, parallel=True
    ),
    "choose_pairs": Cost(lambda x: 0.5 * x.photos, lambda x: 800 + 0.05 * x.photos, parallel=True),
    "match_pairs": Cost(
        lambda x: 0.12 * x.pairs * (x.config["sfm"]["max_features"] / 4096) ** 2,
        lambda x: 300 + 60 * x.config["sfm"]["max_features"] / 4096,
    ),
    "merge_matches": Cost(lambda x: 0.02 * x.photos + 0.001 * x.pairs, lambda x: 200 + 0.002 * x.pairs),
    "find_parts": MAPPING,
    # the most: all pairs that a rescue may match, and as many that support them
    "join_parts": Cost(
        lambda x: 6 * min(x.photos, 2 * RESCUE_PAIRS) + 2 * 1.5 * min(x.pairs, RESCUE_PAIRS),
        lambda x: 2500 + 0.5 * min(x.photos, 2 * RESCUE_PAIRS),
        gpu=GPU_NETWORKS,
        parallel=True,
    ),
    "reconstruct": MAPPING,
    "undistort": Cost(lambda x: 0.2 * x.mvs * x.photos, lambda x: 150 + x.photos / 5, parallel=True),
    "segment_photos": Cost(
        lambda x: 4 * _megapixels(x.config["segmentation"]["max_size"]) / 0.31 * x.photos,  # not measured
        lambda x: 1800 + 700 * _megapixels(x.config["segmentation"]["max_size"]) / 0.31,
        gpu=GPU_NETWORKS,
        start=15,
    ),
    "gather_classes": Cost(lambda x: 0.02 * x.photos, lambda x: 400),
    "photometric_depths": Cost(
        lambda x: 4.1 * (x.mvs / 0.31) ** 1.3 * x.photos,
        lambda x: 350 + 800 * x.mvs + x.photos / 5,
        gpu=GPU_GEOMETRY,
        start=5,
    ),
    # not measured
    "patch_match": Cost(lambda x: 40 * x.mvs * x.photos, lambda x: 2000 + 500 * x.mvs, gpu=GPU_GEOMETRY),
    "consensus_depths": Cost(
        lambda x: 1.5 * x.mvs / 0.31 * x.photos,
        lambda x: 380 + 1360 * x.mvs + x.photos / 5,
        gpu=GPU_GEOMETRY,
    ),
    "geometric_depths": Cost(
        lambda x: 4.0 * x.mvs / 0.31 * x.photos,
        lambda x: 380 + 1360 * x.mvs + x.photos / 5,
        gpu=GPU_GEOMETRY,
    ),
    "mask_sky": Cost(
        lambda x: (0.2 + 0.2 * x.mvs / 0.31) * x.photos, lambda x: 320 + 300 * x.mvs + x.photos / 5
    ),
    "fuse_depths": Cost(
        lambda x: 0.35 * x.mvs / 0.31 * x.photos,
        lambda x: 300 + min(2000, 19 * x.mvs * x.photos) + 400 * x.points / 1e6 + x.mvs * x.photos,
        parallel=True,
    ),
    "rasterize_photos": Cost(
        lambda x: (0.03 + 0.045 * x.points / 1e6) * x.photos, lambda x: 350 + 100 * x.buffer, gpu=GPU_GEOMETRY
    ),
    "split_photos": Cost(lambda x: 0.001 * x.photos, lambda x: 310),
    "color_cloud": Cost(
        lambda x: ((0.06 + 0.2 * x.points / 1e6) / x.threads + _samples(x) * _seconds_per_sample(x)) * x.photos,
        lambda x: 380 + 2 * min(x.points / 1e6, 0.066 * x.threads) * x.config["buffer"]["lighting"] ** 2 * 4
        + 100 * x.points / 1e6 + (30 + 60 * x.mvs) * x.threads,
    ),
    "compose_aligned": Cost(
        lambda x: (0.15 * x.buffer / 0.077 + 0.1 * x.points / 1e6) * x.photos, lambda x: 350 + 300 * x.buffer
    ),
    "index_aligned": Cost(lambda x: 0.001 * x.photos, lambda x: 330),
    "import_aligned": Cost(lambda x: 0.1 * x.photos, lambda x: 330),
    "pack_dataset": Cost(
        lambda x: (0.04 * x.buffer / 0.077 + 0.1 * x.points / 1e6) * x.photos,
        lambda x: 330 + 200 * x.buffer * (1 + x.threads),
        parallel=True,
    ),
    "undistort_detailed": Cost(
        lambda x: 0.2 * _megapixels(x.config["detail"]["max_size"]) * x.photos,
        lambda x: 150 + x.photos / 5,
        parallel=True,
    ),
    "measure_residuals": Cost(
        lambda x: (
            0.1 * x.buffer / 0.077 + 0.1 * _megapixels(x.config["detail"]["max_size"]) / 0.69
            + 0.1 * x.points / 1e6
        ) * x.photos,
        lambda x: 350 + 1200 * x.buffer + 200 * _megapixels(x.config["detail"]["max_size"]),
        gpu=GPU_GEOMETRY,
    ),
    "pack_detail": Cost(
        lambda x: 0.25 * x.buffer / 0.077 * x.photos,
        lambda x: 320 + 2500 * x.buffer * x.threads + 256 * _megapixels(x.config["detail"]["max_size"]),
        gpu=GPU_GEOMETRY,
        parallel=True,
    ),
    "train_appearance": Cost(
        lambda x: _training("appearance", 0.04)(x) + 0.3 * x.photos + 6e-5 * x.photos**2,
        _training_memory,
        gpu=GPU_NETWORKS,
    ),
    "train_rerender": Cost(_training("rerender", 0.2), _training_memory, gpu=GPU_NETWORKS),
    "train_finetune": Cost(_training("finetune", 0.22), _training_memory, gpu=GPU_NETWORKS),
    "train_completion": Cost(_training("completion", 0.2), _training_memory, gpu=GPU_NETWORKS),
    "evaluate": Cost(
        lambda x: (
            (
                4.5 * x.buffer / 0.077 * (x.config["evaluation"]["refine_steps"] / 16 + 0.5)
                + 20 * _megapixels(x.config["detail"]["max_size"]) / 0.69
            )
            * max(x.config["dataset"]["min_validation"], x.config["dataset"]["validation_share"] * x.photos)
        ),
        lambda x: (
            600 + 600 * x.buffer * x.config["network"]["base_width"] / 16
            + 600 * _megapixels(x.config["detail"]["max_size"]) / 0.69
        ),
        gpu=GPU_NETWORKS,
    ),
    "write_report": Cost(lambda x: 0.1 * x.photos, lambda x: 500),  # not measured
    "film": Cost(
        lambda x: (0.15 * _megapixels(x.config["videos"]["size"]) / 0.077 + 0.3 * x.points / 1e6) * _frames(x),
        lambda x: 500 + 200 * x.buffer + 100 * x.points / 1e6,
        gpu=GPU_NETWORKS,
    ),
}  # fmt: skip


def seconds(rule: str, load: Load) -> float:
    """Seconds of a rule for the whole scene as one job with `load.threads` cores and, if configured, a GPU."""
    cost = COSTS[rule]
    speed: float = load.threads if cost.parallel else 1
    if load.config["device"] == "cuda":
        speed *= cost.gpu
    return cost.start + cost.seconds(load) / speed


def pieces(rules: tuple[str, ...], load: Load, least: int) -> int:
    """Number of jobs that these rules are cut into: at least `least`, and none longer than `chunk_minutes`.

    More photos make more jobs of the same length.
    """
    longest = max(seconds(rule, load) for rule in rules)
    return max(least, math.ceil(longest / (60 * load.config["chunk_minutes"])))


def runtime_minutes(rule: str, load: Load, jobs: int, attempt: int) -> int:
    """Time that one of `jobs` jobs requests; each further attempt requests as much again."""
    work = seconds(rule, load) - COSTS[rule].start
    return attempt * max(MIN_MINUTES, math.ceil(SAFETY * (COSTS[rule].start + work / jobs) / 60))


def memory_mb(rule: str, load: Load, attempt: int) -> int:
    """Memory that a job requests; each further attempt requests as much again."""
    return attempt * (SNAKEMAKE_MB + math.ceil(MEMORY_SAFETY * COSTS[rule].memory(load)))
