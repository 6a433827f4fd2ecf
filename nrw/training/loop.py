"""The loop of every training stage, and what a stage tells it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nrw.training import checkpoint, parallel, signals
from nrw.training.log import TrainingLog
from nrw.training.sampler import generator_of
from nrw.training.stage import finish, set_learning_rates, steps_of, training_device


class Stage:
    """A training stage. A subclass sets the three attributes below in its __init__ and defines `step` and `result`.

    modules, optimizers: by name, all that training changes and a checkpoint must hold. fingerprint: of what the result
    depends on (`stage.run_fingerprint`); a checkpoint with another one is not resumed.

    Set here: name, also of its section in `training`; config, complete, with its sections training and settings
    (`training.<name>`); batch_size, images per step; steps, of the whole stage, and tick_steps, between two ticks.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    fingerprint: str

    def __init__(self, name: str, out_dir: Path | str, checkpoint_dir: Path | str, config: Mapping):
        self.name, self.out_dir, self.checkpoint_dir = name, Path(out_dir), Path(checkpoint_dir)
        self.config, self.training, self.settings = config, config["training"], config["training"][name]
        self.batch_size = self.settings.get("batch_size", self.training["batch_size"])
        self.steps = steps_of(self.settings["kimg"], self.batch_size)
        self.tick_steps = max(1, steps_of(self.training["tick_kimg"], self.batch_size))
        self.device = training_device(config)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave to the checkpoint that was restored."""

    def state(self) -> dict[str, object]:
        """Return what a checkpoint must hold beside modules and optimizers, as JSON holds it."""
        return {}

    def prepare(self, start: int) -> None:
        """Do, in every process, what precedes step `start`: 0, or the first one after the restored checkpoint."""

    def step(self, number: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Take step `number`, 0-based: the loop has set the learning rates and cleared the gradients.

        Every random draw comes from `rng` or from torch's global state, both seeded for this step. Returns this
        process's part of each loss, a scalar by name.
        """
        raise NotImplementedError

    def validate(self, done: int) -> tuple[np.ndarray | None, dict[str, float]]:
        """Measure the networks after `done` steps, on rank 0 only, before the first step and at every tick.

        Returns a sheet of sample pictures (H, W, 3) uint8, or None, and figures by name.
        """
        return None, {}

    def stop_early(self, done: int) -> bool:
        """Return whether the stage ends after `done` steps, a tick, before its budget is spent; rank 0 decides."""
        return False

    def result(self, done: int) -> tuple[dict[str, nn.Module], dict[str, object]]:
        """Return the modules whose weights the stage leaves, and the facts for its config.json (`stage.finish`)."""
        raise NotImplementedError


def run(stage: Stage) -> None:
    """Train a stage, from its checkpoint where there is one, and write its result.

    Rank 0 alone validates, logs and writes. SIGTERM and SIGINT save a checkpoint after the current step and end the
    process. Raises UserError for a loss that is not finite.
    """
    writes = parallel.rank() == 0
    folder, fingerprint = stage.checkpoint_dir, stage.fingerprint
    start, state = checkpoint.restore(folder, fingerprint, stage.modules, stage.optimizers) or (0, None)
    if state:
        stage.load_state(state)
    log = TrainingLog(stage.out_dir, stage.name, stage.steps, stage.batch_size, start, state, writes, stage.device)
    stage.prepare(start)
    if writes and start == 0:
        log.samples(0, stage.validate(0)[0])
    log.restart_clock()

    done = start
    with signals.StopSignal(ignore_repeats=parallel.world_size() > 1) as stop:
        for step in range(start, stage.steps):
            rng = generator_of(stage.config["seed"], stage.name, step)
            torch.manual_seed(int(rng.integers(2**63)))
            for optimizer in stage.optimizers.values():
                rate = set_learning_rates(optimizer, stage.config, step, stage.steps)
                optimizer.zero_grad(set_to_none=True)
            log.add(step, parallel.summed(stage.step(step, rng)))

            done = step + 1
            at_tick = done % stage.tick_steps == 0 or done == stage.steps
            if at_tick:
                log.check()
            if writes and at_tick:
                sheet, figures = stage.validate(done)
                log.tick(done, {**figures, "learning_rate": rate})
                log.samples(done, sheet)
            parallel.agree(stop, stage.device)
            if stop.received:
                log.check()
            if writes and (at_tick or stop.received):
                state = {**log.state(), **stage.state()}
                checkpoint.save(folder, fingerprint, done, stage.modules, stage.optimizers, state)
                log.restart_clock()
            if stop.received:
                parallel.wait()
                stop.leave()
            if at_tick and parallel.decided(stage.stop_early(done), stage.device):
                break

    log.close()
    if writes:
        modules, facts = stage.result(done)
        finish(stage.out_dir, folder, stage.name, modules, stage.config, **facts)
