"""How a failed stage ended; test_messages.py has what the user reads of it."""

import pytest
from small_disk import small_disk

from nrw.jobs import endings
from nrw.jobs.endings import ending, explain, kernel_kills

COMMAND = "Command 'set -euo pipefail;  /x/python /x/tmp1.fuse_depths.py' {}.\n"


@pytest.mark.parametrize(
    ("words", "ended"),
    [
        ("died with <Signals.SIGKILL: 9>", "SIGKILL"),
        ("returned non-zero exit status 137", "SIGKILL"),
        ("returned non-zero exit status 130", "SIGINT"),
        ("died with <Signals.SIGTERM: 15>", "SIGTERM"),
        ("returned non-zero exit status 127", 127),
        ("returned non-zero exit status 1", 1),
    ],
)
def test_the_ending_is_read_from_snakemakes_log(words, ended):
    assert ending("noise\n" + COMMAND.format("returned non-zero exit status 3") + COMMAND.format(words)) == ended


def test_without_a_command_there_is_no_ending():
    assert ending("noise\n") is None


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Let the kernel say how many processes it has killed."""

    def say(count):
        (tmp_path / "vmstat").write_text(f"pgfault 12\noom_kill {count}\n")

    monkeypatch.setattr(endings, "_VMSTAT", tmp_path / "vmstat")
    say(4)
    return say


def test_memory_is_said_where_the_kernel_says_so(kernel, tmp_path):
    before = kernel_kills()
    assert before == 4
    log = tmp_path / "empty.log"
    assert "killed nothing for lack of memory" in explain("SIGKILL", "", log, before)
    kernel(5)
    assert "Memory ran out: the kernel killed the process" in explain("SIGKILL", "", log, before)
    assert "as it does when memory runs out" in explain("SIGKILL", "", log, None)


def test_a_kernel_that_does_not_say(tmp_path, monkeypatch):
    monkeypatch.setattr(endings, "_VMSTAT", tmp_path / "none")
    assert kernel_kills() is None
    assert "as it does when memory runs out" in explain("SIGKILL", "", tmp_path / "empty.log", None)


@pytest.mark.parametrize(
    ("ended", "words"),
    [(127, "exit status 127"), (None, "no error message"), ("SIGINT", "Ctrl-C"), ("SIGTERM", "told to end"),
     ("SIGSEGV", "crashed (SIGSEGV)")],
)  # fmt: skip
def test_an_empty_log_is_no_proof_of_lack_of_memory(tmp_path, ended, words):
    text = explain(ended, "", tmp_path / "none.log", 0)
    assert words in text and "log is empty" in text and "emory" not in text


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("terminate called after throwing 'std::bad_alloc'\n  what():  std::bad_alloc", "Memory ran out, and"),
        ("std::system_error'\n  what():  Resource temporarily unavailable", "Memory ran out, or the processes"),
        ("free(): invalid pointer", "The process crashed (SIGABRT)."),
    ],
)
def test_a_crash_for_lack_of_memory_is_told_by_what_cpp_says_last(tmp_path, last, words):
    (tmp_path / "a.log").write_text(f"21:00 features: 3 of 9\n{last}\n")
    assert explain("SIGABRT", "", tmp_path / "a.log", 0).startswith(words)
    assert "emory" not in explain("SIGSEGV", "", tmp_path / "a.log", 0).partition("\n")[0]


def test_a_library_that_gives_up_for_lack_of_memory_is_told_too(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("OpenBLAS error: Memory allocation still failed after 10 retries, giving up.\n")
    assert explain(1, "", log, 0).startswith("Memory ran out, and the process ended with exit status 1.")
    log.write_text("BlockingIOError: Resource temporarily unavailable\n")
    assert "emory" not in explain(1, "", log, 0)
    log.write_text("21:00 features: 3 of 9\n")
    assert explain(1, "", log, 0).startswith("The process ended with exit status 1 and no error message.\n")


def test_the_end_of_the_log_is_shown(tmp_path):
    (tmp_path / "a.log").write_text("".join(f"line {number}\n" for number in range(9)))
    text = explain("SIGABRT", "", tmp_path / "a.log", 0)
    assert text.splitlines()[1:] == ["The end of its log:", *(f"  line {number}" for number in range(4, 9))]


def test_the_addresses_that_colmap_prints_on_a_signal_are_left_out(tmp_path):
    stack = "PC: @ 0x7f4b (libz.so)\n*** SIGTERM received by PID 9; stack trace: ***\n    @     0x7fc9 main\n"
    (tmp_path / "a.log").write_text("21:00 features: 3 of 9\n" + stack)
    text = explain("SIGTERM", "", tmp_path / "a.log", 0)
    assert text.endswith("The end of its log:\n  21:00 features: 3 of 9")
    (tmp_path / "a.log").write_text(stack)
    assert "Its log is empty" in explain("SIGTERM", "", tmp_path / "a.log", 0)


def test_a_full_disk_is_said_where_a_process_crashed(tmp_path):
    with small_disk(tmp_path / "logs"):
        assert f"No space left on device ({tmp_path / 'logs'})" in explain(
            "SIGABRT", "", tmp_path / "logs" / "a.log", 0
        )
    assert "crashed (SIGABRT)" in explain("SIGABRT", "", tmp_path / "a.log", 0)
