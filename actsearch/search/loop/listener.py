"""What wants to know of a search while it runs."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from actsearch.placement import Placement
from actsearch.search.study.record import StudyRun


class Listener:
    """What wants to know of a search while it runs: progress on a terminal, the mirror in MLflow.

    It cannot change it.
    """

    def started(self, run: StudyRun, total: int) -> None:
        """Note that the study is open, and how many trials are wanted."""

    def trial_started(self, number: int, placement: Placement | None) -> None:
        """Note that a trial is on its way; no placement means the model's own activations."""

    def reported(self, number: int, epoch: int, metrics: dict[str, float]) -> None:
        """Note that a trial finished an epoch."""

    def trial_ended(self, trial: FrozenTrial) -> None:
        """Note that a trial was told."""

    def ended(self) -> None:
        """Note that no more trials run."""
