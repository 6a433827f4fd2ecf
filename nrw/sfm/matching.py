"""Matching the pairs of photos in pieces: feature matches and verified two-view geometries.

COLMAP's matcher reads and writes one database, and SQLite allows one writer. So each piece of the pairs is matched in
a temporary database on the local disk, which holds only the features of that piece's photos; its matches go to a small
file; and one job merges the files of all pieces into the scene's database. A pair's matches depend on the pair and the
seed alone, so the number of pieces changes nothing. For that a piece is matched by one thread, and several pieces use
several cores: with two threads, COLMAP 4.2 occasionally loses a third of a pair's matches (benchmarks/RESULTS.md).
"""

import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pycolmap

from nrw.core.io import atomic_path
from nrw.core.pieces import pending
from nrw.core.progress import progress
from nrw.sfm.database import attached, copy_photos, image_ids, opened
from nrw.sfm.stationary import drop_print

logger = logging.getLogger(__name__)

MIN_INLIERS = 15  # matches consistent with one geometry that make a pair verified (COLMAP's default)
BATCH = 200  # pairs that are matched before their results are saved
RESULT_TABLES = ("matches", "two_view_geometries")


def match_pairs(
    features_db: Path | str,
    pairs_txt: Path | str,
    item: str,
    result_db: Path | str,
    *,
    seed: int,
) -> None:
    """Match one piece of the pairs and verify each pair's geometry; write COLMAP's tables of both to `result_db`.

    item: `2-of-3` is the second third of the list. `features_db` is only read, by any number of pieces at a time.
    An interrupted piece resumes after its last finished batch of pairs, which a file beside `result_db` keeps.
    """
    result_db = Path(result_db)
    partial = result_db.with_name(f"{item}.partial.sqlite")
    fingerprint = {"features": Path(features_db), "pairs": Path(pairs_txt), "seed": seed}
    pending([item], result_db.with_suffix(".key"), fingerprint, lambda _: [partial])
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "piece.db"
        pycolmap.Database.open(database).close()
        _create_tables(partial, database)
        pairs = _slice(Path(pairs_txt).read_text(encoding="utf-8").splitlines(), item)
        ids = image_ids(features_db)
        done = _pairs_in(partial)
        todo = [line for line in pairs if _pair_id(line, ids) not in done]
        logger.info("matching: %d pairs, %d of them done before", len(pairs), len(pairs) - len(todo))
        copy_photos(features_db, database, {ids[name] for line in todo for name in line.split()})

        matching = pycolmap.FeatureMatchingOptions(use_gpu=False, num_threads=1)
        listing = Path(folder) / "pairs.txt"
        batches = [todo[start : start + BATCH] for start in range(0, len(todo), BATCH)]
        for batch in progress(batches, len(batches), f"matching, batches of {BATCH} pairs"):
            listing.write_text("".join(f"{line}\n" for line in batch), encoding="utf-8")
            pycolmap.match_image_pairs(
                database, matching, pycolmap.ImportedPairingOptions(match_list_path=listing), verification(seed)
            )
            _move_results(database, partial)
    os.replace(partial, result_db)


def merge_matches(
    features_db: Path | str, result_dbs: Iterable[Path | str], database_out: Path | str, *, seed: int
) -> None:
    """Write the scene's database: its features, and the matches and geometries of all pieces.

    Matches of what is printed on the photos are left out (`sfm.stationary`), and their pairs verified anew.
    """
    with atomic_path(database_out) as path:
        shutil.copyfile(features_db, path)
        for result_db in result_dbs:
            with attached(path, result_db) as connection:
                for table in RESULT_TABLES:
                    connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
        with opened(path) as database:
            marked, changed = drop_print(database, verification(seed))
            _, inliers = database.read_two_view_geometry_num_inliers()
            compared = database.num_matched_image_pairs()
    if changed:
        logger.info("matching: text or marks on %d photos; left out of the matches of %d pairs", marked, changed)
    logger.info("matching: %d pairs match, %d verified", compared, sum(count >= MIN_INLIERS for count in inliers))


def verification(seed: int) -> pycolmap.TwoViewGeometryOptions:
    """How the geometry of a pair is verified."""
    options = pycolmap.TwoViewGeometryOptions(min_num_inliers=MIN_INLIERS)
    options.ransac.random_seed = seed
    return options


def _slice(lines: list[str], item: str) -> list[str]:
    """The pairs of one piece: consecutive ones, which share photos, so that a piece needs the features of few."""
    number, _, count = item.partition("-of-")
    bounds = [len(lines) * part // int(count) for part in (int(number) - 1, int(number))]
    return lines[slice(*bounds)]


def _pair_id(line: str, ids: dict[str, int]) -> int:
    """COLMAP's id of a pair. line: `NAME NAME`. ids: image ids by name."""
    return pycolmap.image_pair_to_pair_id(*(ids[name] for name in line.split()))


def _create_tables(partial: Path, database: Path) -> None:
    """Create the result tables that `partial` lacks, as COLMAP's `database` has them: all of them on a first try."""
    with attached(partial, database) as connection:
        made = {name for (name,) in connection.execute("SELECT name FROM main.sqlite_master")}
        for table in set(RESULT_TABLES) - made:
            (definition,) = connection.execute(
                "SELECT sql FROM other.sqlite_master WHERE name = ?", (table,)
            ).fetchone()
            connection.execute(definition)


def _pairs_in(partial: Path) -> set[int]:
    """The ids of the pairs that are matched and verified."""
    with closing(sqlite3.connect(partial)) as connection:
        return {pair for (pair,) in connection.execute("SELECT pair_id FROM two_view_geometries")}


def _move_results(database: Path, partial: Path) -> None:
    """Append COLMAP's results to those of the piece, in one transaction, and empty COLMAP's tables."""
    with attached(partial, database) as connection:
        for table in RESULT_TABLES:
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in RESULT_TABLES:
            connection.execute(f"DELETE FROM {table}")
