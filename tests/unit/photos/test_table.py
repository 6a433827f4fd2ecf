"""The rows of photos.csv, and the message for a folder with too few photos."""

import re
from pathlib import Path

from nrw.config.resolve import complete_preset
from nrw.photos.table import FIELDS, Photo, counts_of, row_of, too_few


def test_a_row_has_all_fields_and_leaves_unknown_ones_empty():
    assert row_of(Photo("a.jpg", "truncated")) == dict.fromkeys(FIELDS, "") | {"file": "a.jpg", "verdict": "truncated"}
    row = row_of(Photo("b.jpg", "ok", "0003", 200, 150, 400, 300, 123.456))
    assert list(row) == list(FIELDS)
    assert list(row.values()) == ["0003", "b.jpg", "ok", 200, 150, 400, 300, "123.46"]


def test_verdicts_are_counted_without_their_details():
    verdicts = ["ok", "unreadable: a link to nothing", "unreadable: empty", "too small (40x30)", "duplicate of a.jpg"]
    photos = [Photo(f"{number}.jpg", verdict) for number, verdict in enumerate([*verdicts, "ok", "ok"])]
    assert counts_of(photos) == "3 ok, 2 unreadable, 1 too small, 1 duplicate"


def test_the_message_for_too_few_photos_names_keys_of_the_configuration():
    message = too_few(Path("in"), [Photo("a.jpg", "truncated")])
    assert "fewer than 3 usable photos: 1 truncated" in message
    keys = re.findall(r"\bingest\.(\w+)", message)
    assert len(keys) == 3 and set(keys) <= set(complete_preset("draft")["ingest"])
