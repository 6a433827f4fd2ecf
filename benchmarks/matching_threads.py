"""Whether COLMAP matches the same pairs to the same matches again and again, with one thread and with two.

python benchmarks/matching_threads.py FEATURES_DB ROUNDS   (a scene's features.db, of which the first 14 photos count)
"""

import sqlite3
import sys
import tempfile
from contextlib import closing
from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap

from nrw.sfm.database import copy_photos, image_ids

PHOTOS = 14
BATCH = 20  # pairs between two starts of the matcher
CHURN = 40 << 20  # bytes in odd pieces between the rounds: in an even heap the accident is rarer


def matched(features_db: Path, folder: Path, threads: int) -> dict[int, tuple[int, bytes]]:
    """Rows and bytes of the matches of all pairs of the first photos, by pair."""
    database, listing = folder / "round.db", folder / "pairs.txt"
    database.unlink(missing_ok=True)
    pycolmap.Database.open(database).close()
    ids = dict(sorted(image_ids(features_db).items())[:PHOTOS])
    copy_photos(features_db, database, set(ids.values()))
    lines = [f"{a} {b}\n" for a, b in combinations(ids, 2)]
    options = pycolmap.FeatureMatchingOptions(use_gpu=False, num_threads=threads)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = 1
    for start in range(0, len(lines), BATCH):
        listing.write_text("".join(lines[start : start + BATCH]), encoding="utf-8")
        pairing = pycolmap.ImportedPairingOptions(match_list_path=listing)
        pycolmap.match_image_pairs(database, options, pairing, verification)
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT pair_id, rows, data FROM matches")
        return {pair: (rows, data) for pair, rows, data in found}


def main(features_db: Path, rounds: int) -> None:
    rng = np.random.default_rng(0)
    print("| threads | pairs matched | other matches than at first | fewest of the first's matches left |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for threads in (1, 2):
            first, others, left = matched(features_db, Path(folder), threads), 0, 1.0
            for _ in range(rounds):
                heap = [bytearray(int(size)) for size in rng.integers(16, CHURN // 200, 400)]
                del heap[:: rng.integers(2, 5)]
                for pair, (rows, data) in matched(features_db, Path(folder), threads).items():
                    if data != first[pair][1]:
                        others += 1
                        left = min(left, rows / first[pair][0])
            print(f"| {threads} | {rounds * len(first)} | {others} | {left:.2f} |", flush=True)


if __name__ == "__main__":
    pycolmap.logging.minloglevel = 2
    main(Path(sys.argv[1]), int(sys.argv[2]))
