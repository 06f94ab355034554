"""The coordinator: it alone asks, tells and records; trials run elsewhere."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Collection, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from actsearch.errors import StudyError
from actsearch.placement import Placement
from actsearch.search.executor import Executor
from actsearch.search.pinned import PinnedSampler
from actsearch.search.plan import LEARNING_RATE
from actsearch.search.sampler import derive, make_pruner, make_sampler
from actsearch.search.schedule import HIGHEST, LOWEST, turn
from actsearch.search.screening import Screening
from actsearch.search.specification import Outcome
from actsearch.search.study import StudyRun, outcome_of

ATTEMPTS = 3


class Listener:
    """What wants to know of a search while it runs: progress on a terminal, the mirror in MLflow. It cannot change it."""

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

    def __init__(self, run: StudyRun, executor: Executor, jobs: int = 1, listeners: Sequence[Listener] = ()) -> None:
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

    def search(self, total: int, seconds: float = math.inf, reserved: int = 0) -> None:
        """Run trials until the study has ``total``; those of earlier processes count, and unfinished ones are taken up again.

        Args:
            total: trials, the baseline included.
            seconds: wall-clock time that all may take: no trial is started that would not leave enough of it.
            reserved: trainings that are still to come after the search, for a confirmation.

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
                while len(self._running) < self.jobs and not self._baseline_is_running() and self._room(total):
                    self._start(total)
                for number, outcome in self.executor.wait(self._report):
                    self._end(number, outcome)
        finally:
            self.executor.close()
            for number in self._running:
                self._set_waiting(number)
            self._tell("ended")

    def _tell(self, event: str, *details: Any) -> None:
        for listener in self.listeners:
            getattr(listener, event)(*details)

    def _room(self, total: int) -> bool:
        trials = self.run.trials
        waiting = sum(t.state == TrialState.WAITING for t in trials)
        return len(trials) - waiting < total and not self._out_of_time(trials)

    def _out_of_time(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether one more training and those reserved would outlast the time, by the median of those that ran to the end."""
        if math.isinf(self._end_by):
            return False
        seconds = [s for t in trials if t.state == TrialState.COMPLETE and (s := outcome_of(t)["seconds"])]
        each = statistics.median(seconds) if seconds else 0.0
        return time.monotonic() + each * (1 + self._reserved / self.jobs) > self._end_by

    def _baseline_is_running(self) -> bool:
        """Whether to hold back: until the baseline has ended, nobody knows that this model trains, and at what rate."""
        return any(self.run.trials[number].user_attrs["stage"] == "baseline" for number in self._running)

    def _take_up(self) -> None:
        """Queue again what a dead process left running, under the same number and parameters; give up after some attempts."""
        for trial in self.run.trials:
            if trial.state == TrialState.RUNNING:
                attempts = trial.user_attrs.get("attempts", 1)
                if attempts >= ATTEMPTS:
                    self._record(
                        trial.number, Outcome("failed", f"lost: the search died {attempts} times in this trial")
                    )
                    self.run.study.tell(trial.number, state=TrialState.FAIL)
                else:
                    self._set_attribute(trial.number, "attempts", attempts + 1)
                    self._set_waiting(trial.number)

    def _identity(self, number: int) -> int:
        storage = self.run.store.storage()
        return storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(self.run.name), number)

    def _set_waiting(self, number: int) -> None:
        self.run.store.storage().set_trial_state_values(self._identity(number), TrialState.WAITING)

    def _set_attribute(self, number: int, key: str, value: Any) -> None:
        self.run.store.storage().set_trial_user_attr(self._identity(number), key, value)

    def _start(self, total: int) -> None:
        plan, study = self.run.plan, self.run.study
        trials = self.run.trials
        number = min((t.number for t in trials if t.state == TrialState.WAITING), default=len(trials))
        this = turn(self.run, number, total)
        sampler = make_sampler(plan.sampler, derive(plan.seed, number), len(plan.objectives), self._earlier)
        study.sampler = PinnedSampler(sampler, this.given, this.leaders)
        study.pruner = make_pruner(plan.pruner, self.run.probe.get("max_epochs") or 1, plan.whole)
        trial = study.ask()
        placement = self.run.decisions.suggest(trial) if this.stage != "baseline" or self.run.own is not None else None
        if this.stage == "baseline":
            placement = None
        factor = trial.user_attrs.get(LEARNING_RATE, this.learning_rate_factor)  # a trial taken up again keeps its own
        if factor is None:
            factor = trial.suggest_float(LEARNING_RATE, LOWEST, HIGHEST, log=True)
        data = None if placement is None else json.loads(placement.dumps())
        attributes = {"placement": data, "stage": this.stage, LEARNING_RATE: factor}
        for key, value in attributes.items():
            trial.set_user_attr(key, value)
        self._running[trial.number] = trial
        # A trial taken up again repeats its first epochs.
        self._reported[number] = trials[number].intermediate_values if number < len(trials) else ()
        self._tell("trial_started", trial.number, placement)
        if twin := self._screening.twin(trial.number):
            same = {key: outcome_of(twin)[key] for key in ("metrics", "history")}
            self._end(
                trial.number, Outcome("complete", f"same placement as trial {twin.number}, not trained again", **same)
            )
            return
        if reason := self._screening.refusal(trial.number, placement):
            self._end(trial.number, Outcome("pruned", f"refused: {reason}"))
            return
        folder = self.run.folder / "trials" / f"{trial.number:05d}"
        watch = None if this.stage == "baseline" else self._standard()
        changes: dict[str, Any] = {"learning_rate_factor": factor, "shares": plan.shares, "watch": watch}
        self.executor.submit(
            trial.number, self.run.specification(data, folder=str(folder), log=str(folder / "log.txt"), **changes)
        )

    def _standard(self) -> dict[str, Any]:
        """Return what the baseline showed in its first steps; the one as it comes where the best was not trained itself."""
        best = self.run.baseline
        found: dict[str, Any] = (outcome_of(best).get("first_steps") if best else None) or outcome_of(
            self.run.trials[0]
        )["first_steps"]
        return found

    def _report(self, number: int, step: int, metrics: dict[str, float]) -> bool:
        trial, plan = self._running[number], self.run.plan
        self._tell("reported", number, step, metrics)
        metric = plan.objectives[0].metric
        if len(plan.objectives) > 1 or metric not in metrics or (plan.fidelity == "data" and step >= plan.whole):
            return False
        if step not in self._reported[number]:
            trial.report(metrics[metric], step)
        return number != 0 and trial.should_prune()

    def _end(self, number: int, outcome: Outcome) -> None:
        trial = self._running[number]
        values = [outcome.metrics.get(objective.metric, math.nan) for objective in self.run.plan.objectives]
        if outcome.state == "complete" and not all(map(math.isfinite, values)):
            outcome = Outcome(
                "failed", f"diverged: {dict(zip(outcome.metrics, values, strict=False))}", history=outcome.history
            )
        violations = {}
        if outcome.state == "complete":
            violations = {b: b.violation(outcome.metrics.get(b.metric, math.nan)) for b in self.run.plan.bounds}
            for bound, by in violations.items():
                trial.set_constraint(bound.metric, by)
        self._record(number, outcome, [f"{b.metric} by {by:.4g}" for b, by in violations.items() if by > 0])
        if outcome.state == "complete":
            self.run.study.tell(trial, values, skip_if_finished=True)
        else:
            state = TrialState.PRUNED if outcome.state == "pruned" else TrialState.FAIL
            self.run.study.tell(trial, state=state, skip_if_finished=True)
        del self._running[number]
        self._keep_best_weights(number)
        self._tell("trial_ended", self.run.trials[number])
        if number == 0 and outcome.state != "complete":
            raise StudyError(f"the baseline, the model's own activations, must train, but ended: {outcome.reason}.")

    def _record(self, number: int, outcome: Outcome, violated: Sequence[str] = ()) -> None:
        details = {
            "violated": list(violated),
            "reason": outcome.reason,
            "metrics": outcome.metrics,
            "history": outcome.history,
            "seconds": outcome.seconds,
            "first_steps": outcome.first_steps,
        }
        self._set_attribute(number, "outcome", details)

    def _keep_best_weights(self, number: int) -> None:
        """Keep the weights of the best trial and of the baseline; those of the others would fill the disk."""
        best = next((t.number for t in self.run.ranked()), None)
        for loser in {number, self._best} - {best, 0, None}:
            (self.run.folder / "trials" / f"{loser:05d}" / "weights.safetensors").unlink(missing_ok=True)
        self._best = best
