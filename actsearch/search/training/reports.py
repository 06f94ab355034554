"""What a training reports after each epoch: checked, passed on, the best kept where it counts."""

from __future__ import annotations

import copy
import math
from typing import Any

from torch import Tensor, nn

from actsearch.errors import ActsearchError
from actsearch.search.training.job import Job, Report
from actsearch.search.training.measuring import require


class DivergedError(ActsearchError, ArithmeticError):
    """An objective or the training loss is not a finite number."""


class Reports:
    """The reports of one training.

    Args:
        job: what is trained: its objectives, and whether the last or the best epoch
            counts.
        report: called with the step and the metrics; answers whether to stop.
    """

    def __init__(self, job: Job, report: Report) -> None:
        # Of an inspected model some may be measures: these are told apart at its end.
        self.objectives = [] if job.kind == "inspect" and not job.model else job.objectives
        self.keeps_best = job.score == "best"
        self.sign = 1 if job.mode == "min" else -1
        self.report = report
        self.history: list[tuple[int, dict[str, float]]] = []
        self.pruned = False
        self.best: tuple[dict[str, float], dict[str, Any]] | None = None

    def check(self, metrics: dict[str, float], name: str) -> None:
        """Raise where an objective was not logged, naming what was, or is not finite.

        Raises:
            TaskError: an objective is missing.
            DivergedError: an objective is not a finite number.
        """
        require(metrics, self.objectives, name)
        broken = [key for key in self.objectives if not math.isfinite(metrics[key])]
        if broken:
            raise DivergedError(
                f"{broken[0]} became {metrics[broken[0]]} in epoch {len(self.history)}"
            )

    def add(self, step: int, metrics: dict[str, float], model: nn.Module) -> bool:
        """Note and pass on what an epoch came to, and return whether the training shall stop."""
        if self.keeps_best and self.objectives and all(key in metrics for key in self.objectives):
            first = self.objectives[0]
            if self.best is None or self.sign * metrics[first] < self.sign * self.best[0][first]:
                # A tensor may be a view of a larger one, which a deep copy would take along.
                weights = {
                    name: value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)
                    for name, value in model.state_dict().items()
                }
                self.best = (metrics, weights)
        return self.pass_on(step, metrics)

    def pass_on(self, step: int, metrics: dict[str, float]) -> bool:
        """Note and pass on what an epoch of several trainings came to, of which none is kept."""
        self.history.append((step, metrics))
        self.pruned = self.report(step, metrics)
        return self.pruned

    def settle(self, last: dict[str, float], model: nn.Module) -> dict[str, float]:
        """Return the metrics that count, and put the weights of that epoch into the model."""
        if self.best is None:
            return last
        metrics, weights = self.best
        model.load_state_dict(weights)
        return last | metrics
