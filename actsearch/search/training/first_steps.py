"""What a training shows in its first steps, its loss and its gradient: enough to stop what would learn nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as L
import torch

from actsearch.errors import ActsearchError
from actsearch.search.trainability.gate import Bounds
from actsearch.search.trainability.watchdog import Watchdog
from actsearch.search.training.reports import DivergedError

SHARE = 0.03
"""Share of a training in which it is watched."""

FEWEST, MOST = 5, 200


class StoppedError(ActsearchError):
    """A training shows in its first steps that it is not worth going on."""


class FirstSteps(L.Callback):
    """Note the first losses of a training and its first gradient, and judge them by those of the baseline.

    A gradient that is not finite, or far from the baseline's, ends the training before its first
    step; a loss that is not finite, or no better than chance at the end of the window where the
    baseline's is, ends it there. A module that returns no loss from its training step (manual
    optimisation) is judged by its gradient alone.

    Args:
        baseline: what :attr:`found` was in the baseline's training; without it nothing is judged
            but a loss that is not finite.
    """

    def __init__(self, baseline: Mapping[str, Any] | None = None) -> None:
        self.baseline = baseline
        self.losses: list[float] = []
        self.gradient: float | None = None
        self.window = 0
        self.watchdog = Watchdog(baseline["losses"]) if baseline and baseline["losses"] else None

    @property
    def found(self) -> dict[str, Any]:
        """The first losses and the norm of the first gradient, as plain data."""
        return {"losses": self.losses, "gradient": self.gradient}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Fix the window."""
        batches = trainer.num_training_batches * (trainer.max_epochs or 1)
        steps = min(s for s in (batches, trainer.max_steps) if s > 0) if batches > 0 else FEWEST
        share = SHARE * steps if math.isfinite(steps) else MOST
        self.window = (
            self.watchdog.window if self.watchdog else min(MOST, max(FEWEST, math.ceil(share)))
        )

    def on_before_backward(
        self, trainer: L.Trainer, module: L.LightningModule, loss: torch.Tensor
    ) -> None:
        """Check that the loss is finite, as long as it is watched."""
        if trainer.global_step < self.window and not bool(loss.isfinite()):
            raise DivergedError(
                f"the training loss became {float(loss)} in step {trainer.global_step + 1}"
            )

    def on_after_backward(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Judge the first gradient."""
        scaled = (
            getattr(trainer.precision_plugin, "scaler", None) is not None
        )  # overflows at first, and is meant to
        if self.gradient is not None or scaled:
            return
        norms = [p.grad.norm() for p in module.parameters() if p.grad is not None]
        self.gradient = float(torch.stack([n.double() for n in norms]).norm()) if norms else 0.0
        standard = self.baseline["gradient"] if self.baseline else None
        if not math.isfinite(self.gradient):
            raise DivergedError(f"the first gradient is {self.gradient}")
        if standard:
            low, high = Bounds().gradient
            ratio = self.gradient / standard
            if not low <= ratio <= high:
                word = "vanishes" if ratio < low else "explodes"
                raise StoppedError(
                    f"gradient: it {word} to {ratio:.2g} times the baseline's at initialisation"
                )

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Judge the loss, as long as it is watched."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if len(self.losses) >= self.window or loss is None:
            return
        self.losses.append(float(loss))
        if self.watchdog is not None and not (verdict := self.watchdog.update(self.losses[-1])):
            raise StoppedError(verdict.reason)
