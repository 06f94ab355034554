"""A study: its options, its record, its files, and the questions that everyone asks of it."""

from __future__ import annotations

import json
import uuid
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from actsearch.errors import StudyError
from actsearch.placement import Placement
from actsearch.search.space.choices import BoundSpace, bind
from actsearch.search.study.config import ATTRIBUTE, LEARNING_RATE, StudyConfig
from actsearch.search.study.pareto import front, knee
from actsearch.search.study.resolve import completed
from actsearch.search.study.store import Store
from actsearch.search.study.trials import PHASE as PHASE
from actsearch.search.study.trials import RESULT as RESULT
from actsearch.search.study.trials import counts as counts
from actsearch.search.study.trials import is_spared as is_spared
from actsearch.search.study.trials import phase_of as phase_of
from actsearch.search.training.job import WEIGHTS, Job, JobKind, ModelInfo, Result, State

MODEL_INFO = "actsearch.probe"
"""The attribute of a study that has what was seen in the model."""

Grouping = Literal["model", "block", "layer"]
"""What takes one choice."""


@dataclass
class StudyRun:
    """A study that is open in this process: its options, its record, what was seen in the model.

    Args:
        name: the study's name.
        store: where it lives.
        config: its options.
        study: Optuna's record.
        model_info: what was seen in the model before the first trial.
    """

    name: str
    store: Store
    config: StudyConfig
    study: optuna.Study
    model_info: ModelInfo
    _read: tuple[int, list[FrozenTrial]] | None = field(default=None, init=False, repr=False)

    @classmethod
    def load(cls, store: Store, name: str) -> StudyRun:
        """Open a study that exists, to read or go on.

        Raises:
            UnknownNameError: no such study.
            StudyError: an Optuna study that actsearch did not make, or a damaged record.
        """
        study = store.load(name)
        with store.guarded():
            attributes = study.user_attrs
        if ATTRIBUTE not in attributes:
            raise StudyError(
                f"study {name!r} must be one that actsearch made, but has no options of ours."
                " Choose another."
            )
        try:
            config = StudyConfig.loads(attributes[ATTRIBUTE])
            info = ModelInfo.loads(attributes[MODEL_INFO])
        except (ValueError, TypeError, KeyError) as error:
            raise StudyError(
                f"study {name!r} in {store.record} must have options that can be read, but:"
                f" {error}. Put back a copy of the record, or choose another study."
            ) from None
        return cls(name, store, config, study, info)

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.store.folder(self.name)

    def weights(self, number: int, part: Literal["trials", "confirmed"] = "trials") -> Path:
        """Return where the weights of a trial are, if a training of that part has kept them."""
        return self.folder / part / f"{number:05d}" / WEIGHTS

    def job(self, placement: Placement | None, kind: JobKind = "search", **changes: Any) -> Job:
        """Return one training of this study, as its options and its model want it."""
        return self.config.job(placement, kind, self.model_info, **changes)

    @property
    def tested(self) -> bool:
        """Whether a confirmation is scored on a test split that the search never saw."""
        if self.config.model:  # a loop tells by what it returns
            return self.config.test_metric in result_of(self.trials[0]).metrics
        return self.model_info.has_test

    @cached_property
    def space(self) -> BoundSpace:
        """What each trial chooses."""
        return bound_space(self.config, self.model_info)

    @cached_property
    def own(self) -> dict[str, Any] | None:
        """The parameters that stand for the model's own activations.

        ``None`` where the space has none.
        """
        return self.space.own()

    @cached_property
    def groups(self) -> dict[Grouping, list[list[str]]]:
        """Which sites take the same choice, by granularity; each way of grouping once."""
        found: dict[Grouping, list[list[str]]] = {}
        parts: tuple[Grouping, ...] = ("model", "block", "layer")
        for granularity in parts:
            content = {**self.config.space_content, "granularity": granularity}
            bound = bound_space(replace(self.config, space_content=content), self.model_info)
            groups = [[site.name for site in choice.sites] for choice in bound.choices]
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
        """Every trial of the record, read again where it may have changed."""
        self.store.hold(self.name)
        written = self.store.writes
        if self._read is None or self._read[0] != written or not self.store.owns(self.name):
            with self.store.guarded():
                self._read = written, self.study.get_trials(deepcopy=False)
        return self._read[1]

    def placement(self, trial: FrozenTrial) -> Placement | None:
        """Return what a trial put where; ``None`` for the model's own activations."""
        data = trial.user_attrs.get("placement")
        return None if data is None else Placement.model_validate(data)

    def factor(self, trial: FrozenTrial | None) -> float:
        """Return the factor on the learning rate that a trial was trained with."""
        return float(trial.user_attrs.get(LEARNING_RATE, 1.0)) if trial is not None else 1.0

    def is_baseline(self, trial: FrozenTrial) -> bool:
        """Whether a trial has the model's own activations, at whatever learning rate."""
        own = self.own
        if trial.user_attrs.get("placement") is None or own is None:
            return trial.user_attrs.get("placement") is None
        # First what most trials fail in, which makes no dictionary of each.
        return own.items() <= trial.params.items() and self.choices(trial) == own

    @staticmethod
    def choices(trial: FrozenTrial) -> dict[str, Any]:
        """Return what a trial decided of the activations."""
        return {name: value for name, value in trial.params.items() if name != LEARNING_RATE}

    @property
    def baseline(self) -> FrozenTrial | None:
        """The model's own activations at the learning rate that suited them best.

        ``None`` where they were not trained.
        """
        sign = 1 if self.config.goals[0].mode == "min" else -1
        trained = [t for t in self.trials if t.state == TrialState.COMPLETE and self.is_baseline(t)]
        return min(trained, key=lambda t: sign * t.values[0], default=None)

    def ranked(self) -> list[FrozenTrial]:
        """Return the trials that were trained to the end within every bound, the best first.

        Equals in order of number.

        With several objectives the Pareto front comes first, and in it the trial at its knee; then
        by the first objective.
        """
        signs = [1 if objective.mode == "min" else -1 for objective in self.config.goals]
        trained = [t for t in self.trials if t.state == TrialState.COMPLETE and not is_spared(t)]
        feasible = [t for t in trained if not t.user_attrs.get(RESULT, {}).get("violated")]
        ordered = sorted(feasible, key=lambda t: (signs[0] * t.values[0], t.number))
        if len(signs) == 1 or not ordered:
            return ordered
        points = [t.values for t in ordered]
        best = [knee(points, signs), *front(points, signs)]
        rest = [index for index in range(len(ordered)) if index not in best]
        return [ordered[index] for index in dict.fromkeys([*best, *rest])]

    def candidates(self, top: int) -> list[FrozenTrial]:
        """Return the best trials that differ from each other and from the baseline.

        The best of the famous is among them.

        Whatever was searched must beat the best of what people try by hand, so that one competes as
        well.
        """
        different: dict[frozenset[tuple[str, Any]], FrozenTrial] = {}
        for trial in self.ranked():
            if not self.is_baseline(trial):
                different.setdefault(frozenset(self.choices(trial).items()), trial)
        chosen = list(different.values())
        best = chosen[:top]
        famous = [self.choices(t) for t in self.trials if phase_of(t) == "famous"]
        known = next((trial for trial in chosen if self.choices(trial) in famous), None)
        if known is not None and known not in best and top > 1:
            best[-1] = known
        return best


