"""The record of a training stage: one status line per tick, stats.jsonl, TensorBoard, sample pictures."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from nrw.core.errors import UserError
from nrw.core.io import atomic_path, write_image
from nrw.core.progress import duration

logger = logging.getLogger(__name__)
NEVER = 2**53  # a step that no stage reaches


class TrainingLog:
    """Record one stage in `out_dir`. The losses stay on their device until a tick: no step waits for a GPU.

    stats.jsonl holds one JSON object per tick: step, kimg, seconds (of training, over all sessions), images_per_s (of
    this tick), the mean of each loss over the tick, and the figures that the stage measured. TensorBoard events hold
    the same. All rows are part of a checkpoint's state: a resumed stage resets stats.jsonl to the tick it resumes from,
    and the means over a tick that was interrupted are those of an uninterrupted run.

    steps: of the whole stage. batch_size: images per step. state: `state()` of the checkpoint that is resumed, or None.
    writes: true in one process; the others call `add` and `check` alone, so that all of them fail together.
    device: of the losses.
    """

    def __init__(
        self,
        out_dir: Path,
        stage: str,
        steps: int,
        batch_size: int,
        start: int = 0,
        state: dict | None = None,
        writes: bool = True,
        device: torch.device | str = "cpu",
    ):
        self.out_dir, self.stage, self.steps, self.batch_size = Path(out_dir), stage, steps, batch_size
        state = state or {"rows": [], "sums": {}, "count": 0, "seconds": 0.0}
        self.rows, self.count = state["rows"], state["count"]
        self.sums: dict[str, Tensor] = {
            name: torch.tensor(total, dtype=torch.float64, device=device) for name, total in state["sums"].items()
        }
        self.totals: dict[str, float] = dict(state["sums"])  # of `check`
        self._wrong = torch.tensor(NEVER, device=device)  # the first step with a loss that is not finite
        self.seconds = state["seconds"]
        self._tick_start = time.monotonic()
        self._tick_steps = 0  # of this session: after a resume a tick is timed from there
        self._board: SummaryWriter | None = None
        if not writes:
            return
        self.out_dir.mkdir(parents=True, exist_ok=True)
        if start == 0:
            for events in self.out_dir.glob("events.out.tfevents.*"):
                events.unlink()
        self._write_rows()
        self._board = SummaryWriter(str(self.out_dir), purge_step=start + 1 if start else None)

    @property
    def board(self) -> SummaryWriter:
        """The TensorBoard events. Raises RuntimeError in a process that does not write."""
        if self._board is None:
            raise RuntimeError(f"this process does not write the log of stage {self.stage}")
        return self._board

    def add(self, step: int, losses: Mapping[str, Tensor]) -> None:
        """Add the losses (scalars) of a step, 0-based, to the tick."""
        values = {name: loss.detach().double() for name, loss in losses.items()}
        finite = torch.stack(list(values.values())).isfinite().all()
        self._wrong = torch.where(finite | (self._wrong < NEVER), self._wrong, step)
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1
        self._tick_steps += 1

    def check(self) -> None:
        """Read the sums of the losses from their device. Raises UserError if a loss was not finite."""
        names = list(self.sums)
        *totals, wrong = torch.stack([*self.sums.values(), self._wrong.double()]).tolist()
        self.totals = dict(zip(names, totals, strict=True))
        if wrong < NEVER:
            name = next(name for name, total in self.totals.items() if not np.isfinite(total))
            raise UserError(
                f"Training stage {self.stage}: the {name} loss is {self.totals[name]} from step {wrong:.0f} on "
                f"({self._kimg(int(wrong)):.3f} kimg). Halve training.{self.stage}.learning_rate, or lower "
                "training.losses.perceptual and training.losses.adversarial, and run again."
            )

    def tick(self, step: int, measured: Mapping[str, float]) -> None:
        """End a tick after `step` steps: write a row of stats.jsonl, a status line and TensorBoard scalars."""
        elapsed = time.monotonic() - self._tick_start
        self.seconds += elapsed
        row = {
            "step": step,
            "kimg": self._kimg(step),
            "seconds": round(self.seconds, 3),
            "images_per_s": round(self._tick_steps * self.batch_size / max(elapsed, 1e-9), 3),
            **{name: total / self.count for name, total in self.totals.items()},
            **measured,
        }
        self.rows.append(row)
        self._write_rows()
        for name, value in row.items():
            if name != "step":
                self.board.add_scalar(name, value, step)
        self.board.flush()
        left = (self.steps - step) * self.batch_size / max(row["images_per_s"], 1e-3)
        figures = "  ".join(f"{name} {row[name]:.4g}" for name in [*self.totals, *measured])
        logger.info(
            "%s: %.2f of %.2f kimg  %s  %.1f images/s  %s left",
            self.stage,
            row["kimg"],
            self._kimg(self.steps),
            figures,
            row["images_per_s"],
            duration(left),
        )
        self.sums, self.totals, self.count, self._tick_steps = {}, {}, 0, 0
        self._tick_start = time.monotonic()

    def restart_clock(self) -> None:
        """Exclude what happened since the last tick (checkpoints, samples, preparations) from the timing."""
        self._tick_start = time.monotonic()

    def samples(self, step: int, sheet: np.ndarray | None) -> None:
        """Write a sheet of sample pictures (H, W, 3) uint8, where there is one: samples/<kimg>.png and TensorBoard."""
        if sheet is None:
            return
        write_image(self.out_dir / "samples" / f"{self._kimg(step):09.3f}.png", sheet)
        self.board.add_image("samples", sheet, step, dataformats="HWC")

    def state(self) -> dict:
        """Return what a checkpoint must hold for the record to continue."""
        return {"rows": self.rows, "sums": self.totals, "count": self.count, "seconds": self.seconds}

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _kimg(self, step: int) -> float:
        return step * self.batch_size / 1000

    def _write_rows(self) -> None:
        with atomic_path(self.out_dir / "stats.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")
