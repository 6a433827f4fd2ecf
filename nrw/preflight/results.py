"""Where a run writes: the working and the temporary directory, and the folder of a scene's results, for hours."""

import os
import tempfile
from pathlib import Path

from nrw.core.errors import MAKE_ROOM, UserError
from nrw.core.io import is_full, is_writable, remove_abandoned, require_writable


def check_working_directory() -> None:
    """Check that Snakemake can work here; its own errors are tracebacks.

    Raises UserError where the path has braces, which Snakemake takes for wildcards, where it is not UTF-8, as which
    Snakemake writes it, and where its own folder, .snakemake, takes no new files.
    """
    here = Path.cwd()
    try:
        str(here).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"Snakemake cannot work in {str(here)!r}, which is not UTF-8. Rename it, or work elsewhere."
        ) from error
    if set(str(here)) & set("{}"):
        raise UserError(
            f"Snakemake cannot work in {str(here)!r}, whose braces are its wildcards. Rename it, or work elsewhere."
        )
    require_writable(Path(".snakemake", "nrw"))


def check_temporary_directory() -> None:
    """Raise UserError where the temporary directory is full: Snakemake's own error is a traceback."""
    folder = tempfile.gettempdir()
    if is_full(folder):
        raise UserError(
            f"No space left on device ({folder}), the temporary directory. Make room, or name another in TMPDIR."
        )


def check_results(source: Path) -> None:
    """Make the folder of a scene's results, and delete what runs that were killed have left half in it.

    source: SceneFiles.source, the first file in it. Raises UserError where the disk is full, or where the folder or one
    below takes no new files.
    """
    for folder, _, _ in os.walk(source.parent):
        if not is_writable(folder):
            raise UserError(f"{folder} cannot be written: permission denied. {MAKE_ROOM}")
        remove_abandoned(folder)
    require_writable(source)
