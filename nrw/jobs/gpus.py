"""GPUs of one machine for jobs that run at the same time: each takes its own, and no two have the same.

A job holds a lock on a file per GPU as long as its process lives; the kernel frees it however that ends. Where the
machine shows no more GPUs than a job asks for, as in a job of a cluster, there is nothing to choose.
"""

import fcntl
import logging
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from nrw.core.device import missing_gpus, torch_device

LOCKS = Path(tempfile.gettempdir())
WAIT = 1.0  # seconds between two looks for a free GPU
logger = logging.getLogger(__name__)
_held: list[int] = []  # descriptors of the locks, open until the process ends


def take(count: int, device: str) -> None:
    """Let this process and those that it starts see `count` GPUs that no other job holds; waits until there are.

    To be called once, before torch starts CUDA. count: as the rule requests. device: as configured; nothing is taken
    for `cpu`. Raises UserError where the machine has fewer GPUs.
    """
    if device != "cuda" or not count:
        return
    found = visible()
    if len(found) < count:
        raise missing_gpus(f"this job asks for {_gpus(count)} (resource gpu)", len(found))
    chosen = found if len(found) == count else hold(count, found)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)


def require(at_once: int | None) -> None:
    """Check, before a run's first job, that this machine has a GPU that works, and enough for the jobs at one time.

    at_once: GPUs that jobs may hold together; None: as many as there are. Raises UserError where it has not.
    """
    torch_device("cuda")
    found = torch.cuda.device_count()
    if at_once is not None and at_once > found:
        raise missing_gpus(f"jobs may hold {_gpus(at_once)} together (--resources gpu={at_once})", found)


def visible() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: by number or UUID."""
    count = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(count)] if given is None else [name.strip() for name in given.split(",")]
    return names[:count]


def hold(count: int, found: Sequence[str]) -> list[str]:
    """Lock `count` of the GPUs `found`, the first that are free, for the life of this process; returns their names."""
    waiting = False
    while True:
        locks: dict[str, int] = {}
        for name in found:
            if len(locks) < count and (lock := _lock(name)) is not None:
                locks[name] = lock
        if len(locks) == count:
            _held.extend(locks.values())
            return list(locks)
        for lock in locks.values():  # two jobs that each keep a part would wait for each other for ever
            os.close(lock)
        if not waiting:
            logger.info("waiting for %s: other jobs hold %d of %d", _gpus(count), len(found) - len(locks), len(found))
        waiting = True
        time.sleep(random.uniform(0.5, 1.5) * WAIT)


def _lock(name: str) -> int | None:
    """The descriptor of a GPU's lock; None where another process holds it."""
    path = LOCKS / f"nrw-gpu-{name.replace('/', '-')}.lock"
    try:
        lock = os.open(path, os.O_RDONLY)  # another user's file may be opened, but not with the flag that creates it
    except FileNotFoundError:
        lock = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _gpus(count: int) -> str:
    return f"{count} GPU{'' if count == 1 else 's'}"
