"""Reading and writing files that are either whole or absent: each is written under a temporary name and renamed."""

import csv
import errno
import glob
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nrw.core.errors import MAKE_ROOM, UserError

ROOM = 1 << 16  # bytes; a disk with less is full
_TEMPORARY = re.compile(r"\..*\.(\d+)\.part(\.|$)")  # its process


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix, that is renamed to `path` when the block ends.

    Works for files and for directories. On an error the temporary file or directory is removed and `path` is untouched.
    A process that is killed leaves its own (`remove_abandoned`). Raises OSError: ENOSPC for a disk that is
    then full, EACCES where the block fails and the folder takes no files.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with _writing_in(path.parent):
            yield temporary
        if temporary.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    except BaseException:
        for left in path.parent.glob(f"{glob.escape(temporary.name)}*"):  # SQLite's journal begins with its name
            _remove(left)
        raise


@contextmanager
def scratch_folder(path: Path | str) -> Iterator[Path]:
    """A new folder for the time of the block, in place of one that a killed process has left.

    Raises OSError (ENOSPC) where the disk is full by the end of the block.
    """
    path = Path(path)
    _remove(path)
    path.mkdir(parents=True)
    try:
        with _writing_in(path):
            yield path
    finally:
        _remove(path)


def require_room(folder: Path | str) -> None:
    """Raise OSError (ENOSPC) where the disk of a folder is full: streams of C++ lose the rest without an error."""
    if is_full(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


@contextmanager
def _writing_in(folder: Path) -> Iterator[None]:
    """Require room when the block ends. Where it fails because the folder takes no files, say so in place of its error.

    SQLite, COLMAP and open3d have words of their own for that.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        require_room(folder)
        if not is_writable(folder):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder)) from error
        raise
    require_room(folder)


def is_writable(folder: Path | str) -> bool:
    """Return whether this process has the right to make files in a folder."""
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def is_full(folder: Path | str) -> bool:
    """Return whether the disk of a folder has no room for a file of some size."""
    status = os.statvfs(folder)
    free = status.f_bavail if os.geteuid() else status.f_bfree
    return status.f_blocks > 0 and free * status.f_frsize < ROOM  # no blocks: the file system does not say


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")


def remove_abandoned(folder: Path | str) -> None:
    """Delete the temporary files in a folder, of `atomic_path`, whose process is gone."""
    for name in os.listdir(folder):
        found = _TEMPORARY.match(name)
        if found and not _is_running(int(found[1])):
            _remove(Path(folder, name))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def require_writable(path: Path | str, suffixes: Sequence[str] = ()) -> None:
    """Make the folder of an output file and see that the file can be written; to be called before it is computed.

    What a process that was killed has left there is deleted.
    suffixes: those that its name may have, in any case; any where there are none. Raises UserError where it cannot.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: a name that ends in {' or '.join(suffixes)} is expected")
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent)
        temporary = _temporary(path)
        temporary.touch()
        temporary.unlink()
        require_room(path.parent)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}: {error.filename}. {MAKE_ROOM}") from error


def write_json(path: Path | str, value: object) -> None:
    """Write a value as indented UTF-8 JSON."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """The value of a JSON file, with or without a byte order mark."""
    return json.loads(Path(path).read_text(encoding="utf-8-sig"))


def write_csv(path: Path | str, rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> None:
    """Write a header of `fields`, then a line per row; a field that a row lacks stays empty."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(fields))
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path | str) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, all values as text; with or without a byte order mark."""
    with open(path, newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def write_image(path: Path | str, pixels: np.ndarray, **options: Any) -> None:
    """Write (H, W), (H, W, 3) or (H, W, 4) uint8, or (H, W) uint16, in the format that the suffix names.

    options: Pillow's for that format.
    """
    with atomic_path(path) as temporary:
        save_image(temporary, Image.fromarray(np.ascontiguousarray(pixels)), **options)


def save_image(path: Path, image: Image.Image, **options: Any) -> None:
    """Save as `image.save` does, whole: Pillow itself does not notice when the end no longer fits on the disk."""
    encoded = io.BytesIO()
    image.save(encoded, Image.registered_extensions()[path.suffix.lower()], **options)
    path.write_bytes(encoded.getbuffer())


def read_image(path: Path | str) -> np.ndarray:
    """The pixels of an image file as stored: (H, W) or (H, W, C), uint8, or uint16 for 16-bit PNG."""
    with Image.open(path) as image:
        return np.array(image)
