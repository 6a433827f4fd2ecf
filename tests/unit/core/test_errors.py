import errno

import pytest

from nrw.core.errors import UserError, exit_with_message, of_machine


def test_a_user_error_ends_the_process_with_its_message_alone():
    with pytest.raises(SystemExit) as ended, exit_with_message():
        raise UserError("no photos in /x")
    assert ended.value.code == "Error: no photos in /x"  # printed to stderr; the status is 1


def test_a_defect_passes():
    with pytest.raises(ZeroDivisionError), exit_with_message():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libopen3d.so: failed to map segment from shared object"),
    ],
)
def test_no_memory_is_told_from_a_defect(error):
    assert "Memory ran out: " in str(of_machine(error)) and "mvs.max_size" in str(of_machine(error))


def test_what_an_error_was_raised_from_tells_it_too():
    advice = RuntimeError("Cannot import the C++ backend pycolmap._core.")
    assert of_machine(advice) is None
    advice.__cause__ = ImportError("libgfortran.so.5: failed to map segment from shared object")
    assert "Memory ran out: libgfortran.so.5" in str(of_machine(advice))


def test_no_room_is_told_from_a_defect():
    full = OSError(errno.ENOSPC, "No space left on device", "/x/a.png")
    assert "No space left on device (/x/a.png)" in str(of_machine(full))
    assert "give the right to write" in str(of_machine(PermissionError(errno.EACCES, "Permission denied", "/x")))
    for said in (
        "Error while serializing: I/O error: No space left on device (os error 28)",  # safetensors
        "SQLite error: database or disk is full",
        "480000 requested and 65408 written",  # NumPy
    ):
        assert f"No space left on device: {said}" in str(of_machine(RuntimeError(said)))
    assert of_machine(PermissionError(errno.EACCES, "Permission denied")) is None  # of a connection
    assert of_machine(OSError(errno.ENOENT, "No such file or directory")) is None
    assert of_machine(ValueError("out of range")) is None
