"""What each rule of a scene took: the records that Snakemake's `benchmark:` leaves in results/<scene>/benchmarks/."""

import csv
from dataclasses import dataclass
from pathlib import Path

RULES = (  # names of the records, in the order of the workflow
    *(
        "photos",
        "features",
        "pairs",
        "matches",
        "merge",
        "reconstruct",
        "undistort",
        "segmentation",
        "classes",
        "depths",
        "consensus",
        "geometric",
    ),
    *(
        "patch_match",
        "fuse",
        "rasterize",
        "split",
        "recolour",
        "lighting",
        "compose",
        "index",
        "import_aligned",
        "pack",
    ),
    *("appearance", "rerender", "finetune", "completion", "evaluation", "videos"),
)


@dataclass(frozen=True)
class Cost:
    """A rule's jobs together: wall-clock and CPU seconds are sums over the jobs, memory (MB) is that of the largest."""

    rule: str
    jobs: int
    seconds: float
    cpu_seconds: float
    memory: float


def costs(scene_dir: Path | str) -> list[Cost]:
    """The cost of every rule that has a record, in the order of the workflow."""
    records_dir = Path(scene_dir, "benchmarks")
    found = []
    for rule in RULES:
        files = [records_dir / f"{rule}.tsv", *sorted((records_dir / rule).glob("*.tsv"))]
        records = [_record(file) for file in files if file.is_file()]
        if records:
            seconds, cpu = (sum(_number(record[key]) for record in records) for key in ("s", "cpu_time"))
            found.append(Cost(rule, len(records), seconds, cpu, max(_number(record["max_rss"]) for record in records)))
    return found


def _record(file: Path) -> dict[str, str]:
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))[-1]


def _number(text: str) -> float:
    """Snakemake writes NA for what it could not measure: jobs that end within a moment."""
    return 0.0 if text == "NA" else float(text)
