"""Retrieval against exhaustive matching on one folder of photos: pairs, time, what is registered, and how well.

python benchmarks/retrieval.py PHOTOS FOLDER [NEIGHBOURS …]      (FOLDER is made and holds everything)
"""

import sys
import time
from pathlib import Path

from nrw.config.resolve import resolve
from nrw.core.io import read_json
from nrw.photos.importing import import_photos
from nrw.sfm.features import extract_features
from nrw.sfm.matching import match_pairs, merge_matches
from nrw.sfm.pairs import choose_pairs
from nrw.sfm.reconstruction import reconstruct

THREADS = 2


def timed(function, *arguments, **settings) -> tuple[float, float]:
    """Seconds and CPU seconds of a call."""
    start = time.perf_counter(), time.process_time()
    function(*arguments, **settings)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def compare(photos: Path, folder: Path, matcher: str, neighbours: int, sfm: dict, seed: int) -> dict:
    """Pairs, matching and reconstruction with one way to choose pairs, after the features are there."""
    out = folder / f"{matcher}-{neighbours}"
    features, pairs, result, database = (
        folder / "features.db",
        out / "pairs.txt",
        out / "1-of-1.db",
        out / "database.db",
    )
    choice = timed(
        choose_pairs,
        *(features, pairs),
        matcher=matcher,
        retrieval_above=0,
        retrieval_neighbours=neighbours,
        threads=THREADS,
        reproducible=False,
        seed=seed,
    )
    matching = timed(match_pairs, features, pairs, "1-of-1", result, seed=seed)
    merge_matches(features, [result], database, seed=seed)
    mapping = timed(
        reconstruct,
        *(folder / "images", folder / "photos.csv", database),
        *(out / "sparse", out / "summary.json", out / "summary.txt"),
        mapper="incremental",
        hierarchical_above=sfm["hierarchical_above"],
        threads=THREADS,
        reproducible=False,
        seed=seed,
    )
    summary = read_json(out / "summary.json")
    return {
        "pairs": len(pairs.read_text(encoding="utf-8").splitlines()),
        "seconds": choice[0] + matching[0],
        "cpu": choice[1] + matching[1],
        "choice_cpu": choice[1],
        "mapping_cpu": mapping[1],
        "registered": f"{summary['registered']} of {summary['photos']}",
        **summary["models"][0],
    }


def main(photos: Path, folder: Path, neighbours: list[int]) -> None:
    config = resolve({"photos": str(photos)})
    sfm, seed = config["sfm"], config["seed"]
    import_photos(photos, folder / "photos.csv", folder / "images", threads=THREADS, **config["ingest"])
    settings = {key: sfm[key] for key in ("max_size", "max_features")}
    extract_features(folder / "images", folder / "photos.csv", folder / "features.db", threads=THREADS, **settings)
    rows = {"exhaustive": compare(photos, folder, "exhaustive", 0, sfm, seed)}
    for k in neighbours:
        rows[f"retrieval, {k} neighbours"] = compare(photos, folder, "retrieval", k, sfm, seed)
    base = rows["exhaustive"]
    print("| pairs | compared | matching, s | CPU s | choosing | mapping, CPU s | registered | error, px | points |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(
            f"| {name} | {row['pairs']} ({row['pairs'] / base['pairs']:.2f}) | {row['seconds']:.0f} | "
            f"{row['cpu']:.0f} ({row['cpu'] / base['cpu']:.2f}) | {row['choice_cpu']:.0f} | "
            f"{row['mapping_cpu']:.0f} | {row['registered']} | {row['mean_reprojection_error']:.3f} | {row['points']} |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [int(k) for k in sys.argv[3:]] or [40, 20])