def result_of(trial: FrozenTrial) -> Result:
    """Return what was recorded of a trial's end; an empty result for one that has not ended."""
    state: State = "failed"
    if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
        state = "complete" if trial.state == TrialState.COMPLETE else "pruned"
    return Result.recorded(state, trial.user_attrs.get(RESULT, {}))


def bound_space(config: StudyConfig, info: ModelInfo) -> BoundSpace:
    """Return what each trial of a study chooses in the model that was seen.

    Raises:
        SearchSpaceError: the space does not fit the model.
    """
    return bind(config.search_space, info.found, config.force, config.requirement)


def find_study(store: Store, name: str, config: StudyConfig) -> StudyRun | None:
    """Return the study of that name where it was made to the end, so that it can be resumed.

    Raises:
        StudyError: it has other options.
    """
    if name not in store.names() or ATTRIBUTE not in store.load(name).user_attrs:
        return None
    run = StudyRun.load(store, name)
    config.check_same(completed(run.config), name)
    return run


def open_study(
    store: Store, name: str, config: StudyConfig, info: ModelInfo, warm_start: str = ""
) -> StudyRun:
    """Open the study of that name, or make it from what was seen in the model.

    Args:
        store: where it lives.
        name: its name.
        config: its options.
        info: what was seen in the model.
        warm_start: name of an earlier study whose best are tried first.

    Raises:
        StudyError: a study of that name has other options.
    """
    if (found := find_study(store, name, config)) is not None:
        return found
    earlier = StudyRun.load(store, warm_start).candidates(5) if warm_start else []
    storage = store.storage(create=True)
    if name in store.names():  # a process died while it made the study
        optuna.delete_study(study_name=name, storage=storage)
    directions = [objective.direction for objective in config.goals]
    study = optuna.create_study(study_name=name, storage=storage, directions=directions)
    with warnings.catch_warnings():  # Optuna calls it experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.metric for objective in config.goals])
    run = StudyRun(name, store, config, study, info)
    study.set_user_attr("actsearch.identity", uuid.uuid4().hex)
    study.set_user_attr(MODEL_INFO, info.dumps())
    study.set_user_attr("actsearch.warm_start", json.dumps([trial.params for trial in earlier]))
    own = run.own or {}
    study.enqueue_trial(
        own | {LEARNING_RATE: 1.0} if own and config.learning_rate == "searched" else own
    )
    study.set_user_attr(ATTRIBUTE, config.dumps())  # last: from here on the study exists
    return run


def finished(trials: Iterable[FrozenTrial]) -> dict[str, int]:
    """Count trials by how they ended."""
    return dict(Counter(trial.state.name.lower() for trial in trials))
