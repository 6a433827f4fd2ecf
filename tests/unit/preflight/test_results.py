"""Results that cannot be written."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from small_disk import small_disk

from nrw.core.errors import UserError
from nrw.core.folder import SOURCE
from nrw.preflight.results import check_results, check_temporary_directory, check_working_directory


def test_results_that_take_files_pass_and_lose_what_is_half(tmp_path):
    check_results(tmp_path / "results" / "place" / SOURCE)
    assert list((tmp_path / "results" / "place").iterdir()) == []
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    sfm = tmp_path / "results" / "place" / "sfm"
    sfm.mkdir()
    for name in (f".database.{ended.pid}.part.db-wal", "database.db"):
        (sfm / name).touch()
    check_results(tmp_path / "results" / "place" / SOURCE)
    assert [path.name for path in sfm.iterdir()] == ["database.db"]


@pytest.mark.parametrize("locked", ["", "mvs", "mvs/stereo/depth_maps"])
def test_a_folder_without_the_right_to_write_is_named(tmp_path, no_root, locked):
    (tmp_path / "mvs" / "stereo" / "depth_maps").mkdir(parents=True)
    (tmp_path / locked).chmod(0o555)
    with no_root(), pytest.raises(UserError, match=r"cannot be written: [pP]ermission denied") as error:
        check_results(tmp_path / SOURCE)
    assert str(tmp_path / locked) in str(error.value)
    (tmp_path / locked).chmod(0o755)


def test_a_full_temporary_directory_is_named(tmp_path, monkeypatch):
    with small_disk(tmp_path / "scratch"):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
        with pytest.raises(UserError, match=r"No space left on device \(.*scratch\).*TMPDIR"):
            check_temporary_directory()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    check_temporary_directory()


def test_a_working_directory_that_snakemake_cannot_work_in_is_refused(tmp_path, no_root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_working_directory()
    (tmp_path / ".snakemake").chmod(0o555)
    with no_root(), pytest.raises(UserError, match=r"\.snakemake/nrw cannot be written: Permission denied"):
        check_working_directory()
    (tmp_path / ".snakemake").chmod(0o755)
    (tmp_path / "of {2019}").mkdir()
    monkeypatch.chdir(tmp_path / "of {2019}")
    with pytest.raises(UserError, match=r"of \{2019\}.*braces"):
        check_working_directory()
    latin = Path(os.fsdecode(os.fsencode(tmp_path / "plac") + b"\xe9"))
    latin.mkdir()
    monkeypatch.chdir(latin)
    with pytest.raises(UserError, match=r"plac.udce9.*not UTF-8"):
        check_working_directory()
