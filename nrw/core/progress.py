"""Long loops: their progress on a terminal or in a log, and threads that compute their items in order."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def progress(items: Iterable[Item], total: int, what: str, every: float = 15.0) -> Iterator[Item]:
    """Pass the items through and report how many are done and how long the rest will take.

    A bar on a terminal; elsewhere a log line every `every` seconds, and one at the end.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items):
        yield item
        now = time.monotonic()
        if now - last >= every:
            last = now
            rest = (now - start) / (done + 1) * (total - done - 1)
            logger.info("%s: %d of %d, about %s left", what, done + 1, total, duration(rest))
    logger.info("%s: %d done in %s", what, total, duration(time.monotonic() - start))


def duration(seconds: float) -> str:
    """Seconds as people write them: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> Iterator[tuple[Item, Result]]:
    """(item, function(item)) in order, computed by `threads` threads; at most that many results are in memory.

    Threads are enough for array code: NumPy and torch release the GIL.
    """
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(items), threads):
            batch = items[start : start + threads]
            yield from zip(batch, pool.map(function, batch), strict=True)
