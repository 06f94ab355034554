"""The coordinator: it alone asks, tells and records; trials run elsewhere."""

from __future__ import annotations

import json
import math
import statistics
import time
import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from actsearch.errors import ActsearchWarning, StudyError
from actsearch.placement import Placement
from actsearch.search.executors.executor import Executor
from actsearch.search.loop.listener import Listener
from actsearch.search.loop.phases import (
    HIGHEST,
    LADDER,
    LOWEST,
    Phase,
    finalists,
    is_decided,
    next_phase,
)
from actsearch.search.loop.screening import Screening
from actsearch.search.samplers.by_name import make_pruner, make_sampler
from actsearch.search.samplers.partial_fixed import PartialFixedSampler
from actsearch.search.study.config import LEARNING_RATE
from actsearch.search.study.record import PHASE, RESULT, StudyRun, counts, is_spared, result_of
from actsearch.search.training.job import LossCurve, Result
from actsearch.search.training.seeds import derive

ATTEMPTS = 3

REPORTS = 10
"""Values of a training, evenly over its epochs, that the record keeps and the pruner judges."""

TO_THE_END = ("baseline", "famous")
"""What others are judged by is trained to the end."""

EXHAUSTED = 20
"""Proposals in a row that need no training, after which the space has nothing new."""


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
        self._running: dict[int, optuna.Trial] = {}
        self._reported: dict[int, Collection[int]] = {}
        self._best: int | None = None
        self._end_by = math.inf
        self._reserved = 0
        self._screening = Screening(run)
        self._earlier = [run.store.load(name) for name in run.config.learn_from]

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
        self._take_up()
        self._end_by = time.monotonic() + seconds
        self._reserved = reserved
        self._tell("started", self.run, total)
        try:
            # In this order, since whether there is room is a question to the record.
            while self._running or self._room(total):
                while len(self._running) < self.jobs and self._room(total):
                    number = self._next_number()
                    if not is_decided(self.run, number, total):
                        break
                    self._start(next_phase(self.run, number, total))
                self._wait()
            self._tell_exhausted()
            if self.run.config.learning_rate == "tuned" and total >= LADDER:
                self._tune(top)
        finally:
            self.executor.close()
            for number in self._running:
                self._set_waiting(number)
            self._tell("ended")

    def _tune(self, top: int) -> None:
        """Find the learning rate of each of the best few."""
        while True:
            while len(self._running) < self.jobs and (this := self._finalist(top)) is not None:
                self._start(this)
            if not self._running:
                return
            self._wait()

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

    def _wait(self) -> None:
        for number, result in self.executor.wait(self._report):
            self._end(number, result)

    def _tell(self, event: str, *details: Any) -> None:
        for listener in self.listeners:
            getattr(listener, event)(*details)

    def _room(self, total: int) -> bool:
        trials = self.run.trials
        counted = sum(counts(t) for t in trials if t.state != TrialState.WAITING)
        return counted < total and not self._out_of_time(trials) and not self._is_exhausted(trials)

    def _is_exhausted(self, trials: Sequence[FrozenTrial]) -> bool:
        last = [t for t in trials if t.state.is_finished()][-EXHAUSTED:]
        return len(last) == EXHAUSTED and all(map(is_spared, last)) and not self._running

    def _tell_exhausted(self) -> None:
        trials = self.run.trials
        if self._is_exhausted(trials):
            warnings.warn(
                f"the search stops after {sum(map(counts, trials))} trials: the last {EXHAUSTED}"
                " proposals had all been tried or refused. Choose a larger space.",
                ActsearchWarning,
                stacklevel=3,
            )

    def _next_number(self) -> int:
        trials = self.run.trials
        return min((t.number for t in trials if t.state == TrialState.WAITING), default=len(trials))

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

    def _take_up(self) -> None:
        """Queue again what a dead process left running, under the same number and parameters.

        Give up after some attempts.
        """
        for trial in self.run.trials:
            if trial.state == TrialState.RUNNING:
                attempts = trial.user_attrs.get("attempts", 1)
                if attempts >= ATTEMPTS:
                    self._record(
                        trial.number,
                        Result("failed", f"lost: the search died {attempts} times in this trial"),
                    )
                    self.run.study.tell(trial.number, state=TrialState.FAIL)
                else:
                    self._set_attribute(trial.number, "attempts", attempts + 1)
                    self._set_waiting(trial.number)

    def _identity(self, number: int) -> int:
        storage = self.run.store.storage()
        return storage.get_trial_id_from_study_id_trial_number(
            storage.get_study_id_from_name(self.run.name), number
        )

    def _set_waiting(self, number: int) -> None:
        self.run.store.storage().set_trial_state_values(self._identity(number), TrialState.WAITING)

    def _set_attribute(self, number: int, key: str, value: Any) -> None:
        self.run.store.storage().set_trial_user_attr(self._identity(number), key, value)

    def _start(self, phase: Phase) -> None:
        """Ask for a trial; end it at once where its outcome is known, else have it trained."""
        before = self.run.trials
        trial = self._ask(phase)
        placement = self._propose(trial, phase)
        number = trial.number
        self._running[number] = trial
        # A trial taken up again repeats its first epochs.
        self._reported[number] = before[number].intermediate_values if number < len(before) else ()
        self._tell("trial_started", number, placement)
        if known := self._screening.known(number, placement):
            if known.state == "pruned":
                self._repeat(trial, known)
            self._end(number, known)
            return
        folder = self.run.folder / "trials" / f"{number:05d}"
        job = self.run.job(
            placement,
            learning_rate_factor=trial.user_attrs[LEARNING_RATE],
            data_fractions=self.run.config.data_fractions,
            baseline=None if phase.name == "baseline" else self._baseline_curve(),
            repeats=max(phase.repeats, self.run.config.seeds_each(self.run.model_info)),
            folder=str(folder),
            log=str(folder / "log.txt"),
        )
        self.executor.submit(number, job)

    def _ask(self, phase: Phase) -> optuna.Trial:
        """Ask the study for a trial, by a sampler of its own: it depends on the number alone."""
        config, study = self.run.config, self.run.study
        seed = derive(config.seed, self._next_number())
        sampler = make_sampler(
            config.sampler, seed, len(config.goals), self._earlier, config.experience
        )
        study.sampler = PartialFixedSampler(sampler, phase.fixed, phase.tied)
        epochs = self.run.model_info.max_epochs or 1
        study.pruner = make_pruner(config.pruner, epochs, config.first_full_step)
        return study.ask()

    def _propose(self, trial: optuna.Trial, phase: Phase) -> Placement | None:
        """Let a trial choose, note it, and return its placement: none is the model as it is."""
        placement = None
        if phase.name != "baseline" or self.run.own is not None:
            placement = self.run.space.suggest(trial)
        if phase.name == "baseline":
            placement = None  # its parameters were suggested for the record alone
        # A trial taken up again keeps its factor.
        factor = trial.user_attrs.get(LEARNING_RATE, phase.learning_rate_factor)
        if factor is None:
            factor = trial.suggest_float(LEARNING_RATE, LOWEST, HIGHEST, log=True)
        data = None if placement is None else json.loads(placement.dumps())
        trial.set_user_attr("placement", data)
        trial.set_user_attr(PHASE, trial.user_attrs.get(PHASE, phase.name))
        trial.set_user_attr(LEARNING_RATE, factor)
        return placement

    def _repeat(self, trial: optuna.Trial, known: Result) -> None:
        """Give a trial the intermediate values of the one that it equals.

        By these a sampler judges what was cut short.
        """
        first = self.run.config.goals[0].metric
        for step, metrics in known.history if len(self.run.config.goals) == 1 else ():
            if first in metrics:
                trial.report(metrics[first], step)

    def _baseline_curve(self) -> LossCurve:
        """Return what the baseline showed in its first steps.

        The one as it comes where the best was not trained itself.
        """
        best = self.run.baseline
        curve = result_of(best).first_steps if best else LossCurve()
        return result_of(self.run.trials[0]).first_steps if curve == LossCurve() else curve

    def _report(self, number: int, step: int, metrics: dict[str, float]) -> bool:
        trial, config = self._running[number], self.run.config
        self._tell("reported", number, step, metrics)
        metric = config.goals[0].metric
        every = 1 if config.data_fractions else (self.run.model_info.max_epochs or 1) // REPORTS
        if every > 1 and (step + 1) % every:
            return False
        judged_by_data = config.fidelity == "data" and step >= config.first_full_step
        if len(config.goals) > 1 or metric not in metrics or judged_by_data:
            return False
        if step not in self._reported[number]:
            trial.report(metrics[metric], step)
        stop = trial.should_prune()  # asked of all: a pruner may keep its own books
        return stop and trial.user_attrs[PHASE] not in TO_THE_END

    def _end(self, number: int, result: Result) -> None:
        trial = self._running[number]
        values = [result.metrics.get(goal.metric, math.nan) for goal in self.run.config.goals]
        if result.state == "complete" and not all(map(math.isfinite, values)):
            goals = self.run.config.goals
            told = {goal.metric: value for goal, value in zip(goals, values, strict=True)}
            result = Result("failed", f"diverged: {told}", history=result.history)
        if result.state == "complete":
            result = replace(result, violated=self._violated(trial, result))
        self._record(number, result)
        if result.state == "complete":
            self.run.study.tell(trial, values, skip_if_finished=True)
        else:
            state = TrialState.PRUNED if result.state == "pruned" else TrialState.FAIL
            self.run.study.tell(trial, state=state, skip_if_finished=True)
        del self._running[number]
        self._keep_best_weights(number)
        self._tell("trial_ended", self.run.trials[number])
        if number == 0 and result.state != "complete":
            raise StudyError(
                "the baseline, the model's own activations, must train, but ended:"
                f" {result.reason}."
            )

    def _violated(self, trial: optuna.Trial, result: Result) -> list[str]:
        """Tell the trial how far each bound is broken, and return those that are."""
        violated = []
        for bound in self.run.config.bounds:
            by = bound.violation(result.metrics.get(bound.metric, math.nan))
            trial.set_constraint(bound.metric, by)
            if by > 0:
                violated.append(f"{bound.metric} by {by:.4g}")
        return violated

    def _record(self, number: int, result: Result) -> None:
        self._set_attribute(number, RESULT, result.record())

    def _keep_best_weights(self, number: int) -> None:
        """Keep the weights of the best trial and of the baseline.

        Those of the others would fill the disk.
        """
        best = next((t.number for t in self.run.ranked()), None)
        for loser in {number, self._best} - {best, 0, None}:
            (self.run.folder / "trials" / f"{loser:05d}" / "weights.safetensors").unlink(
                missing_ok=True
            )
        self._best = best
