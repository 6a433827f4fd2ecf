"""Schedules drawing in one thread: each viewer's latest request first small, then fine once the viewer rests."""

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Viewer = TypeVar("Viewer", bound=Hashable)
Wanted = TypeVar("Wanted")

REST = 0.3  # seconds without a new request after which the fine picture is drawn

logger = logging.getLogger(__name__)


@dataclass
class _Request(Generic[Wanted]):
    """A viewer's request. since: seconds, monotonic. drawn: how many of its two pictures, small and fine, are drawn."""

    what: Wanted
    since: float
    drawn: int = 0


class DrawScheduler(Generic[Viewer, Wanted]):
    """Draws each viewer's latest request; superseded requests are dropped.

    draw(what, fine) makes a picture; show(viewer, what, picture, fine, seconds) receives it. Both run in the one
    thread. A fine picture whose request was superseded is not shown. An error in either is logged, and the thread goes
    on.
    """

    def __init__(
        self,
        draw: Callable[[Wanted, bool], np.ndarray],
        show: Callable[[Viewer, Wanted, np.ndarray, bool, float], None],
    ):
        self._draw, self._show = draw, show
        self._requests: dict[Viewer, _Request[Wanted]] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="draw scheduler", daemon=True)
        self._thread.start()

    def request(self, viewer: Viewer, what: Wanted) -> None:
        """Draw `what` for a viewer, unless it is that viewer's latest request already."""
        with self._changed:
            latest = self._requests.get(viewer)
            if latest is None or latest.what != what:
                self._requests[viewer] = _Request(what, time.monotonic())
                self._changed.notify()

    def forget(self, viewer: Viewer) -> None:
        """Draw no more for a viewer."""
        with self._changed:
            self._requests.pop(viewer, None)

    def stop(self) -> None:
        """Stop the thread once its current picture is drawn."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            viewer, request, fine = job
            try:
                start = time.monotonic()
                picture = self._draw(request.what, fine)
                seconds = time.monotonic() - start
                with self._changed:
                    request.drawn += 1
                    superseded = self._requests.get(viewer) is not request
                if not (fine and superseded):
                    self._show(viewer, request.what, picture, fine, seconds)
            except Exception:
                request.drawn = 2
                logger.exception("a picture could not be drawn")

    def _next(self) -> tuple[Viewer, _Request[Wanted], bool] | None:
        """Wait for the next picture to draw: a small one, longest waiting first, else a fine one. None: stop."""
        with self._changed:
            while not self._stopped:
                requests = sorted(self._requests.items(), key=lambda item: item[1].since)
                for viewer, request in requests:
                    if request.drawn == 0:
                        return viewer, request, False
                resting = [(viewer, request) for viewer, request in requests if request.drawn == 1]
                if not resting:
                    self._changed.wait()
                    continue
                viewer, request = resting[0]
                left = request.since + REST - time.monotonic()
                if left <= 0:
                    return viewer, request, True
                self._changed.wait(left)
            return None
