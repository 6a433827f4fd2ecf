"""COLMAP's database and the table of photos, as the steps of structure from motion read and write them."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pycolmap

from nrw.core.io import read_csv


def usable_photos(photos_csv: Path | str) -> dict[str, dict[str, str]]:
    """The rows of the usable photos by id."""
    return {row["id"]: row for row in read_csv(photos_csv) if row["verdict"] == "ok"}


def image_name(id: str) -> str:
    return f"{id}.jpg"


@contextmanager
def attached(path: Path | str, other: Path | str) -> Iterator[sqlite3.Connection]:
    """A connection to write to `path` in one transaction, with the tables of `other` to read."""
    with closing(sqlite3.connect(path, uri=True)) as connection:
        connection.execute("ATTACH ? AS other", (read_only(other),))
        with connection:
            yield connection


def read_only(path: Path | str) -> str:
    """The address of a database that nobody writes to: read without locks, which network file systems lack."""
    return f"{Path(path).resolve().as_uri()}?immutable=1"


@contextmanager
def copied(path: Path | str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copyfile(path, Path(folder) / "copy.db"))


@contextmanager
def opened(path: Path | str) -> Iterator[pycolmap.Database]:
    database = pycolmap.Database.open(path)
    try:
        yield database
    finally:
        database.close()
