"""The rows of photos.csv, and the check that there are enough photos."""

import re

import pytest

from nrw.config.resolve import complete_preset
from nrw.core.errors import UserError
from nrw.core.io import write_csv
from nrw.photos.table import FIELDS, Photo, counts_of, row_of, usable_ids


def test_a_row_has_all_fields_and_leaves_unknown_ones_empty():
    assert row_of(Photo("a.jpg", "truncated")) == dict.fromkeys(FIELDS, "") | {"file": "a.jpg", "verdict": "truncated"}
    row = row_of(Photo("b.jpg", "ok", "0003", 200, 150, 400, 300, 123.456))
    assert list(row) == list(FIELDS)
    assert list(row.values()) == ["0003", "b.jpg", "ok", 200, 150, 400, 300, "123.46", ""]


def test_verdicts_are_counted_without_their_details():
    verdicts = ["ok", "unreadable: a link to nothing", "unreadable: empty", "too small (40x30)", "duplicate of a.jpg"]
    assert counts_of([*verdicts, "ok", "ok"]) == "3 ok, 2 unreadable, 1 too small, 1 duplicate"


def test_too_few_photos_are_an_error_that_names_verdicts_table_and_keys_of_the_configuration(tmp_path):
    table = tmp_path / "photos.csv"
    photos = [Photo(f"tiny {number:02}.jpg", "too small (40x30)") for number in range(30)]
    photos += [Photo(f"z{number}.jpg", "ok", f"000{number}") for number in range(3)]
    write_csv(table, map(row_of, photos), FIELDS)
    assert usable_ids(table, "in") == ["0000", "0001", "0002"]
    write_csv(table, map(row_of, photos[:-1]), FIELDS)
    with pytest.raises(UserError) as error:
        usable_ids(table, "in")
    message = str(error.value)
    assert "'in' has fewer than 3 usable photos: 30 too small, 2 ok" in message
    assert "'tiny 00.jpg': too small (40x30)" in message and "and 12 more" in message and str(table) in message
    keys = re.findall(r"\bingest\.(\w+)", message)
    assert len(keys) == 3 and set(keys) <= set(complete_preset("draft")["ingest"])
