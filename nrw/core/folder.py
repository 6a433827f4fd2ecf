"""One walk of a folder that a user named: the files below it, and a fingerprint that changes when they do."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from nrw.core.errors import UserError
from nrw.core.nearest import suggested_path

SOURCE = "nrw-source.json"  # marks a folder of results: with `photos=.` it may lie among the photos
LITTER = ("thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "__macosx")  # what Windows, NAS boxes and macOS leave


@dataclass(frozen=True)
class Listing:
    """What is below the folder `root`.

    files: relative paths, "/" between parts, sorted by their parts. unreadable: the folders that could not be listed,
    relative paths that end in "/", and why.
    """

    root: Path
    files: list[str]
    unreadable: dict[str, str]

    @property
    def entries(self) -> list[str]:
        """Files and unreadable folders, sorted by their parts."""
        return _sorted([*self.files, *self.unreadable])

    def fingerprint(self) -> str:
        """SHA-256 of names, sizes, times of modification, and of what can be read; not of the folder's own place."""
        digest = hashlib.sha256()
        for path in self.entries:
            digest.update(os.fsencode(f"{path}\0{self.unreadable.get(path) or _state(self.root / path)}\0"))
        return digest.hexdigest()


def check_folder(folder: Path | str) -> None:
    """Raise UserError where a folder of photos does not exist, is a file, or cannot be listed."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        found = {FileNotFoundError: "does not exist", NotADirectoryError: "is a file"}.get(type(error))
        advice = "Name the folder that holds the photos" if found else "Give yourself permission to read it"
        near = suggested_path(folder) if isinstance(error, FileNotFoundError) else ""
        raise UserError(
            f"the folder {str(folder)!r} {found or f'cannot be read ({error.strerror})'}.{near} {advice}."
        ) from error


def list_folder(folder: Path | str) -> Listing:
    """List the files of a folder and below.

    Hidden files and folders, what file managers leave (LITTER) and folders of results are skipped. Links to folders are
    followed, but no folder is listed twice, so that loops end. Raises UserError as `check_folder`.
    """
    check_folder(folder)
    root, files, visited = Path(folder), [], set()
    errors: list[OSError] = []
    for parent, folders, names in os.walk(root, followlinks=True, onerror=errors.append):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(
            name for name in folders if _is_the_users(name) and not os.path.isfile(os.path.join(parent, name, SOURCE))
        )
        relative = Path(parent).relative_to(root)
        files += [(relative / name).as_posix() for name in names if _is_the_users(name)]
    unreadable = {f"{Path(error.filename).relative_to(root).as_posix()}/": str(error.strerror) for error in errors}
    return Listing(root, _sorted(files), unreadable)


def _is_the_users(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in LITTER


def _sorted(paths: list[str]) -> list[str]:
    return sorted(paths, key=lambda path: path.split("/"))


def _state(path: Path) -> str:
    """Size, time of modification (ns) and readability of a file; the error where it has none, as a link to nothing."""
    try:
        status = path.stat()
    except OSError as error:
        return str(error.strerror)
    readable = os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids)
    return f"{status.st_size} {status.st_mtime_ns} {readable}"
