"""Progress on a terminal: a bar for the trials, a bar for each running one, the confirmation."""

from __future__ import annotations

from typing import Self

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from typing_extensions import override

from actsearch.placement import Placement
from actsearch.search.loop.listener import Listener
from actsearch.search.study.record import StudyRun, counts, phase_of, result_of
from actsearch.tracking.words import short


class Progress(Listener):
    """Shows how a search goes; on a pipe it prints a line for each trial instead.

    Args:
        console: where; the error stream by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.rows: dict[int, TaskID] = {}
        self.confirmation: TaskID | None = None
        self.confirmed = (0, 0)
        self.epochs = 1

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    @override
    def started(self, run: StudyRun, total: int) -> None:
        self.run = run
        self.total = total
        self.metric = run.config.goals[0].metric
        self.epochs = run.model_info.max_epochs or 1
        done = sum(t.state.is_finished() and counts(t) for t in run.trials)
        self.trials = self.bars.add_task("trials", total=total, completed=done, note="")

    @override
    def trial_started(self, number: int, placement: Placement | None) -> None:
        label = "  baseline" if placement is None else f"  trial {number}"
        self.rows[number] = self.bars.add_task(label, total=self.epochs, note="")

    @override
    def reported(self, number: int, epoch: int, metrics: dict[str, float]) -> None:
        shown = f"{self.metric} {metrics[self.metric]:.4f}" if self.metric in metrics else ""
        self.bars.update(self.rows[number], completed=epoch + 1, note=shown)

    @override
    def trial_ended(self, trial: FrozenTrial) -> None:
        self.bars.remove_task(self.rows.pop(trial.number))
        ranked = self.run.ranked()
        best = ""
        if ranked:
            best = f"best {self.metric} {ranked[0].values[0]:.4f} (trial {ranked[0].number})"
        self.bars.update(self.trials, advance=int(counts(trial)), note=best)
        if not self.console.is_terminal:
            value = result_of(trial).reason
            if trial.state == TrialState.COMPLETE:
                value = f"{trial.values[0]:.4f}"
            done = sum(t.state.is_finished() and counts(t) for t in self.run.trials)
            name = f"trial {trial.number}, {done} of {self.total}, {phase_of(trial)}"
            what = short(self.run, trial)
            self.console.print(
                f"{name}: {what}: {trial.state.name.lower()} {value}; {best}",
                highlight=False,
                soft_wrap=True,
            )

    def confirming(self, done: int, of: int) -> None:
        """Show the bar of the confirmation."""
        if self.confirmation is None:
            self.confirmation = self.bars.add_task(
                "confirming", total=of, note="paired seeds, test split"
            )
        self.bars.update(self.confirmation, completed=done, total=of)
        if not self.console.is_terminal and (done, of) != self.confirmed:
            self.confirmed = (done, of)
            self.console.print(f"confirming: {done} of {of} trainings", highlight=False)
