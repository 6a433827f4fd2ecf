"""The exception for errors that a user can cause and fix."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SAVE_MEMORY = "lower mvs.max_size to 480, set chunks to 1 or training.accumulate to 2."
MAKE_ROOM = "Make room, give the right to write there, or choose another folder."
NO_MEMORY = (  # in the words of CUDA, torch, C++, the loader of libraries and OpenBLAS
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "bad_alloc",
    "failed to map segment",
    "memory allocation still failed",
)
NO_THREAD = "resource temporarily unavailable"  # in the words of C++
NO_ROOM = ("no space left", "disk is full", "quota exceeded", " requested and ")  # of Rust, SQLite, NumPy
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EROFS, errno.EACCES)


class UserError(Exception):
    """An error whose message says what was found, where, and what to do; shown to the user without a traceback."""


def of_machine(error: BaseException) -> UserError | None:
    """The error to show where the machine has no memory or no room left, or refuses a file; None for any other.

    What an error was raised from counts too: pycolmap and transformers put advice of their own in its place.
    """
    if error.__cause__ is not None and (cause := of_machine(error.__cause__)):
        return cause
    said = str(error).strip() or type(error).__name__
    if isinstance(error, MemoryError) or any(words in said.lower() for words in NO_MEMORY):
        return UserError(f"Memory ran out: {said.splitlines()[0]}\nTo need less: {SAVE_MEMORY}")
    # a refusal without a name is of the network
    if isinstance(error, OSError) and (error.errno in FULL or (error.errno in REFUSED and error.filename)):
        where = f" ({error.filename})" if error.filename else ""
        return UserError(f"{error.strerror}{where}. {MAKE_ROOM}")
    if any(words in said.lower() for words in NO_ROOM):
        return UserError(f"No space left on device: {said.splitlines()[0]}. {MAKE_ROOM}")
    return None


@contextmanager
def exit_with_message() -> Iterator[None]:
    """End the process with status 1 and nothing but the message, where the block raises a UserError."""
    try:
        yield
    except UserError as error:
        sys.exit(f"Error: {error}")
