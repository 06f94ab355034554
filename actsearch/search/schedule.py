"""What each trial is for: the baseline's learning rate first; then, where asked for, the whole model, its blocks, its layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from actsearch.search.pinned import belongs
from actsearch.search.plan import LEARNING_RATE, Objective
from actsearch.search.study import StudyRun

TUNING = 10
"""One trial in so many, at most ``LONGEST``, tunes the baseline's learning rate."""

LONGEST = 3
SPREAD = 3.0
"""The factor between the first learning rates that are tried."""

LOWEST, HIGHEST = 0.01, 100.0


@dataclass(frozen=True)
class Turn:
    """What one trial is for, and what is decided before it.

    Args:
        stage: ``baseline`` for the model's own activations, ``warm_start`` for what was best in an earlier study,
            ``search``, or a stage of the staged search.
        learning_rate_factor: factor on the learning rate, where the trial does not decide it.
        given: values of parameters that are not searched now.
        leaders: by parameter, the one whose value it takes.
    """

    stage: str
    learning_rate_factor: float | None = 1.0
    given: Mapping[str, Any] = field(default_factory=dict)
    leaders: Mapping[str, str] = field(default_factory=dict)


def tuning(run: StudyRun, total: int) -> int:
    """Return the number of the last trial that tunes the baseline; 0 is the baseline as it comes."""
    return min(LONGEST, total // TUNING) if run.plan.learning_rate == "tuned" else 0


def turn(run: StudyRun, number: int, total: int) -> Turn:
    """Return what a trial is for, from the trials before it.

    Args:
        run: the study.
        number: the trial's number.
        total: trials that are wanted, the baseline included; the stages share them.
    """
    before = run.trials[:number]
    begun = [trial for trial in before if trial.user_attrs.get("stage") == "baseline"]
    searched = run.plan.learning_rate == "searched"
    if number <= tuning(run, total):
        decided = searched and run.own is not None  # else the trial has no parameters at all
        tried = next_factor(_tried(begun, run.plan.objectives[0]))
        return Turn("baseline", None if decided else tried, run.own or {})
    factor = None if searched else run.factor(run.baseline)
    first, warm = len(begun), run.warm_start
    if number - first < len(warm):
        return Turn("warm_start", factor, warm[number - first])
    if run.plan.space_content["granularity"] != "staged":
        return Turn("search", factor)
    stages = list(run.groups)
    first += len(warm)
    stage = stages[min(len(stages) - 1, len(stages) * (number - first) // max(1, total - first))]
    groups = run.groups[stage]
    if stage == "model":
        return Turn(stage, factor, {}, _tied(groups))
    best = next((trial for trial in run.ranked() if trial.params), None)
    turns = sum(trial.user_attrs.get("stage") == stage for trial in before)
    free = groups[turns % len(groups)]
    open_now = [*free, LEARNING_RATE]
    given = {n: v for n, v in (best.params if best else {}).items() if not any(belongs(n, site) for site in open_now)}
    return Turn(stage, factor, given, _tied([free]))


def _tied(groups: list[list[str]]) -> dict[str, str]:
    return {follower: leader for leader, *followers in groups for follower in followers}


def _tried(trials: list[FrozenTrial], objective: Objective) -> dict[float, float]:
    """Return the loss, smaller is better, by factor; infinite where there is none (yet)."""
    sign = 1 if objective.mode == "min" else -1
    return {
        trial.user_attrs["learning_rate_factor"]: sign * trial.values[0]
        if trial.state == TrialState.COMPLETE
        else math.inf
        for trial in trials
    }


def next_factor(tried: Mapping[float, float]) -> float:
    """Return the factor on the learning rate to try next: a step away from the best, then half a step, on a log scale.

    Args:
        tried: losses by factor.

    >>> next_factor({}), next_factor({1.0: 0.5}), next_factor({1.0: 0.5, 3.0: 0.4})
    (1.0, 3.0, 9.0)

    """
    if not tried:
        return 1.0
    best = min(tried, key=lambda factor: tried[factor])
    step = SPREAD
    while True:
        for factor in (best * step, best / step):
            if LOWEST <= factor <= HIGHEST and not any(math.isclose(factor, t, rel_tol=1e-6) for t in tried):
                return factor
        step = math.sqrt(step)
