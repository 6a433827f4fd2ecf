"""The walk of a user's folder, and the fingerprint of what is in it."""

import os

import pytest

from nrw.core.errors import UserError
from nrw.core.folder import list_folder


@pytest.fixture
def folder(tmp_path):
    """A folder with a file, a folder, and a link to another folder."""
    for path in ("in/a.jpg", "in/sub/b.jpg", "elsewhere/c.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    return tmp_path / "in"


def test_links_to_folders_are_followed_once(folder):
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "nowhere").symlink_to(folder / "gone")
    listing = list_folder(folder)
    assert listing.files == ["a.jpg", "linked/c.jpg", "nowhere", "sub/b.jpg"]
    assert listing.entries == listing.files and not listing.unreadable


def test_what_systems_leave_does_not_count(folder):
    before = list_folder(folder)
    for name in (".DS_Store", "sub/Thumbs.db", "desktop.ini", ".git/e.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("litter")
    after = list_folder(folder)
    assert after == before and after.fingerprint() == before.fingerprint()


def test_the_fingerprint_is_the_same_however_the_folder_is_spelt(folder, monkeypatch):
    expected = list_folder(folder).fingerprint()
    assert list_folder(f"{folder}/").fingerprint() == expected
    monkeypatch.chdir(folder.parent)
    assert list_folder("in").fingerprint() == list_folder("./in/").fingerprint() == expected
    (folder.parent / "link").symlink_to(folder)
    assert list_folder("link").fingerprint() == expected


@pytest.mark.parametrize("file", ["a.jpg", "sub/b.jpg", "linked/c.jpg"])
def test_any_change_is_seen(folder, file):
    before = list_folder(folder).fingerprint()
    path, status = folder / file, (folder / file).stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    touched = list_folder(folder).fingerprint()
    path.write_text("of another size, the longest of all")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    resized = list_folder(folder).fingerprint()
    path.rename(path.with_name("other.jpg"))
    renamed = list_folder(folder).fingerprint()
    path.with_name("other.jpg").unlink()
    assert len({before, touched, resized, renamed, list_folder(folder).fingerprint()}) == 5


def test_folders_that_cannot_be_read_are_named_and_their_permission_is_noticed(folder, no_root):
    (folder / "sub").chmod(0)
    (folder / "a.jpg").chmod(0)
    with no_root():
        closed = list_folder(folder)
        fingerprints = [closed.fingerprint()]
        (folder / "a.jpg").chmod(0o600)
        fingerprints.append(list_folder(folder).fingerprint())
        (folder / "sub").chmod(0o700)
        fingerprints.append(list_folder(folder).fingerprint())
    assert closed.unreadable == {"sub/": "Permission denied"}
    assert closed.entries == ["a.jpg", "linked/c.jpg", "sub/"]
    assert len(set(fingerprints)) == 3


def test_a_folder_that_cannot_be_listed_is_an_error(folder, no_root):
    for path, message in ((folder / "gone", "does not exist"), (folder / "a.jpg", "is a file")):
        with pytest.raises(UserError, match=f"{path.name}' {message}. Name the folder"):
            list_folder(path)
    folder.chmod(0)
    with no_root(), pytest.raises(UserError, match=r"in' cannot be read \(Permission denied\)"):
        list_folder(folder)
