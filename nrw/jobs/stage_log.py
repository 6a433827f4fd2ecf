"""The log of a stage: what a script of the workflow prints, and why it failed."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nrw.core.errors import UserError, of_machine

ERROR, DEFECT, END_OF_ERROR = "Error: ", "Failed: ", "Log: "
logger = logging.getLogger(__name__)


@contextmanager
def stage_log(path: Path | str) -> Iterator[None]:
    """Send all that a stage prints, from C++ too, to the file `path`, and our own messages to the terminal as well.

    A UserError, or the end of memory or disk, ends the process with status 1 and its message; any other error keeps its
    traceback.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    terminal = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1)
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    formatter = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
    root = logging.getLogger()
    for stream in (sys.stderr, terminal):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("nrw").setLevel(logging.INFO)
    logging.captureWarnings(True)
    warnings.simplefilter("once")
    try:
        yield
    except Exception as error:
        shown = error if isinstance(error, UserError) else of_machine(error)
        if shown is not None:
            logger.error("%s", f"\n{ERROR}{shown}\n{END_OF_ERROR}{path}\n")
        else:
            logger.exception("%s", f"\n{DEFECT}{error!r}\n{END_OF_ERROR}{path}\n")
        sys.exit(1)


def cause(log: Path | str) -> tuple[bool, str] | None:
    """Read from the log of a failed stage whether its error was a UserError, and the error's message; None without."""
    log = Path(log)
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    for opening in (ERROR, DEFECT):
        _, found, rest = text.rpartition(f"\n{opening}")
        if found:
            return opening == ERROR, rest.partition(f"\n{END_OF_ERROR}")[0]
    return None
