"""What a study's own run in MLflow tells: options, headline numbers, the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.config import StudyConfig, flat
from actsearch.search.study.record import StudyRun
from actsearch.tracking.report import summary
from actsearch.tracking.runs import clean


def study_parameters(config: StudyConfig, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a study: its options, and how its first search was run."""
    options = {
        "objective": ", ".join(goal.metric for goal in config.goals),
        "direction": ", ".join(goal.direction for goal in config.goals),
        "space": config.space,
        "sampler": config.sampler,
        "pruner": config.pruner,
        "fidelity": config.fidelity,
        "learning_rate": config.learning_rate,
        "require": ", ".join(config.require),
        "test_metric": config.test_metric,
        "seed": config.seed,
        "seeds_per_trial": config.seeds_per_trial,
    }
    how = {name: asked.get(name) for name in ("trials", "time", "jobs", "confirm", "seeds")}
    told = {name: value for name, value in (options | how).items() if value not in (None, "")}
    return told | flat(config.config)


def study_metrics(run: StudyRun) -> dict[str, float]:
    """Return the numbers that a list of studies is sorted by."""
    numbers = {}
    if ranked := run.ranked():
        first = clean(run.config.goals[0].metric)
        numbers = {f"best.{first}": ranked[0].values[0], "trials": float(len(run.trials))}
        if run.baseline:
            numbers[f"baseline.{first}"] = run.baseline.values[0]
    if (result := _confirmed(run)) is not None:
        c = result.winner[1]
        figures = {"gain": c.gain, "low": c.low, "high": c.high, "p": c.p}
        numbers |= {f"confirmed.{name}": v for name, v in figures.items() if math.isfinite(v)}
    return numbers


def study_tags(run: StudyRun) -> dict[str, str]:
    """Return the verdict, what it rests on in one sentence, and the whole summary."""
    result = _confirmed(run)
    tags = {
        "actsearch.verdict": "not confirmed" if result is None else result.outcome,
        "mlflow.note.content": summary(run)[:8000],
    }
    return tags if result is None else tags | {"actsearch.confirmation": result.verdict()[:5000]}


def _confirmed(run: StudyRun) -> Confirmation | None:
    result = Confirmation.read(run)
    return result if result is not None and result.comparisons else None
