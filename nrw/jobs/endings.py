"""How the process of a failed stage ended, as Snakemake's log, the stage's own log and the kernel tell it."""

import re
import signal
from pathlib import Path

from nrw.core.errors import MAKE_ROOM, NO_MEMORY, NO_THREAD, SAVE_MEMORY
from nrw.core.io import is_full

INTERRUPTED = "Terminating processes on user request"  # Snakemake's words after Ctrl-C
_ENDED = re.compile(r"^Command '.*' (?:died with <Signals\.(SIG\w+): |returned non-zero exit status (\d+)\.)", re.M)
_NO_MEMORY_ON_CLUSTER = "OUT_OF_MEMORY"  # SLURM's state of the job
_VMSTAT = Path("/proc/vmstat")
_STACK = re.compile(r"^ *(@ +0x|PC: @|\*\*\* )")  # addresses that COLMAP's log prints on a signal
_ABORTED = "SIGABRT"  # how C++ and C libraries give up
SHOWN = 5  # last lines of a log without an error message


def kernel_kills() -> int | None:
    """How many processes the kernel has killed since it started because memory ran out; None where it does not say."""
    found = re.search(r"^oom_kill (\d+)$", _VMSTAT.read_text(), re.M) if _VMSTAT.is_file() else None
    return int(found[1]) if found else None


def ending(text: str) -> str | int | None:
    """The signal (its name) or the exit status with which the last command in a part of Snakemake's log ended."""
    found = _ENDED.findall(text)
    if not found:
        return None
    name, status = found[-1]
    if status and int(status) - 128 in list(signal.Signals):  # as a shell reports a signal
        return signal.Signals(int(status) - 128).name
    return name or int(status)


def explain(ended: str | int | None, message: str, log: Path, kills: int | None) -> str:
    """Say how a stage ended that left no error message.

    ended: as `ending` returns it. message: Snakemake's own, such as SLURM's state of the job. log: of the stage.
    kills: `kernel_kills` as the run began. Memory is named only where one of these tells of it, the disk where it is
    full.
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = [line for line in text.splitlines() if line.strip() and not _STACK.match(line)][-SHOWN:]
    if log.parent.is_dir() and is_full(log.parent):
        said = f"No space left on device ({log.parent}). {MAKE_ROOM}"  # where C++ ends the process for it, silently
    elif _NO_MEMORY_ON_CLUSTER in message:
        said = f"Memory ran out: {message}\nAsk for more (docs/cluster.md), or need less: {SAVE_MEMORY}"
    elif ended == "SIGKILL":
        said = _killed(kills)
    elif ended == "SIGINT":
        said = "The process was interrupted (Ctrl-C, SIGINT)."
    elif ended == "SIGTERM":
        said = "The process was told to end (SIGTERM): by a person, a time limit, or the shutdown of the machine."
    elif isinstance(ended, str) and ended != _ABORTED:
        said = f"The process crashed ({ended})."
    else:
        said = _gave_up(ended, message, "\n".join(lines).lower())
    if not lines:
        return f"{said}\nIts log is empty; the lines above, before “Error in rule”, may say more."
    return "\n  ".join([f"{said}\nThe end of its log:", *lines])


def _gave_up(ended: str | int | None, message: str, last: str) -> str:
    """last: the end of the log, where libraries say why they end the process, in lower case."""
    how = f"crashed ({ended})" if ended == _ABORTED else f"ended with exit status {ended}" if ended else "ended"
    if any(words in last for words in NO_MEMORY):
        return f"Memory ran out, and the process {how}. To need less: {SAVE_MEMORY}"
    if ended == _ABORTED and NO_THREAD in last:  # others say so of a connection or a lock
        return (
            f"Memory ran out, or the processes that a user may have (`ulimit -u`): no thread could be started, and the "
            f"process {how}. To need less memory: {SAVE_MEMORY}"
        )
    if ended == _ABORTED:
        return f"The process {how}."
    return f"The process {how}{' and' if ended else ' with'} no error message. {message}".strip()


def _killed(kills: int | None) -> str:
    now = kernel_kills()
    if kills is None or now is None:
        return (
            "The process was killed (SIGKILL): by the kernel, as it does when memory runs out, by a person, or by a "
            f"limit. To need less memory: {SAVE_MEMORY}"
        )
    if now > kills:
        return f"Memory ran out: the kernel killed the process. To need less: {SAVE_MEMORY}"
    return (
        "The process was killed (SIGKILL): by a person, a limit, or a guard such as systemd-oomd. The kernel itself "
        "killed nothing for lack of memory."
    )
