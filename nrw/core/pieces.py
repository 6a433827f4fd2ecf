"""Which photos of a chunk are still to be done, when the chunk is run again."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nrw.core.io import read_json, write_json


def pending(
    ids: Sequence[str], key_file: Path | str, fingerprint: Mapping[str, object], paths_of: Callable[[str], list[Path]]
) -> list[str]:
    """The photos of `ids` that have to be computed, in order.

    fingerprint: everything that decides the results: parameters, and the input files as `Path` (alone or in lists; a
    directory stands for all its files), which count by name, size and modification time. `key_file` keeps its hash: one
    file for each chunk of each stage, not declared to Snakemake, which would delete it before a retry.
    paths_of: the files that one photo leaves, each written atomically.

    With the same fingerprint as last time, a photo whose files all exist is skipped. With another one the chunk's old
    files are deleted first, so that no result of the old parameters survives among the new.
    """
    key = hashlib.sha256(json.dumps(_stamped(fingerprint), sort_keys=True).encode()).hexdigest()
    key_file = Path(key_file)
    if not key_file.exists() or read_json(key_file) != key:
        for photo in ids:
            for path in paths_of(photo):
                path.unlink(missing_ok=True)
        write_json(key_file, key)
    return [photo for photo in ids if not all(path.exists() for path in paths_of(photo))]


def _stamped(value: object) -> object:
    """The value with every path replaced by name, size and modification time, in terms of JSON."""
    if isinstance(value, Path):
        files = sorted(path for path in value.rglob("*") if path.is_file()) if value.is_dir() else [value]
        return [[str(path), (stat := path.stat()).st_size, stat.st_mtime_ns] for path in files]
    if isinstance(value, Mapping):
        return {key: _stamped(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_stamped(item) for item in value]
    return value


def chunk(ids: list[str], item: str) -> list[str]:
    """The ids of one piece, named as Snakemake names it: `chunk(ids, "2-of-3")` is every third id from the second on.

    Interleaved, so that pieces cost alike.
    """
    number, _, count = item.partition("-of-")
    return ids[int(number) - 1 :: int(count)]
