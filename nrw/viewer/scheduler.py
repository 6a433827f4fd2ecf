"""When pictures are drawn: in one thread, the newest wish of each viewer first small, then fine once it rests."""

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np

REST = 0.3  # seconds without a new wish after which the fine picture is drawn

logger = logging.getLogger(__name__)


@dataclass
class _Wish:
    """state: how many of the two pictures, small and fine, have been drawn."""

    what: object
    since: float
    drawn: int = 0


class Renderer:
    """Draws what was wished last; what was wished before and is not drawn yet is forgotten.

    draw(what, fine) makes a picture; show(viewer, what, picture, fine, seconds) gets it, both in the one thread. A fine
    picture that another wish overtook is not shown. An error of `draw` is logged, and the thread goes on.
    """

    def __init__(
        self,
        draw: Callable[[object, bool], np.ndarray],
        show: Callable[[Hashable, object, np.ndarray, bool, float], None],
    ):
        self._draw, self._show = draw, show
        self._wishes: dict[Hashable, _Wish] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="renderer", daemon=True)
        self._thread.start()

    def wish(self, viewer: Hashable, what: object) -> None:
        """Draw `what` for a viewer, unless it is what that viewer has wished already."""
        with self._changed:
            known = self._wishes.get(viewer)
            if known is None or known.what != what:
                self._wishes[viewer] = _Wish(what, time.monotonic())
                self._changed.notify()

    def forget(self, viewer: Hashable) -> None:
        """Draw no more for a viewer."""
        with self._changed:
            self._wishes.pop(viewer, None)

    def stop(self) -> None:
        """End the thread, after the picture in hand."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            viewer, wish, fine = job
            try:
                start = time.monotonic()
                picture = self._draw(wish.what, fine)
                seconds = time.monotonic() - start
                with self._changed:
                    wish.drawn += 1
                    overtaken = self._wishes.get(viewer) is not wish
                if not (fine and overtaken):
                    self._show(viewer, wish.what, picture, fine, seconds)
            except Exception:
                wish.drawn = 2
                logger.exception("a picture could not be drawn")

    def _next(self) -> tuple[Hashable, _Wish, bool] | None:
        """Wait for the next picture to draw: a small one, longest waiting first, else a fine one; None: the end."""
        with self._changed:
            while not self._stopped:
                open_wishes = sorted(self._wishes.items(), key=lambda item: item[1].since)
                for viewer, wish in open_wishes:
                    if wish.drawn == 0:
                        return viewer, wish, False
                resting = [(viewer, wish) for viewer, wish in open_wishes if wish.drawn == 1]
                if not resting:
                    self._changed.wait()
                    continue
                viewer, wish = resting[0]
                left = wish.since + REST - time.monotonic()
                if left <= 0:
                    return viewer, wish, True
                self._changed.wait(left)
            return None
