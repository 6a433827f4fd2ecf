"""Costs of the rules as measured: the records that Snakemake's `benchmark:` leaves in a scene's folder."""

import csv
from dataclasses import dataclass
from pathlib import Path

from nrw.jobs.requests import COSTS


@dataclass(frozen=True)
class Cost:
    """A rule's jobs together: wall-clock and CPU seconds are sums over the jobs, memory (MB) is that of the largest."""

    rule: str
    jobs: int
    seconds: float
    cpu_seconds: float
    memory: float


def costs(records_dir: Path | str) -> list[Cost]:
    """The cost of every rule that has a record in a folder, in the order of the workflow; unknown ones come last."""
    folder = Path(records_dir)
    names = {path.stem for path in folder.glob("*.tsv")} | {path.name for path in folder.glob("*") if path.is_dir()}
    order = {rule: number for number, rule in enumerate(COSTS)}
    found = []
    for rule in sorted(names, key=lambda name: (order.get(name, len(order)), name)):
        files = [folder / f"{rule}.tsv", *sorted((folder / rule).glob("*.tsv"))]
        records = [_record(file) for file in files if file.is_file()]
        seconds, cpu = (sum(_number(record[key]) for record in records) for key in ("s", "cpu_time"))
        found.append(Cost(rule, len(records), seconds, cpu, max(_number(record["max_rss"]) for record in records)))
    return found


def _record(file: Path) -> dict[str, str]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))[-1]


def _number(text: str) -> float:
    """Snakemake writes NA for what it could not measure: jobs that end within a moment."""
    return 0.0 if text == "NA" else float(text)
