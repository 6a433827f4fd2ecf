"""Runs without disk, memory or rights, in every stage: a clear error, nothing half, and the next run goes on."""

import ctypes
import re
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from force.runs import Run, copy_inputs, half_files, in_order, windows
from small_disk import PAGE, resize, small_disk
from small_memory import small_memory
from tiny_run import ALL, content

pytestmark = pytest.mark.workflow
FULL, FEW = 1, 0
NO_ROOM = r"No space left on device|disk is full"
NO_RIGHT = r"Permission denied|Read-only file system|Write-protected output files"  # the last: Snakemake
NO_MEMORY = r"Memory ran out"
SNAKEMAKE = 200  # MB that its own process may need
UNLIMITED = 4 << 30  # bytes
LEAST = 700e6  # bytes of addresses: with fewer Snakemake does not begin, and threads of COLMAP hang
PROGRESS = ".partial.sqlite"  # pairs that are matched, kept for the next run


def failed_stage(run: Run) -> tuple[str, str]:
    """The rule in which a run failed, and what it said of that. It must have left no process."""
    printed = run.printed
    _, found, last = printed.rpartition("\nFailed: stage ")
    said = last if found else printed.partition("Error: ")[2] or printed.partition("Exception in rule ")[2]
    assert said, printed
    left = run.orphans()
    assert not left, left
    return last.split("rule ")[1].split("\n")[0] if found else "before the first rule", said


def nothing_half(run: Run) -> None:
    half = [path for path in half_files(run.folder / "results") if not path.endswith(PROGRESS)]
    assert not half or "\nError: " not in run.printed, half  # what a crash leaves, the next run deletes


def stage_that_says(words: str, run: Run) -> str:
    """The rule in which a run failed, which must have said so in these words and not as Python does."""
    stage, said = failed_stage(run)
    assert re.search(words, said, re.I) and "Traceback (most recent call last)" not in run.printed, run.printed
    return stage


def finishes(folder: Path, finished: Path) -> None:
    """The same command once more: it succeeds, and its results are those of a run without an accident."""
    run = Run(folder, *ALL)
    assert run.wait() == 0, run.printed
    results = folder / "results" / "place"
    assert not half_files(results)
    expected, found = content(finished), content(results)
    assert expected.keys() == found.keys()
    assert [str(path) for path in expected if expected[path] != found[path]] == []


def test_a_full_disk(finished, folder, tmp_path, count, seed):
    rng = np.random.default_rng(seed)
    copy_inputs(folder, tmp_path)
    results = tmp_path / "results"
    with small_disk(results):
        for before, written in windows(finished):
            resize(results, int(before + rng.uniform(0, 1) * written))
            run = Run(tmp_path, *ALL)
            if run.wait() == 0:
                break
            count("full disk", **{stage_that_says(NO_ROOM, run): 1})
            nothing_half(run)
        resize(results, UNLIMITED)
        finishes(tmp_path, finished)


def test_a_full_disk_for_temporary_files(finished, folder, tmp_path, count, seed):
    copy_inputs(folder, tmp_path)
    scratch = tmp_path / "scratch"
    with small_disk(scratch):
        for size in (PAGE, *(1 << power for power in range(13, 32))):
            resize(scratch, size)
            run = Run(tmp_path, *ALL, environment={"TMPDIR": str(scratch)})
            if run.wait() == 0:
                break
            count("full temporary disk", **{stage_that_says(NO_ROOM, run): 1})
            nothing_half(run)
            assert not list(scratch.iterdir())
    finishes(tmp_path, finished)


def test_no_memory(finished, folder, tmp_path, count, seed):
    rng = np.random.default_rng(seed)
    copy_inputs(folder, tmp_path)
    for rule, cost in in_order(finished).items():
        if cost.resident < SNAKEMAKE:  # the kernel kills the largest process
            continue
        with small_memory(int((SNAKEMAKE + rng.uniform(0.3, 0.95) * cost.resident) * 1e6)) as within:
            run = Run(tmp_path, *ALL, "--until", rule, prepare=within)
            if run.wait():
                count("no memory", **{stage_that_says(NO_MEMORY, run): 1})
                nothing_half(run)
        run = Run(tmp_path, *ALL, "--until", rule)
        assert run.wait() == 0, run.printed
    finishes(tmp_path, finished)


def test_no_addresses(finished, folder, tmp_path, count, seed):
    rng = np.random.default_rng(seed)
    copy_inputs(folder, tmp_path)
    for rule, cost in in_order(finished).items():
        if cost.addresses < 200:  # of a rule that was over before it was measured
            continue
        limit = int(max(LEAST, rng.uniform(0.3, 0.95) * cost.addresses * 1e6))
        run = Run(tmp_path, *ALL, "--until", rule, limits={resource.RLIMIT_AS: limit})
        if run.wait():
            # under such a limit CPython and native libraries end in many ways: not all of them tell of memory
            stage, said = failed_stage(run)
            nothing_half(run)
            count("no addresses", **{stage: 1, "told as memory": bool(re.search(NO_MEMORY, said))})
        run = Run(tmp_path, *ALL, "--until", rule)
        assert run.wait() == 0, run.printed
    finishes(tmp_path, finished)


def test_no_right_to_write(finished, folder, tmp_path, count, seed):
    copy_inputs(folder, tmp_path)
    results = tmp_path / "results" / "place"
    for rule in in_order(finished):
        run = Run(tmp_path, *ALL, "--until", rule, prepare=obey_rights)
        while rule not in run.begun() and run.process.poll() is None:
            time.sleep(0.05)
        # innermost ones: where it may not tidy up above them, Snakemake itself ends with a traceback
        below = (
            path for path in results.rglob("*") if path.relative_to(results).parts[0] not in ("logs", "benchmarks")
        )
        folders = [path for path in below if path.is_dir() and not any(map(Path.is_dir, path.iterdir()))]
        for path in folders:
            path.chmod(0o555)
        if run.wait():
            count("right to write lost", **{stage_that_says(NO_RIGHT, run): 1})
            run = Run(tmp_path, *ALL, "--until", rule, prepare=obey_rights)
            if run.wait():  # Snakemake may have made the folder anew
                assert stage_that_says(NO_RIGHT, run) == "before the first rule"
        for path in filter(Path.is_dir, folders):
            path.chmod(0o755)
        run = Run(tmp_path, *ALL, "--until", rule)
        assert run.wait() == 0, run.printed
    finishes(tmp_path, finished)


def obey_rights() -> None:
    """Give up root's power to read and write everything, for this process and what it starts."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
