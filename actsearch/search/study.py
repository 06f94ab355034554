"""The coordinator: it alone asks, tells and records; trials run elsewhere."""

from __future__ import annotations

import json
import math
import statistics
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from actsearch.errors import StudyError, TaskError
from actsearch.placement import FoundSite, Placement, Sites
from actsearch.placement.placement import write_text
from actsearch.search.decisions import Decisions, decide
from actsearch.search.executor import Executor
from actsearch.search.gate import UNKNOWN_RANGE, check_function
from actsearch.search.plan import ATTRIBUTE, Plan
from actsearch.search.sampler import derive, make_pruner, make_sampler
from actsearch.search.space import SearchSpace
from actsearch.search.pareto import front, knee
from actsearch.search.specification import Outcome, Specification, Stage
from actsearch.search.store import Store

PROBE = -1
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


@dataclass
class StudyRun:
    """A study that is open in this process: its record, its plan, what was found in the model.

    Args:
        name: the study's name.
        store: where it lives.
        plan: its plan.
        study: Optuna's record.
        probe: what the model showed before the first trial.
    """

    name: str
    store: Store
    plan: Plan
    study: optuna.Study
    probe: dict[str, Any]
    _decisions: Decisions | None = field(default=None, repr=False)

    @classmethod
    def load(cls, store: Store, name: str) -> StudyRun:
        """Open a study that exists, to read or go on.

        Raises:
            UnknownNameError: no such study.
            StudyError: an Optuna study that actsearch did not make.
        """
        study = store.load(name)
        attributes = study.user_attrs
        if ATTRIBUTE not in attributes:
            raise StudyError(f"study {name!r} must be one that actsearch made, but has no plan. Choose another.")
        return cls(name, store, Plan.loads(attributes[ATTRIBUTE]), study, json.loads(attributes["actsearch.probe"]))

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.store.folder(self.name)

    def specification(self, placement: dict[str, Any] | None, stage: Stage = "search", **changes: Any) -> Specification:
        """Return one training of this study; an input is at hand where the sites can be found with one only."""
        traced = self.probe["method"] != "function mode"
        return self.plan.specification(placement, stage, **{"example": not traced, **changes})

    @property
    def sites(self) -> Sites:
        """The sites that were found in the model."""
        return sites_of(self.probe)

    @property
    def decisions(self) -> Decisions:
        """What each trial decides."""
        if self._decisions is None:
            self._decisions = decisions_of(self.plan, self.probe)
        return self._decisions

    @property
    def trials(self) -> list[FrozenTrial]:
        """Every trial of the record."""
        return self.study.get_trials(deepcopy=False)

    def placement(self, trial: FrozenTrial) -> Placement | None:
        """Return what a trial put where; ``None`` for the model's own activations."""
        data = trial.user_attrs.get("placement")
        return None if data is None else Placement.model_validate(data)

    def ranked(self) -> list[FrozenTrial]:
        """Return the completed trials within every bound, the best first; equals in order of number.

        With several objectives the Pareto front comes first, and in it the trial at its knee; then by the first objective.
        """
        signs = [1 if objective.mode == "min" else -1 for objective in self.plan.objectives]
        feasible = [t for t in self.trials if t.state == TrialState.COMPLETE and not outcome_of(t).get("violated")]
        ordered = sorted(feasible, key=lambda t: (signs[0] * t.values[0], t.number))
        if len(signs) == 1 or not ordered:
            return ordered
        points = [t.values for t in ordered]
        best = [knee(points, signs), *front(points, signs)]
        rest = [index for index in range(len(ordered)) if index not in best]
        return [ordered[index] for index in dict.fromkeys([*best, *rest])]

    def candidates(self, top: int) -> list[FrozenTrial]:
        """Return the best trials that differ from each other and from the baseline."""
        seen: list[dict[str, Any]] = [self.decisions.own() or {}]
        chosen: list[FrozenTrial] = []
        for trial in self.ranked():
            if trial.number and trial.params not in seen:
                seen.append(trial.params)
                chosen.append(trial)
        return chosen[:top]


def outcome_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return what was recorded of a trial's end: metrics, history, seconds, reason."""
    recorded: dict[str, Any] = trial.user_attrs.get("outcome", {})
    return recorded


def probe(plan: Plan, executor: Executor) -> dict[str, Any]:
    """Run one batch of the model's own training, to find its sites and to refuse bad input before anything is written.

    Raises:
        TaskError: the task cannot be built or trained, or does not log an objective.
    """
    executor.submit(PROBE, plan.specification(None, "probe"))
    ended: list[tuple[int, Outcome]] = []
    while not ended:
        ended = executor.wait(lambda *_: False)
    outcome = ended[0][1]
    if outcome.state != "complete":
        kind, _, text = outcome.reason.partition(": ")
        raise TaskError(
            f"{plan.task} cannot be trained: {text if kind == 'refused' else outcome.reason}".rstrip(".") + "."
        )
    return outcome.probe


def survey(plan: Plan, executor: Executor) -> dict[str, Any]:
    """Look at the model and refuse what cannot work, before anything is written.

    Raises:
        SearchSpaceError: the space does not fit the model.
        TaskError: the task cannot be trained as asked.
        UnknownNameError, InvalidValueError: no such sampler or pruner, or not for these objectives.
    """
    make_sampler(plan.sampler, 0, len(plan.objectives))
    make_pruner(plan.pruner, 1)
    seen = probe(plan, executor)
    decisions_of(plan, seen)
    return seen


def sites_of(seen: dict[str, Any]) -> Sites:
    """Return the sites that a probe found."""
    return Sites([FoundSite(**site) for site in seen["sites"]], seen["method"], [(a, b) for a, b in seen["missed"]])


