"""The coordinator: it alone asks, tells and records; trials run elsewhere."""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from actsearch.errors import ActsearchWarning, StudyError
from actsearch.search.executors.executor import Executor
from actsearch.search.loop.ledger import Ledger
from actsearch.search.loop.listener import Listener
from actsearch.search.loop.phases import (
    LADDER,
    REPEATS,
    Phase,
    finalists,
    is_decided,
    next_phase,
)
from actsearch.search.loop.screening import Screening
from actsearch.search.study.record import (
    StudyRun,
    counts,
    is_spared,
    phase_of,
    result_of,
)
from actsearch.search.training.job import Job, LossCurve, Result

EXHAUSTED = 20
"""Proposals in a row that need no training, after which the space has nothing new."""

MEMBERS = 40
"""Trainings that are one network at most."""


class Coordinator:
    """Runs a study's trials up to a total.

    Args:
        run: the open study.
        executor: where trials run.
        jobs: how many at a time.
        listeners: what wants to know.
    """

    def __init__(
        self, run: StudyRun, executor: Executor, jobs: int = 1, listeners: Sequence[Listener] = ()
    ) -> None:
        self.run = run
        self.executor = executor
        self.jobs = jobs
        self.listeners = listeners
        self._ledger = Ledger(run)
        self._stacks: dict[int, list[int]] = {}
        self._alone: list[int] = []
        self._tuned = False
        self._best: int | None = None
        self._end_by = math.inf
        self._reserved = 0
        self._screening = Screening(run)
        self._seeds = run.config.seeds_each(run.model_info)
        stacks = run.job(None).stacked
        self._most = max(1, MEMBERS // (self._seeds * jobs)) if stacks else 1

    def search(
        self, total: int, seconds: float = math.inf, reserved: int = 0, top: int = 0
    ) -> None:
        """Run trials until the study has ``total``.

        Those of earlier processes count, and unfinished ones are taken up again.

        What needs no training (equal to an earlier placement, or refused) does not count, nor do
        further learning rates of the best few.

        Args:
            total: trials, the baseline included.
            seconds: wall-clock time that all may take: no trial is started that would not leave
                enough of it.
            reserved: trainings that are still to come after the search, for a confirmation.
            top: how many of the best get a learning rate of their own at the end.

        Raises:
            StudyError: the baseline failed.
        """
        self._ledger.take_up(self.executor.in_this_process)
        self._end_by = time.monotonic() + seconds
        self._reserved = reserved
        self._tuned = self.run.config.learning_rate == "tuned" and total >= LADDER
        self._tell("started", self.run, total)
        try:
            # In this order, since whether there is room is a question to the record.
            while self._ledger.running or self._room(total):
                while self._is_free() and self._start(lambda: self._next(total)):
                    pass
                if self._stacks:
                    self._wait()
            self._tell_exhausted()
            if self._tuned:
                self._tune(top)
        finally:
            self.executor.close()
            self._ledger.close()
            self._tell("ended")

    def _tune(self, top: int) -> None:
        """Find the learning rate of each of the best few."""
        while True:
            while self._is_free() and self._start(lambda: self._finalist(top)):
                pass
            if not self._ledger.running:
                return
            self._wait()

    def _is_free(self) -> bool:
        """Whether one more job may run."""
        return len(self._stacks) < self.jobs

    def _next(self, total: int) -> Phase | None:
        """Return what the next trial is for; ``None`` where there is no room, or nobody knows."""
        number = self._ledger.next_number()
        if not self._room(total) or not is_decided(self.run, number, total, self._most):
            return None
        return next_phase(self.run, number, total)

    def _finalist(self, top: int) -> Phase | None:
        """Return the next phase of a finalist, first what a dead process was about to do.

        ``None`` where there is none, or no time.
        """
        trials = self.run.trials
        if self._out_of_time(trials):
            return None
        waiting = (t for t in trials if t.state == TrialState.WAITING)
        begun = (Phase("finalist", self.run.factor(t), self.run.choices(t)) for t in waiting)
        return next(begun, None) or next(finalists(self.run, top), None)

    def _start(self, upcoming: Callable[[], Phase | None]) -> bool:
        """Begin the next trial, and those after it that can train as one network with it.

        Args:
            upcoming: returns what the next trial is for, ``None`` where it cannot begin now.

        Returns:
            whether there was one.
        """
        if self._alone:
            number = self._alone.pop(0)
            self._submit({number: self._job(self.run.trials[number])})
            return True
        first = phase = upcoming()
        jobs: dict[int, Job] = {}
        while phase is not None and first is not None:
            number, job = self._begin(phase)
            if job is not None:
                jobs[number] = job
            if len(jobs) >= self._most or not first.is_beside(phase := upcoming()):
                break
        if jobs:
            # Those that ended before the last process died take part again: the same numbers come
            # of the same network.
            ended = self._ledger.stacked_with(next(iter(jobs)))
            if len(jobs) > 1 and not ended:
                self._ledger.stack(list(jobs))
            known = {n: replace(self._job(self.run.trials[n]), folder="") for n in ended}
            self._submit(known | jobs)
        return first is not None

    def _begin(self, phase: Phase) -> tuple[int, Job | None]:
        """Begin a trial, and return its number and job; none where its outcome is known."""
        number, placement = self._ledger.ask(phase)
        self._tell("trial_started", number, placement)
        if known := self._screening.known(number, placement):
            if known.state == "pruned":
                self._ledger.repeat(number, known)
            self._end(number, known)
            return number, None
        return number, self._job(self.run.trials[number])

    def _job(self, trial: FrozenTrial) -> Job:
        """Return the training of a trial."""
        folder = self.run.folder / "trials" / f"{trial.number:05d}"
        baseline = phase_of(trial) == "baseline"
        return self.run.job(
            self.run.placement(trial),
            learning_rate_factor=self.run.factor(trial),
            data_fractions=self.run.config.data_fractions,
            baseline=None if baseline else self._baseline_curve(),
            repeats=max(REPEATS, self._seeds) if baseline and self._tuned else self._seeds,
            folder=str(folder),
            log=str(folder / "log.txt"),
        )

    def _submit(self, jobs: dict[int, Job]) -> None:
        """Run jobs of some trials, as one network where there are several."""
        key, *others = numbers = sorted(jobs)
        self._stacks[key] = numbers
        further = [jobs[number] for number in others]
        self.executor.submit(key, replace(jobs[key], further=further))

    def _wait(self) -> None:
        for key, result in self.executor.wait(self._report):
            numbers, results = self._stacks.pop(key), [result, *result.further]
            running = [number for number in numbers if number in self._ledger.running]
            if len(results) < len(numbers):  # not as one, or it died with one of them
                self._most = 1
                self._alone += running
                continue
            for number, one in zip(numbers, results, strict=True):
                if number != key and number in running:
                    self._ledger.repeat(number, one)  # the first has reported
                if number in running:
                    self._end(number, one)

    def _tell(self, event: str, *details: Any) -> None:
        for listener in self.listeners:
            getattr(listener, event)(*details)

    def _room(self, total: int) -> bool:
        trials = self.run.trials
        counted = sum(counts(t) for t in trials if t.state != TrialState.WAITING)
        return counted < total and not self._out_of_time(trials) and not self._is_exhausted(trials)

    def _is_exhausted(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether nothing new was proposed of late; what still runs may change that as it ends."""
        ended = [t for t in trials if t.state.is_finished()]
        last = sorted(ended, key=_end_time)[-EXHAUSTED:]
        return len(last) == EXHAUSTED and all(map(is_spared, last))

    def _tell_exhausted(self) -> None:
        trials = self.run.trials
        if self._is_exhausted(trials):
            warnings.warn(
                f"the search stops after {sum(map(counts, trials))} trials: the last {EXHAUSTED}"
                " proposals had all been tried or refused. Choose a larger space.",
                ActsearchWarning,
                stacklevel=3,
            )

    def _out_of_time(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether one more training and those reserved would outlast the time.

        The median of those that ran to the end tells how long one takes.
        """
        if math.isinf(self._end_by):
            return False
        ended = (result_of(t).seconds for t in trials if t.state == TrialState.COMPLETE)
        seconds = [s for s in ended if s]
        each = statistics.median(seconds) if seconds else 0.0
        return time.monotonic() + each * (1 + self._reserved / self.jobs) > self._end_by

    def _baseline_curve(self) -> LossCurve:
        """Return what the baseline showed in its first steps.

        The one as it comes where the best was not trained itself.
        """
        best = self.run.baseline
        curve = result_of(best).first_steps if best else LossCurve()
        return result_of(self.run.trials[0]).first_steps if curve == LossCurve() else curve

    def _report(self, key: int, step: int, metrics: dict[str, float]) -> bool:
        self._tell("reported", key, step, metrics)
        return key in self._ledger.running and self._ledger.report(key, step, metrics)

    def _end(self, number: int, result: Result) -> None:
        result = self._ledger.judge(number, result)
        if number == 0 and result.state != "complete":
            # Nothing can do without it, so it waits for the next call.
            raise StudyError(
                "the baseline, the model's own activations, must train, but ended:"
                f" {result.reason}. The same call tries it again."
            )
        self._ledger.end(number, result)
        self._keep_best_weights(number)
        self._tell("trial_ended", self.run.trials[number])

    def _keep_best_weights(self, number: int) -> None:
        """Keep the weights of the best trial and of the baseline.

        Those of the others would fill the disk.
        """
        best = next((t.number for t in self.run.ranked()), None)
        for loser in {number, self._best or 0} - {best, 0}:
            self.run.weights(loser).unlink(missing_ok=True)
        self._best = best


def _end_time(trial: FrozenTrial) -> float:
    assert trial.datetime_complete is not None, "it has ended"
    return trial.datetime_complete.timestamp()
