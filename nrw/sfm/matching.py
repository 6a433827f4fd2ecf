"""Which photos are compared, and what they share: pairs, feature matches and verified geometries, in pieces.

COLMAP's matcher reads and writes one database, and SQLite allows one writer. So a piece of the pairs is matched in a
database of its own, on the machine's own disk, that holds only the photos of these pairs; it leaves a small file with
the rows it found; and one job puts the rows of all pieces into the scene's database. A pair's result depends on the
pair and the seed alone, so that the number of pieces changes nothing. For that a piece is matched by one thread, and
several pieces keep several cores busy: where two threads of COLMAP 4.2 search descriptors at the same time, now and
then a pair loses a third of its matches (benchmarks/RESULTS.md).
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
from nrw.sfm.database import attached, opened, read_only

logger = logging.getLogger(__name__)
MIN_INLIERS = 15  # consistent matches that make a pair verified (COLMAP's default)
BATCH = 200  # pairs between two entries in a piece's result
PHOTO_TABLES = ("rigs", "rig_sensors", "cameras", "frames", "frame_data", "images")
FEATURE_TABLES = ("keypoints", "descriptors")
RESULT_TABLES = ("matches", "two_view_geometries")


def match_pairs(
    features_db: Path | str,
    pairs_txt: Path | str,
    item: str,
    result_db: Path | str,
    *,
    seed: int,
) -> None:
    """Match one piece of the pairs and verify each pair's geometry; result_db gets COLMAP's tables of both.

    item: `2-of-3` is the second third of the list. The features are only read, by any number of pieces at a time. A
    piece that was interrupted goes on after the last batch of pairs that it had finished, which a file beside
    result_db keeps.
    """
    result_db = Path(result_db)
    partial = result_db.with_name(f"{item}.partial.sqlite")
    fingerprint = {"features": Path(features_db), "pairs": Path(pairs_txt), "seed": seed}
    pending([item], result_db.with_suffix(".key"), fingerprint, lambda _: [partial])
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "piece.db"
        pycolmap.Database.open(database).close()
        _create_tables(partial, database)
        names = _slice(Path(pairs_txt).read_text(encoding="utf-8").splitlines(), item)
        ids = _image_ids(features_db)
        done = _pairs_in(partial)
        todo = [line for line in names if _pair_id(line, ids) not in done]
        logger.info("matching: %d pairs, %d of them done before", len(names), len(names) - len(todo))
        _copy_photos(features_db, database, {ids[name] for line in todo for name in line.split()})

        matching = pycolmap.FeatureMatchingOptions(use_gpu=False, num_threads=1)
        verification = pycolmap.TwoViewGeometryOptions(min_num_inliers=MIN_INLIERS)
        verification.ransac.random_seed = seed
        listing = Path(folder) / "pairs.txt"
        batches = [todo[start : start + BATCH] for start in range(0, len(todo), BATCH)]
        for batch in progress(batches, len(batches), f"matching, batches of {BATCH} pairs"):
            listing.write_text("".join(f"{line}\n" for line in batch), encoding="utf-8")
            pycolmap.match_image_pairs(
                database, matching, pycolmap.ImportedPairingOptions(match_list_path=listing), verification
            )
            _move_results(database, partial)
    os.replace(partial, result_db)


def merge_matches(features_db: Path | str, result_dbs: Iterable[Path | str], database_out: Path | str) -> None:
    """The scene's database: its features, and the matches and geometries of all pieces."""
    with atomic_path(database_out) as path:
        shutil.copyfile(features_db, path)
        for result_db in result_dbs:
            with attached(path, result_db) as connection:
                for table in RESULT_TABLES:
                    connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
        with opened(path) as database:
            _, inliers = database.read_two_view_geometry_num_inliers()
            compared = database.num_matched_image_pairs()
    logger.info("matching: %d pairs match, %d verified", compared, sum(count >= MIN_INLIERS for count in inliers))


def _slice(lines: list[str], item: str) -> list[str]:
    """A piece of the list: neighbours in it share photos, so that a piece needs the features of few."""
    number, _, count = item.partition("-of-")
    bounds = [len(lines) * part // int(count) for part in (int(number) - 1, int(number))]
    return lines[slice(*bounds)]


def _pair_id(line: str, ids: dict[str, int]) -> int:
    return pycolmap.image_pair_to_pair_id(*(ids[name] for name in line.split()))


def _image_ids(features_db: Path | str) -> dict[str, int]:
    with closing(sqlite3.connect(read_only(features_db), uri=True)) as connection:
        return dict(connection.execute("SELECT name, image_id FROM images"))


def _copy_photos(features_db: Path | str, database: Path, image_ids: set[int]) -> None:
    """Fill an empty database with the scene's photos, and the features of some of them."""
    with attached(database, features_db) as connection:
        for table in PHOTO_TABLES:
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
        for table in FEATURE_TABLES:
            connection.executemany(
                f"INSERT INTO main.{table} SELECT * FROM other.{table} WHERE image_id = ?",
                [(image_id,) for image_id in sorted(image_ids)],
            )


def _create_tables(partial: Path, database: Path) -> None:
    """The tables for results, as COLMAP's own database has them; nothing where they are there from an earlier try."""
    with attached(partial, database) as connection:
        made = {name for (name,) in connection.execute("SELECT name FROM main.sqlite_master")}
        for table in set(RESULT_TABLES) - made:
            (definition,) = connection.execute(
                "SELECT sql FROM other.sqlite_master WHERE name = ?", (table,)
            ).fetchone()
            connection.execute(definition)


def _pairs_in(partial: Path) -> set[int]:
    with closing(sqlite3.connect(partial)) as connection:
        return {pair for (pair,) in connection.execute("SELECT pair_id FROM two_view_geometries")}


def _move_results(database: Path, partial: Path) -> None:
    """Put what COLMAP has written into the piece's result, in one transaction, and empty its tables."""
    with attached(partial, database) as connection:
        for table in RESULT_TABLES:
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in RESULT_TABLES:
            connection.execute(f"DELETE FROM {table}")
