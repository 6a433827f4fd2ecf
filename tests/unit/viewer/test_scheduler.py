import threading
import time

import numpy as np
import pytest

from nrw.viewer import scheduler
from nrw.viewer.scheduler import DrawScheduler


class Recorder:
    """Records what is drawn and shown; drawing waits while `go` is cleared."""

    def __init__(self):
        self.drawn, self.shown, self.go = [], [], threading.Event()
        self.go.set()

    def draw(self, what, fine):
        self.drawn.append((what, fine))
        assert self.go.wait(10)
        if what == "bad":
            raise RuntimeError("a bad request")
        return np.zeros((1, 1, 3), np.uint8)

    def show(self, viewer, what, picture, fine, seconds):
        self.shown.append((viewer, what, fine))

    def wait(self, count, what="shown"):
        deadline = time.monotonic() + 10
        while len(getattr(self, what)) < count:
            assert time.monotonic() < deadline, getattr(self, what)
            time.sleep(0.005)


@pytest.fixture
def drawing(monkeypatch):
    monkeypatch.setattr(scheduler, "REST", 0.05)
    recorder = Recorder()
    drawer = DrawScheduler(recorder.draw, recorder.show)
    yield recorder, drawer
    recorder.go.set()
    drawer.stop()


def test_a_picture_is_drawn_small_and_then_fine_once(drawing):
    recorder, drawer = drawing
    drawer.request("me", "here")
    recorder.wait(2)
    drawer.request("me", "here")  # the same again is nothing new
    time.sleep(0.2)
    assert recorder.shown == [("me", "here", False), ("me", "here", True)]


def test_the_latest_request_wins_and_a_fine_picture_that_it_superseded_is_not_shown(drawing):
    recorder, drawer = drawing
    recorder.go.clear()
    drawer.request("me", 0)
    recorder.wait(1, "drawn")
    for place in range(1, 6):  # while the first is drawn
        drawer.request("me", place)
    recorder.go.set()
    recorder.wait(3)
    assert recorder.shown == [("me", 0, False), ("me", 5, False), ("me", 5, True)]
    drawer.request("me", 6)
    recorder.wait(4)
    recorder.go.clear()
    recorder.wait(5, "drawn")  # the fine picture of 6 is being drawn
    assert recorder.drawn[-1] == (6, True)
    drawer.request("me", 7)
    recorder.go.set()
    recorder.wait(6)
    assert recorder.shown[4:] == [("me", 7, False), ("me", 7, True)]


def test_two_viewers_are_served_and_one_that_left_is_not(drawing):
    recorder, drawer = drawing
    drawer.request("a", 1)
    drawer.request("b", 1)
    recorder.wait(4)
    assert set(recorder.shown) == {(viewer, 1, fine) for viewer in "ab" for fine in (False, True)}
    drawer.request("a", 2)
    drawer.forget("a")
    recorder.wait(4)
    time.sleep(0.15)
    assert ("a", 2, True) not in recorder.shown


def test_an_error_in_a_picture_does_not_end_the_drawing(drawing, caplog):
    recorder, drawer = drawing
    drawer.request("me", "bad")
    recorder.wait(1, "drawn")
    drawer.request("me", "good")
    recorder.wait(2)
    assert recorder.drawn.count(("bad", False)) == 1 and "could not be drawn" in caplog.text
