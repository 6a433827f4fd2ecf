"""Generated photo folders through the first stage: every file gets its right verdict, and the run its right end."""

import signal
from contextlib import contextmanager

import pytest
from force import folders

from nrw.core.errors import UserError
from nrw.core.folder import list_folder
from nrw.core.io import read_csv
from nrw.core.limits import MIN_PHOTOS
from nrw.photos.importing import import_photos
from nrw.photos.table import usable_ids

FULL, FEW = 200, 8
LONGEST = 60  # seconds


@contextmanager
def in_time():
    """Fail where the block hangs."""

    def too_late(*_):
        raise TimeoutError(f"not done after {LONGEST} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_every_file_gets_its_verdict_and_the_run_its_end(tmp_path, no_root, count, seed):
    folder = folders.make(seed, tmp_path / "photos", tmp_path / "elsewhere")
    table, images = tmp_path / "photos.csv", tmp_path / "images"
    with no_root(), in_time():
        assert list_folder(folder.root).fingerprint() == list_folder(folder.root).fingerprint()
        if not folder.expected:
            with pytest.raises(UserError, match="is empty"):
                import_photos(folder.root, table, images, threads=2, **folders.SETTINGS)
            return
        import_photos(folder.root, table, images, threads=2, **folders.SETTINGS)
    rows = {row["file"]: row for row in read_csv(table)}
    found = folders.faults(folder, rows, images)
    assert not found, "\n".join([f"{folder.kinds}", *found])
    usable = [row["id"] for row in rows.values() if row["id"]]
    assert sorted(path.stem for path in images.iterdir()) == sorted(usable)
    least, most = folder.usable()
    assert least <= len(usable) <= most
    if len(usable) >= MIN_PHOTOS:
        assert usable_ids(table, folder.root) == usable
    else:
        with pytest.raises(UserError, match=f"fewer than {MIN_PHOTOS} usable photos"):
            usable_ids(table, folder.root)
    end = "imported" if len(usable) >= MIN_PHOTOS else "too few photos"
    count("photo folders", folders=1, files=len(rows), usable=len(usable), **{end: 1})
