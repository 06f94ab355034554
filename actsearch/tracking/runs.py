"""What a training is as a run of MLflow: its name, its tags, its parameters, its metrics."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from actsearch.placement import Placement
from actsearch.search.study.config import LEARNING_RATE, StudyConfig, flat
from actsearch.search.study.record import StudyRun, result_of
from actsearch.search.training.job import Result
from actsearch.search.training.target import LEAN_TRAINER
from actsearch.tracking.words import short

STATES = {
    TrialState.COMPLETE: ("complete", "FINISHED"),
    TrialState.PRUNED: ("pruned", "FINISHED"),
    TrialState.FAIL: ("failed", "FAILED"),
    TrialState.RUNNING: ("running", "RUNNING"),
    TrialState.WAITING: ("stopped", "KILLED"),
}
"""State of a trial as a tag, and its status in MLflow."""

OWN_RATES = ("task.learning_rate", "task.lr")
"""Options of a module that are its learning rate by their name."""

SILENT = {f"trainer.{name}" for name in LEAN_TRAINER if name != "max_epochs"}
"""Options that say nothing of a training: they are the same in every study."""


@dataclass(frozen=True)
class TrainingRun:
    """A training that has ended, as a run of MLflow.

    Args:
        name: what MLflow's tables call it.
        kind: ``baseline``, ``trial`` or ``confirm``.
        identity: tags by which it is found again.
        state: how it ended, as a tag.
        status: the same in MLflow's words.
        began: milliseconds since 1970.
        ended: likewise.
        metrics: name, value and step of each point.
        parameters: what it was trained with.
        tags: what else is told.
        placement: what stood where; ``None`` for the model's own activations.
    """

    name: str
    kind: str
    identity: dict[str, str]
    state: str
    status: str
    began: int
    ended: int
    metrics: list[tuple[str, float, int]]
    parameters: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    placement: Placement | None = None


def key_of(tags: Mapping[str, str]) -> str:
    """Return what a training of a study is found again by; empty for a run of somebody else."""
    if "actsearch.trial" in tags:
        return tags["actsearch.trial"]
    parts = [tags.get(f"actsearch.{part}", "") for part in ("arm", "seed", LEARNING_RATE)]
    return ":".join(parts) if all(parts) else ""


def trial_run(run: StudyRun, trial: FrozenTrial) -> TrainingRun:
    """Return a trial that has ended, as a run of MLflow."""
    placement, recorded = run.placement(trial), result_of(trial)
    state, status = STATES[trial.state]
    tags = {"actsearch.placement": short(run, trial)[:5000]}
    if recorded.reason:
        tags["actsearch.reason"] = recorded.reason[:5000]
    return TrainingRun(
        name=trial_name(trial.number, placement, run.factor(trial)),
        kind="baseline" if placement is None else "trial",
        identity={"actsearch.trial": str(trial.number)},
        state=state,
        status=status,
        began=milliseconds(trial.datetime_start),
        ended=milliseconds(trial.datetime_complete),
        metrics=list(_points(recorded)),
        parameters=trial.params | training_parameters(run.config, run.factor(trial)),
        tags=tags,
        placement=placement,
    )


def trial_name(number: int, placement: Placement | None, factor: float = 1.0) -> str:
    """Return what MLflow's tables call a trial: as ours do, and baselines told apart."""
    return f"baseline{at_rate(factor)}" if placement is None else f"trial {number}"


def at_rate(factor: float) -> str:
    """Return a learning rate in words, where it is not the model's own.

    >>> at_rate(3.0), at_rate(1.0)
    (', learning rate × 3', '')
    """
    return "" if factor == 1.0 else f", learning rate × {factor:.3g}"


def training_parameters(config: StudyConfig, factor: float) -> dict[str, Any]:
    """Return what a training had besides its placement: learning rate and the task's options."""
    options = {name: value for name, value in flat(config.config).items() if name not in SILENT}
    own = next((v for name in OWN_RATES if isinstance(v := options.get(name), float)), None)
    rate = {} if own is None else {"learning_rate": own * factor}
    return {LEARNING_RATE: factor} | rate | options


def clean(name: str) -> str:
    """Return a name that MLflow accepts."""
    return re.sub(r"[^\w\-. /:]", "_", name)[:250]


def milliseconds(when: datetime | None) -> int:
    """Return a time as MLflow writes it, the present one where none is known."""
    return int((when.timestamp() if when else time.time()) * 1000)


def _points(recorded: Result) -> Iterator[tuple[str, float, int]]:
    """Yield every point of a result's curves: name, value, step."""
    for epoch, values in recorded.history:
        for name, value in values.items():
            yield name, value, epoch
    shown = recorded.history[-1][1] if recorded.history else {}
    # What counts may be another epoch's value, or the mean over several seeds: it stands last.
    for name, value in recorded.metrics.items():
        if shown.get(name) != value:
            yield name, value, len(recorded.history)
    for name, curves in recorded.curves.items():
        for seed, curve in enumerate(curves):
            for (epoch, _), value in zip(recorded.history, curve, strict=True):
                yield f"{clean(name)}.seed_{seed}", value, epoch
    for name, value in recorded.spread.items():
        yield f"{clean(name)}.std", value, 0
    yield "seconds", recorded.seconds, 0
