"""Runs without disk, memory or rights, in every stage: a clear error, nothing half, and the next run goes on."""

import ctypes
import re
import resource
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
NO_ADDRESSES = rf"{NO_MEMORY}|The process crashed \(SIGSEGV\)"  # the latter: C++ that does not look what malloc returns
SNAKEMAKE = 200  # MB that its own process may need
UNLIMITED = 4 << 30  # bytes
LEAST = 700e6  # bytes of addresses: with fewer Snakemake does not begin, and threads of COLMAP hang
PROGRESS = ".partial.sqlite"  # pairs that are matched, kept for the next run


def failed_stage(run: Run, words: str) -> str:
    """The rule in which a run failed, which must have said so in these words, and left nothing half."""
    printed = run.printed
    assert "Traceback (most recent call last)" not in printed, printed
    _, found, last = printed.rpartition("\nFailed: stage ")
    said = last if found else printed.partition("Error: ")[2] or printed.partition("Exception in rule ")[2]
    assert re.search(words, said), printed
    left = run.orphans()
    assert not left, left
    half = [path for path in half_files(run.folder / "results") if not path.endswith(PROGRESS)]
    assert not half or "\nError: " not in printed, half  # what a crash leaves, the next run deletes
    return last.split("rule ")[1].split("\n")[0] if found else "before the first rule"


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
            count("full disk", **{failed_stage(run, NO_ROOM): 1})
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
            count("full temporary disk", **{failed_stage(run, NO_ROOM): 1})
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
                count("no memory", **{failed_stage(run, NO_MEMORY): 1})
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
            count("no addresses", **{failed_stage(run, NO_ADDRESSES): 1})
        run = Run(tmp_path, *ALL, "--until", rule)
        assert run.wait() == 0, run.printed
    finishes(tmp_path, finished)


def test_no_right_to_write(finished, folder, tmp_path, count, seed):
    copy_inputs(folder, tmp_path)
    results = tmp_path / "results" / "place"
    for rule in in_order(finished):
        run = Run(tmp_path, *ALL, "--until", rule)
        assert run.wait() == 0, run.printed
        folders = [results, *(path for path in results.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        run = Run(tmp_path, *ALL, "--forcerun", rule, "--until", rule, prepare=obey_rights)
        assert run.wait() != 0
        count("no right to write", **{failed_stage(run, NO_RIGHT): 1})
        for path in folders:
            path.chmod(0o755)
    finishes(tmp_path, finished)


def obey_rights() -> None:
    """Give up root's power to read and write everything, for this process and what it starts."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
