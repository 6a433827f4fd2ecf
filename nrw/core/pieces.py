"""Pieces of work: the photos that one job takes, and those that are left when the job runs again.

Snakemake scatters the stages that work photo by photo over jobs. `chunk` gives a job its photos; `pending` drops those
that an earlier, interrupted run of the same job has finished. When all jobs are done, the rule that writes the index of
their folder calls `remove_others`, so that the folder holds what the index names.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from nrw.core.io import read_json, write_json


def chunk(ids: list[str], item: str) -> list[str]:
    """The ids of one piece, named as Snakemake names it: `chunk(ids, "2-of-3")` is every third id from the second on.

    The pieces are interleaved, so that their costs are alike.
    """
    number, _, count = item.partition("-of-")
    return ids[int(number) - 1 :: int(count)]


def pending(
    ids: Sequence[str], key_file: Path | str, fingerprint: Mapping[str, object], paths_of: Callable[[str], list[Path]]
) -> list[str]:
    """The photos of `ids` that are still to be computed, in order.

    fingerprint: everything that the results depend on: parameters, and the input files as `Path` (alone or in lists; a
    directory stands for all its files), which count by name, size and modification time.
    key_file: keeps the fingerprint's hash; one file per chunk and stage, not declared to Snakemake, which would delete
    it before a retry.
    paths_of: the files that one photo leaves, each written atomically.

    Where the fingerprint is that of the last run, photos whose files all exist are skipped. Otherwise the chunk's old
    files are deleted first, so that no results of old parameters mix with the new. Raises FileNotFoundError for a
    missing input file.
    """
    key = hashlib.sha256(json.dumps(_stamped(fingerprint), sort_keys=True).encode()).hexdigest()
    key_file = Path(key_file)
    if not key_file.exists() or read_json(key_file) != key:
        for photo_id in ids:
            for path in paths_of(photo_id):
                path.unlink(missing_ok=True)
        write_json(key_file, key)
    return [photo_id for photo_id in ids if not all(path.exists() for path in paths_of(photo_id))]


def remove_others(ids: Iterable[str], paths_of: Callable[[str], list[Path]]) -> None:
    """Delete the files of photos that are gone: those that `paths_of` names for any other id.

    Only for a rule that runs after all pieces, whose files would look like those of photos that are gone.
    """
    kept = {path for photo_id in ids for path in paths_of(photo_id)}
    for pattern in paths_of("*"):
        before, _, after = pattern.name.partition("*")
        for path in pattern.parent.glob(pattern.name):
            if path not in kept and path.name.removeprefix(before).removesuffix(after).isdecimal():
                path.unlink()


def _stamped(value: object) -> object:
    """The value as JSON can hold it, with every path replaced by name, size and modification time (ns)."""
    if isinstance(value, Path):
        files = sorted(path for path in value.rglob("*") if path.is_file()) if value.is_dir() else [value]
        return [[str(path), (stat := path.stat()).st_size, stat.st_mtime_ns] for path in files]
    if isinstance(value, Mapping):
        return {key: _stamped(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_stamped(item) for item in value]
    return value
