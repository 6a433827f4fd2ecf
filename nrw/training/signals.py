"""SIGTERM and SIGINT during training: finish the step, save, then leave."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | int | None


class StopSignal:
    """Catch SIGTERM and SIGINT in a `with` block; the loop checks `received` between steps.

    A second signal acts at once, as it would without this class. ignore_repeats: it does not, for processes that get
    each signal twice, from the terminal or scheduler and from the process that started them.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, ignore_repeats: bool = False):
        self.received: int | None = None
        self.ignore_repeats = ignore_repeats
        self._before: dict[signal.Signals, Handler] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():  # no other thread may set handlers
            self._before = {number: signal.signal(number, self._receive) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _receive(self, number: int, _frame: object) -> None:
        self.received = number
        if not self.ignore_repeats:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def leave(self) -> None:
        """End the process as the signal asked: KeyboardInterrupt for SIGINT, else exit status 128 + signal."""
        assert self.received is not None
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.received)
