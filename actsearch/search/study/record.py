"""A study: its plan, its record, its files, and the questions that everyone asks of it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from actsearch.errors import InvalidValueError, StudyError, TaskError
from actsearch.placement import FoundSite, Placement, Sites
from actsearch.placement.files import write_text
from actsearch.search.executors.executor import Executor
from actsearch.search.samplers.by_name import make_pruner, make_sampler
from actsearch.search.space.choices import Decisions, decide
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.study.config import ATTRIBUTE, LEARNING_RATE, Plan
from actsearch.search.study.pareto import front, knee
from actsearch.search.study.store import Store
from actsearch.search.training.job import Outcome, Specification, Stage

PROBE = -1


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
            raise StudyError(
                f"study {name!r} must be one that actsearch made, but has no plan. Choose another."
            )
        return cls(
            name,
            store,
            Plan.loads(attributes[ATTRIBUTE]),
            study,
            json.loads(attributes["actsearch.probe"]),
        )

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.store.folder(self.name)

    def specification(
        self, placement: dict[str, Any] | None, stage: Stage = "search", **changes: Any
    ) -> Specification:
        """Return one training of this study.

        An input is at hand where the sites can be found with one only.
        """
        traced = self.probe["method"] != "function mode"
        score = self.plan.score or ("best" if self.probe.get("restores_best") else "last")
        own = {"example": not traced, "score": score, "threads": int(bool(self.probe.get("small")))}
        return self.plan.specification(placement, stage, **{**own, **changes})

    @property
    def tested(self) -> bool:
        """Whether a confirmation is scored on a test split that the search never saw."""
        if self.plan.model:  # a loop tells by what it returns
            return self.plan.test_metric in outcome_of(self.trials[0]).get("metrics", {})
        return bool(self.probe.get("has_test"))

    @property
    def sites(self) -> Sites:
        """The sites that were found in the model."""
        return sites_of(self.probe)

    @cached_property
    def decisions(self) -> Decisions:
        """What each trial decides."""
        return decisions_of(self.plan, self.probe)

    @cached_property
    def own(self) -> dict[str, Any] | None:
        """The parameters that stand for the model's own activations, or ``None`` where the space has none."""
        return self.decisions.own()

    @cached_property
    def groups(self) -> dict[str, list[list[str]]]:
        """Which sites take the same choice, by granularity; each way of grouping once."""
        found: dict[str, list[list[str]]] = {}
        for granularity in ("model", "block", "layer"):
            content = {**self.plan.space_content, "granularity": granularity}
            decided = decisions_of(replace(self.plan, space_content=content), self.probe)
            groups = [[site.name for site in decision.sites] for decision in decided.all]
            if groups not in found.values():
                found[granularity] = groups
        return found

    @property
    def warm_start(self) -> list[dict[str, Any]]:
        """Parameters of the best trials of an earlier study, to be tried first."""
        parameters: list[dict[str, Any]] = json.loads(self.study.user_attrs["actsearch.warm_start"])
        return parameters

    @property
    def trials(self) -> list[FrozenTrial]:
        """Every trial of the record."""
        return self.study.get_trials(deepcopy=False)

    def placement(self, trial: FrozenTrial) -> Placement | None:
        """Return what a trial put where; ``None`` for the model's own activations."""
        data = trial.user_attrs.get("placement")
        return None if data is None else Placement.model_validate(data)

    def factor(self, trial: FrozenTrial | None) -> float:
        """Return the factor on the learning rate that a trial was trained with."""
        return float(trial.user_attrs.get(LEARNING_RATE, 1.0)) if trial is not None else 1.0

    def is_baseline(self, trial: FrozenTrial) -> bool:
        """Whether a trial has the model's own activations, at whatever learning rate."""
        return trial.user_attrs.get("placement") is None or self.choices(trial) == self.own

    @staticmethod
    def choices(trial: FrozenTrial) -> dict[str, Any]:
        """Return what a trial decided of the activations."""
        return {name: value for name, value in trial.params.items() if name != LEARNING_RATE}

    @property
    def baseline(self) -> FrozenTrial | None:
        """The model's own activations at the learning rate that suited them best.

        ``None`` where they were not trained.
        """
        sign = 1 if self.plan.objectives[0].mode == "min" else -1
        trained = [t for t in self.trials if t.state == TrialState.COMPLETE and self.is_baseline(t)]
        return min(trained, key=lambda t: sign * t.values[0], default=None)

    def ranked(self) -> list[FrozenTrial]:
        """Return the trials that were trained to the end within every bound, the best first.

        Equals in order of number.

        With several objectives the Pareto front comes first, and in it the trial at its knee; then
        by the first objective.
        """
        signs = [1 if objective.mode == "min" else -1 for objective in self.plan.objectives]
        trained = [t for t in self.trials if t.state == TrialState.COMPLETE and not is_spared(t)]
        feasible = [t for t in trained if not outcome_of(t).get("violated")]
        ordered = sorted(feasible, key=lambda t: (signs[0] * t.values[0], t.number))
        if len(signs) == 1 or not ordered:
            return ordered
        points = [t.values for t in ordered]
        best = [knee(points, signs), *front(points, signs)]
        rest = [index for index in range(len(ordered)) if index not in best]
        return [ordered[index] for index in dict.fromkeys([*best, *rest])]

    def candidates(self, top: int) -> list[FrozenTrial]:
        """Return the best trials that differ from each other and from the baseline, the best of the famous among them.

        Whatever was searched must beat the best of what people try by hand, so that one competes as
        well.
        """
        chosen: list[FrozenTrial] = []
        for trial in self.ranked():
            if not self.is_baseline(trial) and self.choices(trial) not in map(self.choices, chosen):
                chosen.append(trial)
        best = chosen[:top]
        famous = [self.choices(t) for t in self.trials if t.user_attrs.get("stage") == "famous"]
        known = next((trial for trial in chosen if self.choices(trial) in famous), None)
        if known is not None and known not in best and top > 1:
            best[-1] = known
        return best


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial counts as one of those that were asked for: it was trained, and not at a further learning rate."""
    return not is_spared(trial) and trial.user_attrs.get("stage") != "finalist"


def is_spared(trial: FrozenTrial) -> bool:
    """Whether a trial needed no training: refused, or of the same functions as an earlier one."""
    return bool(outcome_of(trial).get("spared"))


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
            f"{plan.task} cannot be trained: {text if kind == 'refused' else outcome.reason}".rstrip(
                "."
            )
            + "."
        )
    return outcome.probe


def survey(plan: Plan, executor: Executor) -> dict[str, Any]:
    """Look at the model and refuse what cannot work, before anything is written.

    Raises:
        SearchSpaceError: the space does not fit the model.
        TaskError: the task cannot be trained as asked.
        UnknownNameError, InvalidValueError: no such sampler or pruner, or not for these objectives.
    """
    make_sampler(plan.sampler, 0, len(plan.objectives), experience=plan.experience)
    make_pruner(plan.pruner, 1)
    seen = probe(plan, executor)
    if plan.shares and plan.model:
        raise InvalidValueError(
            "fidelity must be epochs for a training function, whose batches are its own, but got"
            f" {plan.fidelity!r}."
        )
    if plan.shares and seen["batches"] is not None and seen["batches"] < 1 / min(plan.shares):
        raise InvalidValueError(
            f"fidelity {plan.fidelity!r} must have at least {1 / min(plan.shares):.0f} batches in"
            f" an epoch, but got {seen['batches']}. Choose --fidelity epochs, or smaller batches."
        )
    decisions_of(plan, seen)
    return seen


def sites_of(seen: dict[str, Any]) -> Sites:
    """Return the sites that a probe found."""
    return Sites(
        [FoundSite(**site) for site in seen["sites"]],
        seen["method"],
        [(a, b) for a, b in seen["missed"]],
    )


def decisions_of(plan: Plan, seen: dict[str, Any]) -> Decisions:
    """Return what each trial of a plan decides in the model that a probe saw."""
    return decide(
        SearchSpace.model_validate(plan.space_content),
        sites_of(seen),
        bool(plan.options.get("force")),
        plan.require,
    )


def open_study(
    store: Store, name: str, plan: Plan, seen: dict[str, Any] | None, warm_start: str = ""
) -> StudyRun:
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
    study.set_user_attr("actsearch.warm_start", json.dumps([trial.params for trial in earlier]))
    own = run.own or {}
    study.enqueue_trial(
        own | {LEARNING_RATE: 1.0} if own and plan.learning_rate == "searched" else own
    )
    study.set_user_attr(ATTRIBUTE, plan.dumps())  # last: from here on the study exists
    return run


BEST, CANDIDATE = "best.json", "candidate.json"
"""The placement file of a study with a winner, and of one without: the best that was found."""


def write_best(run: StudyRun, placement: Placement, found: dict[str, Any], factor: float) -> Path:
    """Write a study's placement file with where it comes from: ``best.json`` for a winner, else ``candidate.json``.

    Args:
        run: the study.
        placement: what stands where.
        found: what is known of it; it is a winner where ``significant`` is true.
        factor: on the learning rate that it was trained with.
    """
    from importlib.metadata import version

    versions = {package: version(package) for package in ("actsearch", "torch")}
    origin = {
        "study": run.name,
        "task": run.plan.task,
        **found,
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions,
    }
    name, other = (BEST, CANDIDATE) if found["significant"] else (CANDIDATE, BEST)
    told = placement.model_copy(update={"found": origin, "learning_rate_factor": factor})
    path = write_text(run.folder / name, told.dumps())
    (run.folder / other).unlink(missing_ok=True)
    return path


def placement_file(run: StudyRun) -> Path | None:
    """Return a study's placement file: the winner's, else the candidate's.

    ``None`` where nothing was found yet.
    """
    return next((path for name in (BEST, CANDIDATE) if (path := run.folder / name).exists()), None)


def finished(trials: Iterable[FrozenTrial]) -> dict[str, int]:
    """Count trials by how they ended."""
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.state.name.lower()] = counts.get(trial.state.name.lower(), 0) + 1
    return counts
