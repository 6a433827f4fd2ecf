"""How much is computed at once: so little that it stays in a CPU's cache, so much that it is worth a GPU's launch."""

import torch

AT_ONCE = {"cpu": 2**17, "cuda": 2**24}  # values of an intermediate result; about a dozen of them are in memory


def batches(count: int, size: int, device: torch.device) -> list[slice]:
    """Split `count` parts, of `size` values each, into ranges to compute at once: at least one part each.

    Results are the same for any ranges.
    """
    step = max(1, AT_ONCE[device.type] // size)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
