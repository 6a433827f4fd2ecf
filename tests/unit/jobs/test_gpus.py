"""Real processes that take GPUs of a machine with two; there need be none, since a lock is all that they hold."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from nrw.core.errors import UserError
from nrw.jobs import gpus

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus, "LOCKS", tmp_path)
    monkeypatch.setattr(gpus, "WAIT", 0.02)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


class Job:
    """A process that takes GPUs and keeps them until it is ended."""

    def __init__(self, count: int):
        self.found, told = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=self.work, args=(count, told), daemon=True)
        self.process.start()

    @staticmethod
    def work(count, told):
        gpus.take(count, "cuda")
        told.send(os.environ["CUDA_VISIBLE_DEVICES"])
        signal.pause()

    def visible(self, seconds: float = 10.0) -> str | None:
        """What it sees, once it has taken it; None while it waits."""
        return self.found.recv() if self.found.poll(seconds) else None

    def end(self, number: int = signal.SIGTERM) -> None:
        os.kill(self.process.pid, number)
        self.process.join()


@pytest.fixture
def start():
    jobs = []

    def start(count=1):
        jobs.append(Job(count))
        return jobs[-1]

    yield start
    for job in jobs:
        job.process.kill()
        job.process.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_at_the_same_time_have_a_gpu_each_and_the_next_waits_for_one_to_end(start, number):
    first, second = start(), start()
    assert {first.visible(), second.visible()} == {"0", "1"}
    third = start()
    assert third.visible(0.3) is None
    second.end(number)
    assert third.visible() in ("0", "1")


def test_many_jobs_never_share_one(start):
    running = {job: job.visible() for job in (start(), start())}
    waiting = [start() for _ in range(4)]
    for _ in range(4):
        assert sorted(running.values()) == ["0", "1"]
        job, free = running.popitem()
        job.end(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while not (ready := [job for job in waiting if job.found.poll()]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert len(ready) == 1
        waiting.remove(ready[0])
        running[ready[0]] = ready[0].visible()
        assert running[ready[0]] == free


def test_jobs_that_need_several_do_not_wait_for_each_others_half(start, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    jobs = [start(2) for _ in range(3)]
    seen = []
    for _ in range(3):
        deadline = time.monotonic() + 10
        while not (ready := [job for job in jobs if job.found.poll()]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert len(ready) == 1
        seen.append(ready[0].visible())
        jobs.remove(ready[0])
        ready[0].end()
    assert all(len(set(names.split(","))) == 2 for names in seen)


@pytest.mark.parametrize("given", ["1,0", "GPU-5a, GPU-77", "3,7"])
def test_only_gpus_that_are_visible_are_taken_by_the_name_they_have_there(start, monkeypatch, given):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    first, second = (name.strip() for name in given.split(","))
    assert start().visible() == first
    assert start().visible() == second


def test_what_a_cluster_shows_a_job_is_its_own(start, monkeypatch):
    """SLURM numbers each job's GPUs from 0: equal numbers are different GPUs, and nobody waits."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert [start().visible(), start().visible()] == ["0", "0"]


def test_without_cuda_nothing_is_taken():
    gpus.take(2, "cpu")
    gpus.take(0, "cuda")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_more_gpus_than_the_machine_has_are_an_error():
    with pytest.raises(UserError, match=r"asks for 3 GPUs \(resource gpu\), but torch .* finds 2 CUDA devices"):
        gpus.take(3, "cuda")


def test_a_run_is_checked_before_its_first_job(monkeypatch):
    monkeypatch.setattr(gpus, "torch_device", torch.device)
    gpus.require(2)
    gpus.require(None)
    with pytest.raises(UserError, match=r"--resources gpu=3\), but torch .* finds 2 CUDA devices"):
        gpus.require(3)


def test_a_lock_of_another_user_can_be_taken(start, tmp_path):
    lock = tmp_path / "nrw-gpu-0.lock"
    lock.touch(0o444)
    assert start().visible() == "0"
    assert start().visible() == "1"
