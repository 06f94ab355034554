"""Progress: bars on a terminal, lines on a pipe and in the study's log."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Self

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from typing_extensions import override

from actsearch.errors import printable
from actsearch.placement import Placement
from actsearch.search.confirm.confirm import most_trainings
from actsearch.search.loop.listener import Listener
from actsearch.search.study.record import StudyRun, counts, phase_of, result_of
from actsearch.tracking.header import header
from actsearch.tracking.words import short

LOG = "search.log"
"""In a study's folder, the lines of every search and confirmation of it."""


class Progress(Listener):
    """Shows how a search goes: what it is about, then bars, or on a pipe a line for each trial.

    Args:
        quiet: show nothing.
        verbose: a line for each trial on a terminal, too, and for each epoch.
        console: where; the error stream by default.

    Attributes:
        has_searched: whether all trials have ended, so that what fails now is a confirmation.
    """

    def __init__(
        self, quiet: bool = False, verbose: bool = False, console: Console | None = None
    ) -> None:
        self.console = console or Console(stderr=True, quiet=quiet)
        self.verbose = verbose
        self.has_searched = False
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
        )
        self.run: StudyRun | None = None
        self.rows: dict[int, TaskID] = {}
        self.confirmation: TaskID | None = None
        self.confirmed = ""

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
        for line in header(run, total):
            self._say(line)
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
        if self.verbose:
            self._say(f"trial {number}, epoch {epoch + 1} of {self.epochs}: {shown}")

    @override
    def trial_ended(self, trial: FrozenTrial) -> None:
        assert self.run is not None, "it has started"
        self.bars.remove_task(self.rows.pop(trial.number))
        ranked = self.run.ranked()
        best = ""
        if ranked:
            best = f"best {self.metric} {ranked[0].values[0]:.4f} (trial {ranked[0].number})"
        self.bars.update(self.trials, advance=int(counts(trial)), note=best)
        done = sum(t.state.is_finished() and counts(t) for t in self.run.trials)
        name = f"trial {trial.number}, {done} of {self.total}, {phase_of(trial)}"
        rate = "; own learning rate" if self.run.factor(trial) == 1.0 else ""
        what = f"{short(self.run, trial)}{rate}: {self._ended(trial)}"
        self._say(f"{name}: {what}; {best}".rstrip("; "), self.verbose)

    def _ended(self, trial: FrozenTrial) -> str:
        """Return how a trial ended, in how many seconds."""
        result = result_of(trial)
        if trial.state == TrialState.COMPLETE:
            how = ", ".join(filter(None, [f"{self.metric} {trial.values[0]:.4f}", result.reason]))
        elif result.reason == "pruned" and result.history:
            how = f"pruned at {result.history[-1][1].get(self.metric, math.nan):.4f}"
        else:
            told = ["failed"] if trial.state == TrialState.FAIL else []
            how = ": ".join([*told, *filter(None, [result.reason])]) or trial.state.name.lower()
        return f"{how} in {result.seconds:.1f} s" if result.seconds else how

    @override
    def ended(self) -> None:
        self.has_searched = self.run is not None and not self.rows

    def begin_confirmation(self, run: StudyRun, top: int, seeds: int) -> None:
        """Say what a confirmation of its own is about."""
        self.run = run
        if trials := run.candidates(top):
            numbers = ", ".join(str(trial.number) for trial in trials)
            most = most_trainings(run, len(trials), seeds)
            self._say(f"{run.name}: trials {numbers} beside the baseline, {most} trainings at most")

    def confirming(self, done: int, of: int) -> None:
        """Show the bar of the confirmation."""
        if self.confirmation is None:
            self.confirmation = self.bars.add_task(
                "confirming", total=of, note="paired seeds, test split"
            )
        self.bars.update(self.confirmation, completed=done, total=of)
        line = f"confirming: {done} of at most {of} trainings"
        if done == of:
            line = f"confirmed by {done} trainings"
        if line != self.confirmed:
            self.confirmed = line
            self._say(line, self.verbose)

    def _say(self, line: str, on_terminal: bool = True) -> None:
        """Print a line where there are no bars, and keep it."""
        line = printable(line)
        if on_terminal or not self.console.is_terminal:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)
        if self.run is not None:
            # What is shown need not be kept: the record has it all.
            with contextlib.suppress(OSError), (self.run.folder / LOG).open("a") as log:
                log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
