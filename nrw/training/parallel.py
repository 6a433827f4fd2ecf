"""Training on several GPUs of one node: data parallel, with gradients summed over the processes.

Each process runs the whole stage. It draws the same photos and crops as the others, computes its part of the batch with
losses weighted by the part's share, and receives the sum of all gradients, so that all take the same step and hold the
same weights. Rank 0 validates, logs and writes. In a single process none of this has an effect.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from nrw.core.device import torch_device
from nrw.core.errors import UserError
from nrw.training.signals import StopSignal

# The module of each stage, imported when it runs: the stages import this module.
STAGES = {"appearance": "appearance", "rerender": "rerender", "finetune": "rerender", "completion": "completion"}
TIMEOUT = timedelta(hours=6)  # of a collective call, in which the others wait for rank 0 to validate and write
logger = logging.getLogger("nrw.training.parallel")  # torchrun runs this module as __main__


def run(stage: str, processes: int, config: Mapping, /, **arguments: Path | str) -> None:
    """Run the `train` of a stage in this process or, if `processes` is more than 1, in that many under torchrun.

    arguments: of `train`, beside the configuration. Each process takes the GPU of its rank, or none where device is
    cpu. Raises UserError when a process fails; its own message is in the log.
    """
    if processes <= 1:
        _train(stage, {"config": config, **arguments})
        return
    with tempfile.TemporaryDirectory() as folder, StopSignal() as stop:
        listing = Path(folder) / "arguments.json"
        listing.write_text(json.dumps({"config": config, **arguments}, default=str), encoding="utf-8")
        torchrun = ["torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={processes}"]
        launched = subprocess.Popen(
            [sys.executable, "-m", *torchrun, "--module", "nrw.training.parallel", stage, str(listing)]
        )
        passed_on = False
        while launched.poll() is None:
            if stop.received and not passed_on:
                launched.send_signal(stop.received)
                passed_on = True
            try:
                launched.wait(0.5)
            except subprocess.TimeoutExpired:
                continue
        if stop.received:
            stop.leave()
        if launched.returncode:
            raise UserError(f"training stage {stage} failed in one of its {processes} processes; see above in the log")


def _train(stage: str, arguments: Mapping) -> None:
    import_module(f"nrw.training.{STAGES[stage]}").train(**arguments)


def _process(stage: str, listing: str) -> int:
    """Run one of the processes that torchrun starts; returns its exit status."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    arguments = json.loads(Path(listing).read_text(encoding="utf-8"))
    on_gpu = arguments["config"]["device"] == "cuda"
    try:
        if on_gpu:
            torch.cuda.set_device(torch_device(f"cuda:{os.environ['LOCAL_RANK']}"))
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=TIMEOUT)
        if rank() == 0:
            logging.getLogger("nrw").setLevel(logging.INFO)
            logger.info("%s: on %d processes", stage, world_size())
        _train(stage, arguments)
        dist.destroy_process_group()
    except UserError as error:
        logger.error("\nError: %s\n", error)
        return 1
    return 0


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process among them, from 0; rank 0 validates, logs and writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def part_of(batch_size: int) -> slice:
    """Return this process's part of a batch. Raises UserError if the processes cannot share it evenly."""
    if batch_size % world_size():
        raise UserError(
            f"{world_size()} processes (GPUs) cannot share a batch of {batch_size} evenly: choose another number of "
            "GPUs, or change training.batch_size (in the stage appearance training.appearance.batch_size)"
        )
    share = batch_size // world_size()
    return slice(rank() * share, (rank() + 1) * share)


def sum_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Replace the gradients of the optimizer's parameters by their sums over the processes."""
    if world_size() == 1:
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.flatten() for parameter in parameters])
    dist.all_reduce(flat)
    for parameter, total in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad.copy_(total.view_as(parameter))  # in place: fused optimizers need its memory layout unchanged


def summed(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sum each scalar over the processes; gradients do not pass."""
    totals = {name: value.detach() for name, value in values.items()}
    if world_size() > 1:
        stacked = torch.stack([value.float() for value in totals.values()])
        dist.all_reduce(stacked)
        totals = dict(zip(totals, stacked, strict=True))
    return totals


def broadcast(values: Tensor, device: torch.device) -> None:
    """Give all processes the values of rank 0, in place; device: the one that the processes communicate on."""
    if world_size() > 1:
        moved = values.to(device)
        dist.broadcast(moved, 0)
        values.copy_(moved)


def decided(value: bool, device: torch.device) -> bool:
    """Return the value of rank 0 in all processes."""
    decision = torch.tensor(float(value))
    broadcast(decision, device)
    return bool(decision)


def agree(stop: StopSignal, device: torch.device) -> None:
    """Make all processes stop after the same step if any of them received a signal."""
    if world_size() > 1:
        received = torch.tensor(stop.received or 0, device=device)
        dist.all_reduce(received, dist.ReduceOp.MAX)
        stop.received = int(received) or None


def wait() -> None:
    """Block until all processes are here."""
    if world_size() > 1:
        dist.barrier()


if __name__ == "__main__":
    sys.exit(_process(*sys.argv[1:]))
