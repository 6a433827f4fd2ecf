"""Work on many items with a few threads, in order and in bounded memory (numpy and torch let go of the interpreter)."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> Iterator[tuple[Item, Result]]:
    """(item, function(item)) in order, computed `threads` at a time; no more results than that are in memory."""
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(items), threads):
            batch = items[start : start + threads]
            yield from zip(batch, pool.map(function, batch), strict=True)
