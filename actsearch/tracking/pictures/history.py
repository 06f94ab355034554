"""What each trial came to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from actsearch.search.study.record import StudyRun
from actsearch.tracking.pictures.style import (
    BLUE,
    GREEN,
    ORANGE,
    QUIET,
    RED,
    new_axes,
    new_picture,
    tell,
    write,
)

FAR_BEHIND = 10.0
"""Times as far behind the best as three quarters of the trials."""


def history(run: StudyRun, path: Path) -> None:
    """Draw the first objective by trial, the best so far, and the baseline."""
    objective = run.config.goals[0]
    figure = new_picture()
    axes = new_axes(figure)
    complete = [(t.number, t.values[0]) for t in run.trials if t.state == TrialState.COMPLETE]
    stopped = [(t.number, _last(t)) for t in run.trials if _is_stopped(t)]
    failed = [t.number for t in run.trials if t.state == TrialState.FAIL]
    if complete:
        axes.plot(*zip(*complete, strict=True), "o", ms=4, color=BLUE, label="completed")
        best = complete[:1]
        for number, value in complete:
            if objective.better(value, best[-1][1]):
                best.append((number, value))
        best.append((len(run.trials) - 1, best[-1][1]))
        axes.step(*zip(*best, strict=True), where="post", color=GREEN, lw=1.6, label="best so far")
    if stopped:
        axes.plot(*zip(*stopped, strict=True), "x", ms=5, color=ORANGE, label="stopped early")
    if failed:
        label = "failed"
        for number in failed:
            axes.axvline(number, color=RED, lw=0.9, alpha=0.6, label=label)
            label = "_"
    if run.baseline is not None:
        axes.axhline(run.baseline.values[0], color=QUIET, ls="--", lw=1.2, label="baseline")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel=f"{objective.metric} ({objective.mode})")
    values = [value for _, value in [*complete, *stopped] if math.isfinite(value)]
    near = _near(values, objective.mode)
    far = len(values) - len(near)
    if far:
        near += run.baseline.values[:1] if run.baseline else []
        room = 0.05 * (max(near) - min(near))
        axes.set_ylim(min(near) - room, max(near) + room)
    below = [f"{far} that are far worse are not shown"] * (far > 0)
    tell(figure, f"{run.name}: each trial in validation", below)
    write(figure, path)


def _near(values: Sequence[float], mode: str) -> list[float]:
    """Return the values without those so far behind that no other difference would be seen."""
    if not values:
        return []
    best = min(values) if mode == "min" else max(values)
    behind = float(np.quantile([abs(value - best) for value in values], 0.75))
    return [value for value in values if abs(value - best) <= FAR_BEHIND * behind or not behind]


def _is_stopped(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.PRUNED and bool(trial.intermediate_values)


def _last(trial: FrozenTrial) -> float:
    return trial.intermediate_values[max(trial.intermediate_values)]
