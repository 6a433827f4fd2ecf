"""A real SLURM of three nodes on the loopback, for as long as the tests of this folder run."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_run import ROOT, SAME, TINY, command

HERE = Path(__file__).parent
# what the profile leaves to the cluster, and what only saves the tests time
HERE_AND_NOW = [
    *("--workflow-profile", str(ROOT / "profiles" / "slurm"), "--max-threads", "2", "--jobs", "4"),
    *("--slurm-status-command", "squeue", "--latency-wait", "5"),
    "--slurm-keep-successful-logs",
]


@dataclass
class Job:
    """A SLURM job of ours."""

    id: int
    rule: str
    piece: str  # 1-of-2, or empty
    state: str
    memory: int  # MB asked for
    minutes: int  # time limit
    gpus: int


class Cluster:
    def __init__(self, folder: Path):
        self.folder = folder
        self.runs: list[subprocess.Popen] = []
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("SLURM_")},
            "SLURM_CONF": str(folder / "etc" / "slurm.conf"),
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
        }

    def call(self, *command: str) -> str:
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def jobs(self) -> list[Job]:
        """All jobs so far, oldest first."""
        found = []
        for entry in self.call("scontrol", "--oneliner", "show", "job").splitlines():
            field = dict(part.partition("=")[::2] for part in entry.split() if "=" in part)
            rule, _, wildcards = field.get("Comment", "").removeprefix("rule_").partition("_wildcards_")
            piece = re.search(r"\d+-of-\d+", wildcards)
            memory = re.fullmatch(r"([\d.]+)([MG])", field["MinMemoryNode"])
            hours, minutes, _ = field["TimeLimit"].split("-")[-1].split(":")
            found.append(
                Job(
                    int(field["JobId"]),
                    rule,
                    piece[0] if piece else "",
                    field["JobState"],
                    int(float(memory[1]) * {"M": 1, "G": 1024}[memory[2]]),
                    60 * int(hours) + int(minutes),
                    int((re.search(r"gpu:(?:\w+:)?(\d+)", field.get("TresPerJob", "")) or [0, 0])[1]),
                )
            )
        return sorted(found, key=lambda job: job.id)

    def processes(self, script: str) -> dict[int, int]:
        """Process id -> SLURM job of the running processes of a script of the workflow."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if len(words) < 2 or not words[1].endswith(f"{script}.py".encode()):
                    continue
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:  # it has ended
                continue
            variables = dict(part.partition(b"=")[::2] for part in environment)
            if variables.get(b"SLURM_CONF", b"").decode() == self.environment["SLURM_CONF"]:
                found[int(entry.name)] = int(variables[b"SLURM_JOB_ID"])
        return found

    def start(self, folder: Path, *arguments: str) -> subprocess.Popen:
        """Snakemake on the cluster, with the tiny configuration; what it says goes to folder/snakemake.log."""
        with open(folder / "snakemake.log", "a") as log:
            run = subprocess.Popen(
                [sys.executable, str(HERE / "impatient.py"), *command(*arguments, *HERE_AND_NOW, *SAME, *TINY)[1:]],
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.runs.append(run)
        return run

    def run(self, folder: Path, *arguments: str) -> None:
        self.finish(self.start(folder, *arguments), folder)

    def finish(self, run: subprocess.Popen, folder: Path) -> None:
        """Wait for a run that must succeed."""
        self.wait_for(lambda: run.poll() is not None, folder)
        assert run.returncode == 0, self.state(folder)

    def wait_for(self, condition, folder: Path, run: subprocess.Popen | None = None, seconds: float = 400):
        """What `condition()` returns, as soon as that is true; the run, if one is given, must not end before."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            in_time = time.monotonic() < deadline
            assert in_time and (run is None or run.poll() is None), self.state(folder)
            time.sleep(0.03)
        return found

    def state(self, folder: Path) -> str:
        """What Snakemake said in a working directory, what SLURM said and what its jobs do: for whom a test fails."""
        logs = [folder / "snakemake.log", self.folder / "log" / "slurmctld.log"]
        return "\n".join([*(log.read_text()[-6000:] for log in logs), self.call("squeue", "--long")])

    def restart_controller(self, folder: Path, seconds_down: float) -> None:
        """Kill slurmctld as a crash does, and start it again from the state that it saved."""
        pid_file = self.folder / "run" / "slurmctld.pid"
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
        pid_file.unlink()
        time.sleep(seconds_down)
        self.call("/usr/sbin/slurmctld", "-f", self.environment["SLURM_CONF"])
        ping = ["scontrol", "ping"]
        answers = lambda: not subprocess.run(ping, env=self.environment, stdout=subprocess.DEVNULL).returncode  # noqa: E731
        self.wait_for(answers, folder)
        time.sleep(5)  # by then its nodes know it: what ends before is reported again only after a minute

    def wait_until_saved(self) -> None:
        """Return when the controller has saved all that it knows now: it does within 5 s, if there is anything new."""
        saved, now = self.folder / "state" / "job_state", time.time()
        while time.time() < now + 15 and not (saved.exists() and saved.stat().st_mtime > now):
            time.sleep(0.1)


@pytest.fixture(scope="session")
def cluster():
    missing = [tool for tool in ("slurmctld", "slurmd", "munged") if not shutil.which(tool, path="/usr/sbin")]
    if missing:
        pytest.skip(f"no SLURM here ({', '.join(missing)} missing): apt-get install slurm-wlm munge")
    if os.geteuid():
        pytest.skip("starting a SLURM needs root")
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    environment = {**os.environ, "CTLPORT": str(ports := free_ports(8)), "NODEPORT": str(ports + 1)}
    try:
        up = subprocess.run(
            ["bash", HERE / "slurm_up.sh", folder, "3"], env=environment, capture_output=True, text=True
        )
        assert up.returncode == 0, up.stdout + up.stderr + (folder / "log" / "slurmctld.log").read_text()
        yield (cluster := Cluster(folder))
        for run in cluster.runs:  # one that a failed test did not wait for
            run.kill()
    finally:
        subprocess.run(["bash", HERE / "slurm_down.sh", folder])
        shutil.rmtree(folder)


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports that nobody listens on."""
    for first in range(36000 + os.getpid() % 2000 * 8, 60000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    raise AssertionError("no free ports")
