"""The nearest right name to a wrong one, for messages."""

import difflib
from collections.abc import Iterable
from pathlib import Path


def suggestion(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return " Did you mean 'known'?" for the known name most like `name`, or "" where none is like it.

    cutoff: the least likeness, from 0 (the nearest, however far) to 1.
    """
    near = difflib.get_close_matches(name, list(known), 1, cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""


def suggested_path(path: Path | str, others: Iterable[str] = ()) -> str:
    """Suggest a name for a path that does not exist: what is beside it, by its last part, or one of the `others`."""
    path = Path(path)
    folder = path.expanduser().parent
    beside = [found.name for found in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, 1)
    return f" Did you mean {str(path.with_name(near[0]))!r}?" if near else suggestion(str(path), others)
