"""Snakemake that looks every second what became of its jobs: SLURM's plugin waits 10 s longer each time."""

import asyncio
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def sleep(executor: RemoteExecutor) -> None:
    await asyncio.sleep(1)


if __name__ == "__main__":
    RemoteExecutor.sleep = sleep  # type: ignore[method-assign]
    main(sys.argv[1:])
