"""Runs of the workflow that meet an accident, in a working directory of their own."""

import csv
import os
import re
import resource
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tiny_run import command

LONGEST = 600  # seconds that a run may take
MARK = "NRW_FORCED_RUN"  # in the environment of all processes of a run


class Run:
    """A run of the workflow in `folder`, in a process group of its own, as from a terminal."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        limits: dict[int, int] | None = None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """environment: what to add. limits: of `resource`. prepare: called in the new process."""

        def begin() -> None:
            # what whoever started us ignores: a shell in the background Ctrl-C, nohup SIGHUP
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            for kind, limit in (limits or {}).items():
                resource.setrlimit(kind, (limit, limit))
            prepare()

        self.folder, self.mark = folder, uuid.uuid4().hex
        self.output = folder / "printed.txt"
        self.start = time.time()
        with open(self.output, "w") as stream:
            self.process = subprocess.Popen(
                command(*arguments),
                cwd=folder,
                env={**os.environ, "NO_COLOR": "1", **(environment or {}), MARK: self.mark},
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=begin,
            )

    @property
    def printed(self) -> str:
        return self.output.read_text(errors="replace")

    def wait(self, seconds: float = LONGEST) -> int:
        """Wait for the end, and return the exit status; whatever is left of a run that hangs is killed."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill(signal.SIGKILL, whole_group=True)
            raise AssertionError(f"the run hangs:\n{self.printed}") from None

    def kill(self, number: int, whole_group: bool) -> None:
        (os.killpg if whole_group else os.kill)(self.process.pid, number)

    def begun(self) -> set[str]:
        """The rules of which a job has begun since the start: each opens its log first."""
        logs = self.folder / "results" / "place" / "logs"
        found = set()
        for log in logs.rglob("*.log"):
            with_pieces = log.parent != logs
            if log.stat().st_mtime > self.start:
                found.add(log.parent.name if with_pieces else log.stem)
        return found

    def processes(self) -> list[str]:
        """The command lines of the run's processes that are alive."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:  # it has ended
                continue
        return found

    def orphans(self, seconds: float = 30) -> list[str]:
        """The processes that are left that long after the end of the run."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left


class Cost(NamedTuple):
    """Of the largest job of a rule."""

    seconds: float
    resident: float  # MB of memory in use
    addresses: float  # MB of virtual memory


def in_order(results: Path) -> dict[str, Cost]:
    """The rules in the order in which they began."""
    first, costs = {}, {}
    for record in (results / "benchmarks").rglob("*.tsv"):
        rule = record.parent.name if record.parent.name != "benchmarks" else record.stem
        with open(record, newline="") as stream:
            row = next(csv.DictReader(stream, delimiter="\t"))
        cost = Cost(float(row["s"]), float(row["max_rss"]), float(row["max_vms"]))
        begun = record.stat().st_mtime - cost.seconds
        first[rule] = min(begun, first.get(rule, begun))
        costs[rule] = Cost(*map(max, cost, costs.get(rule, cost)))
    return {rule: costs[rule] for rule in sorted(first, key=first.__getitem__)}


def windows(results: Path) -> list[tuple[int, int]]:
    """The bytes on disk before each rule, in order, and those that it wrote, of a finished run."""
    records = {record.stat().st_mtime for record in (results / "benchmarks").rglob("*.tsv")}
    ends = [0, *sorted(records)]
    sizes = [(path.stat().st_mtime, path.stat().st_blocks * 512) for path in results.rglob("*") if path.is_file()]
    found, before = [], 0
    for begin, end in pairwise(ends):
        written = sum(size for at, size in sizes if begin < at <= end)
        found.append((before, written))
        before += written
    return found


def half_files(results: Path) -> list[str]:
    """What a write leaves that did not end."""
    return [str(path) for path in results.rglob("*") if re.search(r"\.part\b|partial|-journal$|-wal$", path.name)]


def copy_inputs(source: Path, target: Path) -> None:
    """The photos and the segmenter of a working directory, for another one."""
    for part in ("photos", "segmenter"):
        shutil.copytree(source / part, target / part, symlinks=True)
