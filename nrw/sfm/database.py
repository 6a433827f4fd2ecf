"""COLMAP databases and the table of photos, as the steps of structure from motion read and write them."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pycolmap

from nrw.core.io import read_csv

# COLMAP logs several lines per photo and pair, and a warning per solver step that it recovers from; the summary says
# what became of each photo
pycolmap.logging.minloglevel = pycolmap.logging.ERROR.value

PHOTO_TABLES = ("rigs", "rig_sensors", "cameras", "frames", "frame_data", "images")
FEATURE_TABLES = ("keypoints", "descriptors")


def usable_photos(photos_csv: Path | str) -> dict[str, dict[str, str]]:
    """The rows of photos.csv with the verdict `ok`, by photo id."""
    return {row["id"]: row for row in read_csv(photos_csv) if row["verdict"] == "ok"}


def image_name(photo_id: str) -> str:
    """The name of a photo in COLMAP's databases and models: its file in the folder of copies."""
    return f"{photo_id}.jpg"


def image_ids(path: Path | str) -> dict[str, int]:
    """COLMAP's image ids by image name."""
    with closing(sqlite3.connect(read_only(path), uri=True)) as connection:
        return dict(connection.execute("SELECT name, image_id FROM images"))


def copy_photos(source: Path | str, target: Path | str, ids: Iterable[int]) -> None:
    """Fill an empty database with all photos of another, and with the features of the images `ids`."""
    with attached(target, source) as connection:
        for table in PHOTO_TABLES:
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
        for table in FEATURE_TABLES:
            connection.executemany(
                f"INSERT INTO main.{table} SELECT * FROM other.{table} WHERE image_id = ?",
                [(image_id,) for image_id in sorted(ids)],
            )


def replace_matches(
    database: pycolmap.Database,
    pair: tuple[int, int],
    matches: np.ndarray,
    verification: pycolmap.TwoViewGeometryOptions,
) -> None:
    """Write matches (M, 2) in place of a pair's, and the geometry that they agree on."""
    points = [database.read_keypoints(image)[:, :2].astype(np.float64) for image in pair]
    geometry = estimated_geometry(database, pair, points, matches, verification)
    database.delete_matches(*pair)
    database.delete_two_view_geometry(*pair)
    database.write_matches(*pair, matches)
    database.write_two_view_geometry(*pair, geometry)


def estimated_geometry(
    database: pycolmap.Database,
    pair: tuple[int, int],
    points: Sequence[np.ndarray],
    matches: np.ndarray,
    verification: pycolmap.TwoViewGeometryOptions,
) -> pycolmap.TwoViewGeometry:
    """The geometry of two photos that most of their matches (M, 2) agree on. points: of each (N, 2) float64, pixels."""
    a, b = (database.read_camera(database.read_image(image).camera_id) for image in pair)
    return pycolmap.estimate_two_view_geometry(a, points[0], b, points[1], matches, verification)


@contextmanager
def opened(path: Path | str) -> Iterator[pycolmap.Database]:
    """The database through COLMAP, which creates it where it does not exist; closed when the block ends."""
    database = pycolmap.Database.open(path)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def copied(path: Path | str) -> Iterator[Path]:
    """A temporary copy of the database: COLMAP marks every database that it opens as changed."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copyfile(path, Path(folder) / "copy.db"))


@contextmanager
def attached(path: Path | str, other: Path | str) -> Iterator[sqlite3.Connection]:
    """A connection for one transaction on `path` (schema `main`), with `other` (schema `other`) attached read-only."""
    with closing(sqlite3.connect(path, uri=True)) as connection:
        connection.execute("ATTACH ? AS other", (read_only(other),))
        with connection:
            yield connection


def read_only(path: Path | str) -> str:
    """The URI of a database that nobody writes to, to be read without locks, which network file systems may lack."""
    return f"{Path(path).resolve().as_uri()}?immutable=1"
