"""Print the table of docs/cluster.md: what a job of each rule asks a cluster for.

python -m benchmarks.requests_table

Cores and GPUs are those that the rules in workflow/rules declare, with at most 16 cores (`max-threads` in
profiles/slurm). Numbers of jobs, memory and time come from nrw.jobs.requests, as in the workflow.
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
LEFT_OUT = ("import_aligned", "check_photos")  # not in a scene made from photos; not sent to the cluster
HEAD = re.compile(r"(?:use rule (?P<base>\w+) as (?P<derived>\w+) with|rule (?P<name>\w+)):")


def declared(config: Mapping) -> dict[str, tuple[int, bool]]:
    """Read the cores of each rule, and whether it uses a GPU."""
    found, name = {}, ""
    for file in sorted(RULES.glob("*.smk")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if head := HEAD.match(line):
                name = head["name"] or head["derived"]
                found[name] = found[head["base"]] if head["base"] else (1, False)
            elif threads := re.match(r"    threads: (.+)", line):
                cores = int(threads[1]) if threads[1].isdigit() else config["training"]["threads"]
                found[name] = (min(NODE_THREADS, cores), found[name][1])
            elif line.startswith("        gpu="):
                found[name] = (found[name][0], True)
    return found


def jobs(rule: str, photos: int, config: Mapping) -> int:
    """Count the jobs of a rule for one scene, as `scattergather` in workflow/rules/common.smk does."""
    for scattered in (requests.CHUNKED, requests.BATCHED, requests.PAIRED):
        if rule in scattered:
            return requests.pieces(scattered, Load.of(photos, config, NODE_THREADS), config["chunks"])
    return len(VIDEO_KINDS) if rule == "film" else 1


def table(config: Mapping) -> Iterator[str]:
    """Yield the lines of the table."""
    sets = ", ".join(f"{photos:,}".replace(",", " ") for photos in PHOTOS)
    yield f"| rule | cores | jobs: {sets} photos | memory per job, GB | time per job, min |"
    yield "|---|---|---|---|---|"
    rules = declared(config)
    for rule in requests.COSTS:
        if rule in LEFT_OUT:
            continue
        cores, gpu = rules[rule]
        columns = []
        for photos in PHOTOS:
            load, count = Load.of(photos, config, cores), jobs(rule, photos, config)
            memory, minutes = requests.memory_mb(rule, load, 1), requests.runtime_minutes(rule, load, count, 1)
            columns.append((str(count), f"{memory / 1000:.1f}", str(minutes)))
        cells = " | ".join(", ".join(column) for column in zip(*columns, strict=True))
        yield f"| `{rule}` | {cores}{', GPU' if gpu else ''} | {cells} |"


if __name__ == "__main__":
    print("\n".join(table(resolve({"photos": "place", "preset": PRESET}))))
