"""How long a run takes, from the measured ones.

Fitted to runs of `draft` on the Reichstag (74 photos) and the Sacré-Cœur (10) by an early version, on 2 cores
without a GPU: each part's CPU seconds, and its seconds by the clock while other work kept the two cores busy. The
first, over the cores at hand, are a lower bound, the second an upper one. For those runs the fit gave 19–57 and 12–30
minutes, where the clock said 49 and 26. On an idle machine the present version took 16 and 8 (benchmarks/RESULTS.md):
less than the lower bounds, which are still those of the busy one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nrw.config.resolve import complete_preset

MEASURED = "draft"  # the preset that the figures are from
CORES = 2  # of the machine that they are from


@dataclass(frozen=True)
class Cost:
    """CPU seconds, and seconds by the clock on 2 busy cores."""

    cpu: float
    clock: float


PHOTO = Cost(12.4, 22.9)  # all but what follows
PAIR = Cost(0.12, 0.153)  # of photos matched
STYLE = Cost(58, 92)  # stage 1 for its kimg
KIMG = {"rerender": Cost(197, 255), "finetune": Cost(223, 237)}
REST = Cost(81, 155)  # evaluation and three videos


def estimate(photos: int, config: Mapping, cores: int) -> tuple[float, float] | None:
    """(least, most) seconds of a complete run without labelling; None where nothing comparable was measured.

    photos: files in the folder. Training is scaled by its length and by the area of its crops.
    """
    usual = complete_preset(MEASURED)
    comparable = ("device", "buffer", "network")
    if any(config[key] != usual[key] for key in comparable) or config["mvs"]["backend"] != usual["mvs"]["backend"]:
        return None
    if config["training"]["losses"] != usual["training"]["losses"]:
        return None
    sfm, training = config["sfm"], config["training"]
    neighbours = photos - 1
    if sfm["matcher"] == "retrieval" or (sfm["matcher"] == "auto" and photos > sfm["retrieval_above"]):
        neighbours = min(neighbours, 2 * sfm["retrieval_neighbours"])
    pairs = photos * neighbours / 2
    area = (training["crop_size"] / usual["training"]["crop_size"]) ** 2

    def seconds(kind: str, cores_for_photos: float, cores_for_training: float) -> float:
        by_photo = photos * getattr(PHOTO, kind) + pairs * getattr(PAIR, kind) + getattr(REST, kind)
        length = training["appearance"]["kimg"] / usual["training"]["appearance"]["kimg"]
        by_crop = length * getattr(STYLE, kind)
        by_crop += area * sum(training[stage]["kimg"] * getattr(cost, kind) for stage, cost in KIMG.items())
        return by_photo / cores_for_photos + by_crop / cores_for_training

    used = min(cores, training["threads"])
    least = seconds("cpu", cores, used)
    most = seconds("clock", cores / CORES, used / CORES)
    return least, most
