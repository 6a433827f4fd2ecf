"""Messages of a run of the workflow: at its start, at its end, and when it fails."""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nrw.core.folder import list_folder
from nrw.core.progress import duration
from nrw.jobs.endings import INTERRUPTED, ending, explain
from nrw.jobs.estimate import estimate
from nrw.jobs.stage_log import cause

FAILED = re.compile(r"^Error in rule (\w+):\n((?: {4}.*\n)+)", re.M)
MESSAGE = re.compile(r"^ {4}message: (?!None$)(.*)$", re.M)
LOG = re.compile(r"^ {4}log: (.*?)(?: \(check log file.*)?$", re.M)
SHOWN = 3  # failed jobs


def start(config: Mapping, cores: int | None) -> str:
    """Describe the scenes, their sources, the preset and the device, and estimate the time.

    config: complete. cores: of this machine; None on a cluster, for which there is no estimate.
    """
    where = "jobs on a cluster" if cores is None else _number(cores, "core")
    lines = [f"nrw: preset {config['preset']}, on {config['device']}, {where}"]
    for scene, source in config["scenes"].items():
        lines.append(f"  {scene}: {_scene(source, config, cores)}")
    if len(lines) > 1:
        lines.append("  Finished steps are skipped; a run that was stopped continues where it stopped.")
    return "\n".join(lines)


def _scene(source: Mapping, config: Mapping, cores: int | None) -> str:
    if "photos" not in source:
        return f"the aligned data set {source['aligned']}; no estimate, such sets have not been timed"
    folder = Path(source["photos"])
    files = len(list_folder(folder).files)
    text = f"{_number(files, 'file')} in {folder}"
    if not files or cores is None:
        return text
    found = estimate(files, config, cores)
    if found is None:
        return f"{text}; no estimate, nothing with these networks on this device has been timed yet"
    least, most = (_rounded(seconds) for seconds in found)
    text += f"; about {least} to {most} from start to end on this machine, by the runs in benchmarks/RESULTS.md"
    if config["segmentation"]["model"] != "none":
        text += ", and the time to label the photos, which depends on the model"
    return text


def _rounded(seconds: float) -> str:
    step = 60 if seconds < 1200 else 300
    return duration(max(step, round(seconds / step) * step)).removesuffix(" 0 s")


def end(results: Iterable[Path]) -> str:
    """List the videos and reports that exist; the target of the run may have been an earlier stage."""
    lines = []
    for path in results:
        if path.is_file():
            report = path.suffix == ".html"
            lines.append(f"Report: {path.resolve()}  (open it in a browser)" if report else f"Video:  {path.resolve()}")
    return "\n".join(lines)


def failure(logs: Iterable[str | os.PathLike], stages: Mapping[str, str], kills: int | None) -> str:
    """Say what failed, why, where its log is, and what to do.

    logs: Snakemake's own. stages: the stage of each rule. kills: `endings.kernel_kills` as the
    run began.
    """
    text = "".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs if Path(log).is_file())
    interrupted = INTERRUPTED in text
    failed, before = {}, 0
    for match in FAILED.finditer(text):
        ended = ending(text[before : match.start()])
        before = match.end()
        if not (interrupted and ended == "SIGINT"):  # Ctrl-C ends the jobs with the run
            failed[match[1]] = (match[2], ended)
    if not failed:
        stopped = "Stopped by Ctrl-C" if interrupted else "Stopped before the end"
        return f"{stopped}. The same command continues from here."
    parts = [_failed(rule, *found, stages, kills) for rule, found in list(failed.items())[:SHOWN]]
    if len(failed) > SHOWN:
        parts.append(f"{len(failed) - SHOWN} more rules failed; fix these first.")
    return "\n\n".join(parts)


def _failed(rule: str, details: str, ended: str | int | None, stages: Mapping[str, str], kills: int | None) -> str:
    log, message = LOG.search(details), MESSAGE.search(details)
    title = f"Failed: stage {stages.get(rule, '?')}, rule {rule}"
    if not log:
        return f"{title}\nSnakemake's message above says why."
    path = Path(log[1].split(", ")[0])
    known, reason = cause(path) or (False, explain(ended, message[1] if message else "", path, kills))
    advice = (
        "When that is done, run the same command again: it continues from here."
        if known
        else "The end of the log says more. The README's table “When something goes wrong” lists what is known; "
        "the same command continues from here."
    )
    return f"{title}\n{reason}\nLog: {path.resolve()}\n{advice}"


def locked(locks: Path, scenes: Iterable[str], arguments: Sequence[str]) -> str:
    """Say how to go on after a run that was killed: it leaves Snakemake's locks; "" where there are none.

    locks: Snakemake's folder, a file per list of locked paths. scenes: those of this run. arguments: sys.argv of
    Snakemake, whose command the advice repeats.
    """
    held = {
        line
        for file in locks.glob("*.lock")
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
    }
    names = [scene for scene in scenes if any(path.startswith(f"results/{scene}/") for path in held)]
    if not names:
        return ""
    program, *rest = arguments
    command = [sys.executable, "-m", "snakemake"] if Path(program).name == "__main__.py" else [program]
    return (
        f"{', '.join(names)}: locked by another run, or by one that was killed or lost its power.\n"
        f"If none is running, unlock, then run the same command again:\n  {shlex.join([*command, '--unlock', *rest])}\n"
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
