"""SIGTERM and SIGINT while a stage trains: save, then leave."""

import signal
import threading


class StopSignal:
    """`with StopSignal() as stop:` catches SIGTERM and SIGINT; the loop looks at `stop.received` between steps.

    A second signal acts at once, as it would have without this; `patient`: it does not, which is for processes that get
    the same signal from whoever started them too.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self, patient: bool = False):
        self.received: int | None = None
        self.patient = patient
        self._before = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():  # no other thread may set handlers
            self._before = {number: signal.signal(number, self._receive) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _receive(self, number: int, _frame: object) -> None:
        self.received = number
        if not self.patient:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def leave(self) -> None:
        """End the process as the signal asked: KeyboardInterrupt for SIGINT, else exit status 128 + signal."""
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.received)
