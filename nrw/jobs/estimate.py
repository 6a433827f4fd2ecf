"""Estimate of a run's time on this machine, from the cost model (`requests`) and the whole runs that were timed.

The cost model is on the slow side: its seconds are of a busy machine, and it plans for the full length of training,
which ends earlier when validation no longer improves. Two whole runs of `draft` on 2 idle cores, of 74 and of 10
photos, took 0.63 and 0.60 of what it says (benchmarks/RESULTS.md).
"""

from collections.abc import Mapping

from nrw.config.choices import TRAINING_STAGES, VIDEO_KINDS
from nrw.config.resolve import complete_preset
from nrw.jobs.requests import COSTS, SCATTERED, Load

MEASURED = "draft"  # the preset that the factors are from
LEAST, MOST = 0.55, 1.1  # of the cost model: an idle machine, a busy one
TRAINING = {f"train_{stage}" for stage in TRAINING_STAGES}
NEVER_TIMED = {"segment_photos", "patch_match", "import_aligned"}


def estimate(photos: int, config: Mapping, cores: int) -> tuple[float, float] | None:
    """Return (least, most) seconds of a complete run without labelling; None if nothing comparable was measured.

    photos: files in the folder.
    """
    usual = complete_preset(MEASURED)
    comparable = ("device", "buffer", "network")
    if any(config[key] != usual[key] for key in comparable) or config["mvs"]["backend"] != usual["mvs"]["backend"]:
        return None
    if config["training"]["losses"] != usual["training"]["losses"]:
        return None
    load = Load.of(photos, config, threads=cores)
    left_out = set(NEVER_TIMED)
    if not config["sfm"]["rescue"]:
        left_out |= {"find_parts", "join_parts"}
    if config["segmentation"]["model"] == "none":
        left_out |= {"gather_classes", "train_completion"}
    else:
        left_out.add("mask_sky")
    seconds = sum(
        cost.start + cost.seconds(load) / _cores_used(rule, config, cores)
        for rule, cost in COSTS.items()
        if rule not in left_out
    )
    return LEAST * seconds, MOST * seconds


def _cores_used(rule: str, config: Mapping, cores: int) -> int:
    """Count the cores that the jobs of a rule keep busy."""
    if rule in TRAINING or rule == "evaluate":
        return min(cores, config["training"]["threads"])
    if rule == "film":
        return min(cores, len(VIDEO_KINDS))
    return cores if COSTS[rule].parallel or rule in SCATTERED else 1
