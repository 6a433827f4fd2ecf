"""COLMAP databases: read without a trace, written whole or not at all."""

import sqlite3

import pycolmap
import pytest
from corner_scene import content

from nrw.sfm.database import attached, copied, copy_photos, image_ids, image_name, opened, usable_photos


def test_usable_photos_have_an_image_each(scene):
    ids = image_ids(scene / "features.db")
    assert list(ids) == [image_name(photo_id) for photo_id in usable_photos(scene / "photos.csv")]
    assert len(set(ids.values())) == 14


def test_a_copy_may_be_changed(scene):
    before = (scene / "features.db").read_bytes()
    with copied(scene / "features.db") as copy, opened(copy) as database:
        database.clear_all_tables()
    assert (scene / "features.db").read_bytes() == before
    assert not copy.exists()


def test_all_photos_and_the_features_of_some_are_copied(scene, tmp_path):
    ids = image_ids(scene / "features.db")
    chosen = {ids["0003.jpg"], ids["0007.jpg"]}
    pycolmap.Database.open(tmp_path / "some.db").close()
    copy_photos(scene / "features.db", tmp_path / "some.db", chosen)
    whole, some = content(scene / "features.db"), content(tmp_path / "some.db")
    assert some["images"] == whole["images"] and some["cameras"] == whole["cameras"]
    assert some["descriptors"] == [row for row in whole["descriptors"] if row[0] in chosen]


def test_a_failed_transaction_changes_nothing(scene, tmp_path):
    target = tmp_path / "target.db"
    with sqlite3.connect(target) as connection:
        connection.execute("CREATE TABLE names (name TEXT)")
    with pytest.raises(KeyboardInterrupt), attached(target, scene / "features.db") as connection:
        connection.execute("INSERT INTO main.names SELECT name FROM other.images")
        raise KeyboardInterrupt
    assert content(target)["names"] == []
    with (
        pytest.raises(sqlite3.OperationalError, match="readonly"),
        attached(target, scene / "features.db") as connection,
    ):
        connection.execute("DELETE FROM other.images")
