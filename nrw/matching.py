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
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pycolmap

from nrw.errors import UserError
from nrw.io import atomic_path
from nrw.log import duration, progress
from nrw.resume import pending

logger = logging.getLogger(__name__)

MATCHERS = ("auto", "exhaustive", "retrieval")
MIN_INLIERS = 15  # consistent matches that make a pair verified (COLMAP's default)
WORD_SAMPLES = 40  # descriptors per visual word when the vocabulary is learnt (k-means wants 39)
MAX_WORDS = 8192
BATCH = 200  # pairs between two entries in a piece's result
PHOTO_TABLES = ("rigs", "rig_sensors", "cameras", "frames", "frame_data", "images")
FEATURE_TABLES = ("keypoints", "descriptors")
RESULT_TABLES = ("matches", "two_view_geometries")


def choose_pairs(
    features_db: Path | str,
    pairs_txt: Path | str,
    *,
    matcher: str,
    retrieval_above: int,
    retrieval_neighbours: int,
    threads: int,
    reproducible: bool,
    seed: int,
) -> None:
    """Write the pairs of photos to compare, a line `NAME NAME` each.

    matcher: `exhaustive` takes all pairs; `retrieval` takes for each photo the `retrieval_neighbours` most similar ones
    by a vocabulary tree learnt from the set's own features; `auto` is retrieval above `retrieval_above` photos.
    Two runs agree, except that `retrieval` needs `reproducible` for it (indexing then uses one thread).
    """
    if matcher not in MATCHERS:
        raise UserError(f"sfm: matcher is {matcher!r}; choose one of {', '.join(MATCHERS)}")
    # a copy, because COLMAP marks every database that it opens as changed
    with _copy(features_db) as copy, _opened(copy) as database:
        names = {image.image_id: image.name for image in database.read_all_images()}
        if matcher == "retrieval" or (matcher == "auto" and len(names) > retrieval_above):
            pairs = retrieval_pairs(database, retrieval_neighbours, 1 if reproducible else threads, seed)
        else:
            blocks = pycolmap.ExhaustivePairingOptions(block_size=20)
            pairs = pycolmap.ExhaustivePairGenerator(blocks, database).all_pairs()
            pairs = [(min(pair), max(pair)) for pair in pairs]  # the other way round the result differs a little
    with atomic_path(pairs_txt) as path:
        path.write_text("".join(f"{names[a]} {names[b]}\n" for a, b in pairs), encoding="utf-8")
    logger.info("matching: %d photos, %d of %d pairs", len(names), len(pairs), len(names) * (len(names) - 1) // 2)


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
            with _attached(path, result_db) as connection:
                for table in RESULT_TABLES:
                    connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
        with _opened(path) as database:
            _, inliers = database.read_two_view_geometry_num_inliers()
            compared = database.num_matched_image_pairs()
    logger.info("matching: %d pairs match, %d verified", compared, sum(count >= MIN_INLIERS for count in inliers))


def retrieval_pairs(database: pycolmap.Database, neighbours: int, threads: int, seed: int) -> list[tuple[int, int]]:
    """Pairs of image ids, smaller id first, each once: every photo with its `neighbours` most similar others.

    Similarity is COLMAP's vote-and-verify image retrieval, with a vocabulary learnt by k-means from a sample of the
    database's own descriptors, so that nothing is downloaded. `threads=1` makes it reproducible.
    """
    pycolmap.set_random_seed(seed)
    images = database.read_all_images()
    described = [image.image_id for image in images if database.num_descriptors_for_image(image.image_id)]
    if len(described) < 2:
        return []
    words = int(np.clip(database.num_descriptors() // WORD_SAMPLES, 64, MAX_WORDS))
    share = words * WORD_SAMPLES // len(described) + 1
    rng = np.random.default_rng(seed)
    sample = []
    for image_id in described:
        descriptors = database.read_descriptors(image_id)
        rows = rng.permutation(len(descriptors.data))[:share]
        sample.append(pycolmap.FeatureDescriptors(descriptors.type, descriptors.data[rows]).to_float().data)
    sample = np.concatenate(sample)  # (n, 128) float32
    words = min(words, len(sample))

    start = time.monotonic()
    index = pycolmap.VisualIndex.create(sample.shape[1], 64)
    index.build(
        pycolmap.VisualIndex.BuildOptions(
            num_visual_words=words, num_iterations=10, num_rounds=1, num_checks=8, num_threads=threads
        ),
        pycolmap.FeatureDescriptorsFloat(descriptors.type, sample),
    )
    with tempfile.TemporaryDirectory() as folder:
        index.write(Path(folder) / "tree.bin")
        options = pycolmap.VocabTreePairingOptions(
            vocab_tree_path=Path(folder) / "tree.bin",
            num_images=neighbours + 1,  # a photo finds itself first
            num_threads=threads,
        )
        found = pycolmap.VocabTreePairGenerator(options, database).all_pairs()
    pairs = sorted({(min(pair), max(pair)) for pair in found if pair[0] != pair[1]})
    logger.info("retrieval: %d visual words, %s", words, duration(time.monotonic() - start))
    return pairs


def _slice(lines: list[str], item: str) -> list[str]:
    """A piece of the list: neighbours in it share photos, so that a piece needs the features of few."""
    number, _, count = item.partition("-of-")
    bounds = [len(lines) * part // int(count) for part in (int(number) - 1, int(number))]
    return lines[slice(*bounds)]


def _pair_id(line: str, ids: dict[str, int]) -> int:
    return pycolmap.image_pair_to_pair_id(*(ids[name] for name in line.split()))


def _image_ids(features_db: Path | str) -> dict[str, int]:
    with closing(sqlite3.connect(_read_only(features_db), uri=True)) as connection:
        return dict(connection.execute("SELECT name, image_id FROM images"))


def _copy_photos(features_db: Path | str, database: Path, image_ids: set[int]) -> None:
    """Fill an empty database with the scene's photos, and the features of some of them."""
    with _attached(database, features_db) as connection:
        for table in PHOTO_TABLES:
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
        for table in FEATURE_TABLES:
            connection.executemany(
                f"INSERT INTO main.{table} SELECT * FROM other.{table} WHERE image_id = ?",
                [(image_id,) for image_id in sorted(image_ids)],
            )


def _create_tables(partial: Path, database: Path) -> None:
    """The tables for results, as COLMAP's own database has them; nothing where they are there from an earlier try."""
    with _attached(partial, database) as connection:
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
    with _attached(partial, database) as connection:
        for table in RESULT_TABLES:
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in RESULT_TABLES:
            connection.execute(f"DELETE FROM {table}")


@contextmanager
def _attached(path: Path | str, other: Path | str) -> Iterator[sqlite3.Connection]:
    """A connection to write to `path` in one transaction, with the tables of `other` to read."""
    with closing(sqlite3.connect(path, uri=True)) as connection:
        connection.execute("ATTACH ? AS other", (_read_only(other),))
        with connection:
            yield connection


def _read_only(path: Path | str) -> str:
    """The address of a database that nobody writes to: read without locks, which network file systems lack."""
    return f"{Path(path).resolve().as_uri()}?immutable=1"


@contextmanager
def _copy(path: Path | str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copyfile(path, Path(folder) / "copy.db"))


@contextmanager
def _opened(path: Path | str) -> Iterator[pycolmap.Database]:
    database = pycolmap.Database.open(path)
    try:
        yield database
    finally:
        database.close()
