"""The coordinator: it alone asks, tells and records; trials run elsewhere."""

from __future__ import annotations

import json
import math
import statistics
import time
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from actsearch.errors import ActsearchWarning, StudyError
from actsearch.placement import Placement
from actsearch.search.executors.executor import Executor
from actsearch.search.loop.phases import HIGHEST, LADDER, LOWEST, Turn, finalists, is_decided, turn
from actsearch.search.loop.screening import Screening
from actsearch.search.samplers.by_name import make_pruner, make_sampler
from actsearch.search.samplers.partial_fixed import PartialFixedSampler
from actsearch.search.study.config import LEARNING_RATE
from actsearch.search.study.record import StudyRun, counts, is_spared, outcome_of
from actsearch.search.training.job import Outcome
from actsearch.search.training.seeds import derive

ATTEMPTS = 3

REFERENCE = ("baseline", "famous")
"""What others are judged by is trained to the end."""

EXHAUSTED = 20
"""Proposals in a row that need no training, after which the space has nothing new."""


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
        self._earlier = [run.store.load(name) for name in run.plan.learn_from]

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
                while (
                    len(self._running) < self.jobs and self._room(total) and self._is_decided(total)
                ):
                    self._start(turn(self.run, self._next_number(), total))
                self._wait()
            self._tell_exhausted()
            if self.run.plan.learning_rate == "tuned" and total >= LADDER:
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

    def _finalist(self, top: int) -> Turn | None:
        """Return the next turn of a finalist, first what a dead process was about to.

        ``None`` where there is none, or no time.
        """
        trials = self.run.trials
        if self._out_of_time(trials):
            return None
        waiting = (t for t in trials if t.state == TrialState.WAITING)
        begun = (Turn("finalist", self.run.factor(t), self.run.choices(t)) for t in waiting)
        return next(begun, None) or next(finalists(self.run, top), None)

    def _wait(self) -> None:
        for number, outcome in self.executor.wait(self._report):
            self._end(number, outcome)

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

    def _is_decided(self, total: int) -> bool:
        return is_decided(self.run, self._next_number(), total)

    def _out_of_time(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether one more training and those reserved would outlast the time, by the median of those that ran to the end."""
        if math.isinf(self._end_by):
            return False
        seconds = [
            s for t in trials if t.state == TrialState.COMPLETE and (s := outcome_of(t)["seconds"])
        ]
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
                        Outcome("failed", f"lost: the search died {attempts} times in this trial"),
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

    def _start(self, this: Turn) -> None:
        plan, study = self.run.plan, self.run.study
        trials, number = self.run.trials, self._next_number()
        seed = derive(plan.seed, number)
        sampler = make_sampler(
            plan.sampler, seed, len(plan.objectives), self._earlier, plan.experience
        )
        study.sampler = PartialFixedSampler(sampler, this.given, this.leaders)
        study.pruner = make_pruner(plan.pruner, self.run.probe.get("max_epochs") or 1, plan.whole)
        trial = study.ask()
        placement = (
            self.run.decisions.suggest(trial)
            if this.stage != "baseline" or self.run.own is not None
            else None
        )
        if this.stage == "baseline":
            placement = None
        factor = trial.user_attrs.get(
            LEARNING_RATE, this.learning_rate_factor
        )  # a trial taken up again keeps its own
        if factor is None:
            factor = trial.suggest_float(LEARNING_RATE, LOWEST, HIGHEST, log=True)
        data = None if placement is None else json.loads(placement.dumps())
        stage = trial.user_attrs.get("stage", this.stage)
        attributes = {"placement": data, "stage": stage, LEARNING_RATE: factor}
        for key, value in attributes.items():
            trial.set_user_attr(key, value)
        self._running[trial.number] = trial
        # A trial taken up again repeats its first epochs.
        self._reported[number] = trials[number].intermediate_values if number < len(trials) else ()
        self._tell("trial_started", trial.number, placement)
        if known := self._screening.known(trial.number, placement):
            if known.state == "pruned":
                self._repeat(trial, known)
            self._end(trial.number, known, spared=True)
            return
        folder = self.run.folder / "trials" / f"{trial.number:05d}"
        watch = None if this.stage == "baseline" else self._standard()
        changes: dict[str, Any] = {
            "learning_rate_factor": factor, "shares": plan.shares, "watch": watch, "repeats": this.repeats,
            "folder": str(folder), "log": str(folder / "log.txt"),
        }  # fmt: skip
        self.executor.submit(trial.number, self.run.specification(data, **changes))

    def _repeat(self, trial: optuna.Trial, known: Outcome) -> None:
        """Give a trial the intermediate values of the one that it equals, by which a sampler judges what was cut short."""
        first = self.run.plan.objectives[0].metric
        for step, metrics in known.history if len(self.run.plan.objectives) == 1 else ():
            if first in metrics:
                trial.report(metrics[first], step)

    def _standard(self) -> dict[str, Any]:
        """Return what the baseline showed in its first steps.

        The one as it comes where the best was not trained itself.
        """
        best = self.run.baseline
        found: dict[str, Any] = (
            outcome_of(best).get("first_steps") if best else None
        ) or outcome_of(self.run.trials[0])["first_steps"]
        return found

    def _report(self, number: int, step: int, metrics: dict[str, float]) -> bool:
        trial, plan = self._running[number], self.run.plan
        self._tell("reported", number, step, metrics)
        metric = plan.objectives[0].metric
        if (
            len(plan.objectives) > 1
            or metric not in metrics
            or (plan.fidelity == "data" and step >= plan.whole)
        ):
            return False
        if step not in self._reported[number]:
            trial.report(metrics[metric], step)
        stop = trial.should_prune()  # asked of all: a pruner may keep its own books
        return stop and trial.user_attrs["stage"] not in REFERENCE

    def _end(self, number: int, outcome: Outcome, spared: bool = False) -> None:
        trial = self._running[number]
        values = [
            outcome.metrics.get(objective.metric, math.nan)
            for objective in self.run.plan.objectives
        ]
        if outcome.state == "complete" and not all(map(math.isfinite, values)):
            outcome = Outcome(
                "failed",
                f"diverged: {dict(zip(outcome.metrics, values, strict=False))}",
                history=outcome.history,
            )
        violations = {}
        if outcome.state == "complete":
            violations = {
                b: b.violation(outcome.metrics.get(b.metric, math.nan))
                for b in self.run.plan.bounds
            }
            for bound, by in violations.items():
                trial.set_constraint(bound.metric, by)
        self._record(
            number,
            outcome,
            [f"{b.metric} by {by:.4g}" for b, by in violations.items() if by > 0],
            spared,
        )
        if outcome.state == "complete":
            self.run.study.tell(trial, values, skip_if_finished=True)
        else:
            state = TrialState.PRUNED if outcome.state == "pruned" else TrialState.FAIL
            self.run.study.tell(trial, state=state, skip_if_finished=True)
        del self._running[number]
        self._keep_best_weights(number)
        self._tell("trial_ended", self.run.trials[number])
        if number == 0 and outcome.state != "complete":
            raise StudyError(
                "the baseline, the model's own activations, must train, but ended:"
                f" {outcome.reason}."
            )

    def _record(
        self, number: int, outcome: Outcome, violated: Sequence[str] = (), spared: bool = False
    ) -> None:
        details = {
            "spared": spared,
            "violated": list(violated),
            "reason": outcome.reason,
            "metrics": outcome.metrics,
            "history": outcome.history,
            "seconds": outcome.seconds,
            "cpu": outcome.cpu,
            "first_steps": outcome.first_steps,
        }
        self._set_attribute(number, "outcome", details)

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