def decisions_of(plan: Plan, seen: dict[str, Any]) -> Decisions:
    """Return what each trial of a plan decides in the model that a probe saw."""
    return decide(
        SearchSpace.model_validate(plan.space_content), sites_of(seen), bool(plan.options.get("force")), plan.require
    )


def open_study(store: Store, name: str, plan: Plan, seen: dict[str, Any] | None, warm_start: str = "") -> StudyRun:
    """Open a study under its plan: the one of that name where it exists, else a new one from what the survey saw.

    Raises:
        StudyError: a study of that name has another plan.
    """
    if seen is None:
        run = StudyRun.load(store, name)
        plan.check_same(run.plan, name)
        return run
    earlier = StudyRun.load(store, warm_start).candidates(5) if warm_start else []
    storage = store.storage(create=True)
    if name in store.names():  # a process died while it made the study
        optuna.delete_study(study_name=name, storage=storage)
    directions = [objective.direction for objective in plan.objectives]
    study = optuna.create_study(study_name=name, storage=storage, directions=directions)
    run = StudyRun(name, store, plan, study, seen)
    study.set_user_attr("actsearch.identity", uuid.uuid4().hex)
    study.set_user_attr("actsearch.probe", json.dumps(seen))
    study.enqueue_trial(run.decisions.own() or {})
    for trial in earlier:
        study.enqueue_trial(trial.params)
    study.set_user_attr(ATTRIBUTE, plan.dumps())  # last: from here on the study exists
    return run


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
        self._best: int | None = None
        self._end_by = math.inf
        self._reserved = 0
        self._verdicts: dict[str, str] = {}

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
            while self._room(total) or self._running:
                while len(self._running) < self.jobs and self._room(total) and not self._baseline_is_running():
                    self._start()
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
        """Whether to hold back: until the baseline has ended, nobody knows that this model trains at all."""
        return 0 in self._running

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

    def _start(self) -> None:
        plan, study = self.run.plan, self.run.study
        trials = self.run.trials
        waiting = [t.number for t in trials if t.state == TrialState.WAITING]
        number = min(waiting, default=len(trials))
        study.sampler = make_sampler(plan.sampler, derive(plan.seed, number), len(plan.objectives))
        study.pruner = make_pruner(plan.pruner, self.run.probe.get("max_epochs") or 1)
        trial = study.ask()
        placement = self.run.decisions.suggest(trial) if trial.number or self.run.decisions.own() is not None else None
        if trial.number == 0:
            placement = None
        data = None if placement is None else json.loads(placement.dumps())
        trial.set_user_attr("placement", data)
        self._running[trial.number] = trial
        self._tell("trial_started", trial.number, placement)
        if twin := self._twin(trial.number):
            same = {key: outcome_of(twin)[key] for key in ("metrics", "history")}
            self._end(
                trial.number, Outcome("complete", f"same placement as trial {twin.number}, not trained again", **same)
            )
            return
        if reason := self._refusal(placement):
            self._end(trial.number, Outcome("pruned", f"refused: {reason}"))
            return
        folder = self.run.folder / "trials" / f"{trial.number:05d}"
        self.executor.submit(
            trial.number, self.run.specification(data, folder=str(folder), log=str(folder / "log.txt"))
        )

    def _refusal(self, placement: Placement | None) -> str:
        """Return why a placement is not worth a training: a function that is not finite, or constant; empty where it is."""
        for site, entry in (placement.sites if placement else {}).items():
            key = entry.model_dump_json(exclude={"channels", "channel_dim", "share"})
            if key not in self._verdicts:
                self._verdicts[key] = check_function(entry.build(channels=1).plain(), *UNKNOWN_RANGE).reason
            if self._verdicts[key]:
                return f"{entry.activation} at {site}: {self._verdicts[key]}"
        return ""

    def _twin(self, number: int) -> FrozenTrial | None:
        """Return a completed trial of the same parameters: with the same seed this one would end the same."""
        *earlier, this = self.run.trials[: number + 1]
        same = (trial for trial in earlier if trial.state == TrialState.COMPLETE and trial.params == this.params)
        return next(same, None) if this.params else None

    def _report(self, number: int, epoch: int, metrics: dict[str, float]) -> bool:
        trial = self._running[number]
        self._tell("reported", number, epoch, metrics)
        metric = self.run.plan.objectives[0].metric
        if len(self.run.plan.objectives) > 1 or number == 0 or metric not in metrics:
            return False
        if epoch not in self.run.trials[number].intermediate_values:  # a trial taken up again repeats its first epochs
            trial.report(metrics[metric], epoch)
        return trial.should_prune()

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
        }
        self._set_attribute(number, "outcome", details)

    def _keep_best_weights(self, number: int) -> None:
        """Keep the weights of the best trial and of the baseline; those of the others would fill the disk."""
        best = next((t.number for t in self.run.ranked()), None)
        for loser in {number, self._best} - {best, 0, None}:
            (self.run.folder / "trials" / f"{loser:05d}" / "weights.safetensors").unlink(missing_ok=True)
        self._best = best


def write_best(run: StudyRun, placement: Placement, found: dict[str, Any]) -> Path:
    """Write a study's placement file with where it comes from."""
    from importlib.metadata import version

    versions = {package: version(package) for package in ("actsearch", "torch")}
    origin = {
        "study": run.name,
        "task": run.plan.task,
        **found,
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions,
    }
    return write_text(run.folder / "best.json", placement.model_copy(update={"found": origin}).dumps())


def finished(trials: Iterable[FrozenTrial]) -> dict[str, int]:
    """Count trials by how they ended."""
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.state.name.lower()] = counts.get(trial.state.name.lower(), 0) + 1
    return counts
