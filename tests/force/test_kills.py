"""Runs that are killed at random moments, in any stage: the same command finishes them, with the same results."""

import signal
import subprocess
import time

import numpy as np
import pytest
from force.runs import Run, copy_inputs, half_files, in_order
from tiny_run import ALL, content

pytestmark = pytest.mark.workflow
FULL, FEW = 5, 0  # runs; tests/workflow has a few kills of its own
KILLS = 10  # of each run
ENDS = {  # name -> signal, and whether the whole process group gets it
    "SIGKILL": (signal.SIGKILL, True),
    "SIGTERM": (signal.SIGTERM, True),
    "SIGTERM to Snakemake": (signal.SIGTERM, False),
    "Ctrl-C": (signal.SIGINT, True),
    "SIGHUP": (signal.SIGHUP, True),
}


def test_the_same_command_finishes_a_run_that_was_killed(finished, folder, tmp_path, count, seed):
    rng = np.random.default_rng(seed)
    copy_inputs(folder, tmp_path)
    seconds = {rule: cost.seconds for rule, cost in in_order(finished).items()}
    rules = list(seconds)
    chosen = sorted(rng.choice(len(rules), KILLS, replace=False))
    ends = rng.permutation(list(ENDS) * (KILLS // len(ENDS)))
    for place, name in zip(chosen, ends, strict=True):
        run = started(tmp_path)
        stage = kill_at(run, rules, int(place), rng.uniform(0, seconds[rules[place]] + 1), *ENDS[name])
        left = run.orphans()
        assert not left, f"{name} in {stage} left {left}"
        count(f"kills: {name}", **{stage: 1})
    run = started(tmp_path)
    assert run.wait() == 0, run.printed
    results = tmp_path / "results" / "place"
    assert not half_files(results)
    expected, found = content(finished), content(results)
    assert expected.keys() == found.keys()
    assert [str(path) for path in expected if expected[path] != found[path]] == []
    count("kills: runs", **{"finished as the run that nobody killed": 1})


def started(folder) -> Run:
    """The command, at work; unlocked before, with the line that it prints, where it says that it is locked."""
    run = Run(folder, *ALL)
    while run.process.poll() is None and "Building DAG of jobs" not in run.printed:
        time.sleep(0.05)
    time.sleep(1)
    if "locked by another run" not in run.printed:
        return run
    assert run.wait(60) != 0
    unlock = next(line for line in run.printed.splitlines() if "--unlock" in line and "snakemake" in line)
    unlocked = subprocess.run(unlock, shell=True, cwd=folder, capture_output=True, text=True, timeout=60)
    assert unlocked.returncode == 0, unlocked.stdout + unlocked.stderr
    again = Run(folder, *ALL)
    time.sleep(1)
    return again


def kill_at(run: Run, rules: list[str], place: int, delay: float, number: int, whole_group: bool) -> str:
    """Kill a run `delay` seconds after the rule at `place`, or one that comes later, has begun.

    Returns the last rule that had begun by then, in the order of `rules`.
    """
    deadline = time.monotonic() + 300
    while run.process.poll() is None and not run.begun() & set(rules[place:]) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(delay)
    begun = run.begun()
    stage = next((rule for rule in reversed(rules) if rule in begun), "before any")
    if run.process.poll() is not None:
        return "after the end"
    run.kill(number, whole_group)
    run.wait(180)
    return stage
