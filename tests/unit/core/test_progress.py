"""Progress of long loops, and threads that hand over results in order."""

import logging
import threading
from types import SimpleNamespace

import pytest

from nrw.core import progress as module
from nrw.core.progress import duration, in_threads, progress


def test_durations_read_naturally():
    assert [duration(seconds) for seconds in (42.4, 185, 7800)] == ["42 s", "3 min 5 s", "2 h 10 min"]


def test_progress_says_how_much_is_done_and_how_long_the_rest_takes(monkeypatch, caplog):
    clock = iter(range(0, 100, 10))  # seconds
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: False)))
    with caplog.at_level(logging.INFO, logger="nrw"):
        assert list(progress("abcd", 4, "letters")) == ["a", "b", "c", "d"]
    assert caplog.messages == [
        "letters: 2 of 4, about 20 s left",
        "letters: 4 of 4, about 0 s left",
        "letters: 4 done in 50 s",
    ]


def test_threads_give_all_results_in_order():
    first = threading.Event()

    def square(number):
        if number == 0:
            first.wait(10)  # the first item ends after the second
        if number == 1:
            first.set()
        return number**2

    assert list(in_threads(square, range(5), 2)) == [(number, number**2) for number in range(5)]


def test_no_more_results_are_in_memory_than_threads():
    computed = []
    results = in_threads(lambda number: computed.append(number), range(10), 3)
    next(results)
    assert sorted(computed) == [0, 1, 2]


def test_an_error_in_a_thread_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda number: 1 / number, [1, 0], 2))
