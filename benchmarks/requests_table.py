"""Print the table of docs/cluster.md: what a job of each rule asks a cluster for.

python -m benchmarks.requests_table

Cores are those of the rules in workflow/rules, at most `max-threads` of profiles/slurm; memory, time and the number of
jobs are those of nrw.jobs.requests, on which the workflow relies as well.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from nrw.config.choices import VIDEO_KINDS
from nrw.config.resolve import resolve
from nrw.jobs import requests
from nrw.jobs.requests import Load

PRESET = "standard"
PHOTOS = (100, 1000, 5000)
NODE_THREADS = 16
RULES = Path(__file__).parent.parent / "workflow" / "rules"
LEFT_OUT = ("import_aligned",)  # only for scenes that come aligned
NAMED = re.compile(r"^(?:use rule (?P<base>\w+) as (?P<derived>\w+) with|rule (?P<name>\w+)):")


def rules() -> dict[str, tuple[str, bool]]:
    """(expression of its threads, whether it uses a GPU) by rule."""
    found, name = {}, None
    for file in sorted(RULES.glob("*.smk")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if start := NAMED.match(line):
                name = start["name"] or start["derived"]
                found[name] = found[start["base"]] if start["base"] else ("1", False)
            elif threads := re.match(r"    threads: (.+)", line):
                found[name] = (threads[1], found[name][1])
            elif re.match(r"        gpu=", line):
                found[name] = (found[name][0], True)
    return found


def table(config: Mapping) -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    numbers = ", ".join(f"{photos:,}".replace(",", " ") for photos in PHOTOS)
    yield f"| rule | cores | jobs: {numbers} photos | memory of a job, GB | time of a job, min |"
    yield "|---|---|---|---|---|"
    declared = rules()
    for rule in requests.COSTS:
        if rule in LEFT_OUT:
            continue
        expression, gpu = declared[rule]
        threads = min(NODE_THREADS, eval(expression, {"config": config}))
        columns = []
        for photos in PHOTOS:
            load, count = Load.of(photos, config, threads), jobs(rule, photos, config)
            memory, minutes = requests.memory_mb(rule, load, 1), requests.runtime_minutes(rule, load, count, 1)
            columns.append((str(count), f"{memory / 1000:.1f}", str(minutes)))
        cells = (", ".join(column) for column in zip(*columns, strict=True))
        yield f"| `{rule}` | {threads}{', GPU' if gpu else ''} | {' | '.join(cells)} |"


def jobs(rule: str, photos: int, config: Mapping) -> int:
    """The number of jobs of a rule for a scene, as `scattergather` in workflow/rules/common.smk computes it."""
    largest = Load.of(photos, config, NODE_THREADS)
    for group in (requests.CHUNKED, requests.BATCHED, requests.PAIRED):
        if rule in group:
            return requests.pieces(group, largest, config["chunks"])
    return len(VIDEO_KINDS) if rule == "film" else 1


if __name__ == "__main__":
    print("\n".join(table(resolve({"photos": "place", "preset": PRESET}))))
