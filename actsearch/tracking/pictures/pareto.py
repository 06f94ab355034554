"""Two objectives of every trial, and the front."""

from __future__ import annotations

from pathlib import Path

from actsearch.search.study.pareto import front
from actsearch.search.study.record import StudyRun
from actsearch.tracking.pictures.style import (
    BLUE,
    GREEN,
    INK,
    QUIET,
    RED,
    new_axes,
    new_picture,
    shortened,
    tell,
    write,
)
from actsearch.tracking.words import short

MOST_NAMED = 8


def pareto(run: StudyRun, path: Path) -> None:
    """Draw the first two objectives of every trial, and the front."""
    first, second = run.config.goals[:2]
    figure = new_picture(height=5.5)
    axes = new_axes(figure)
    complete = run.ranked()
    points = [trial.values[:2] for trial in complete]
    if points:
        axes.plot(*zip(*points, strict=True), "o", ms=4, color=QUIET, alpha=0.7, label="trials")
    signs = [1 if objective.mode == "min" else -1 for objective in (first, second)]
    best = sorted((complete[i] for i in front(points, signs)), key=lambda trial: trial.values[0])
    x, y = [trial.values[0] for trial in best], [trial.values[1] for trial in best]
    axes.plot(x, y, "o-", ms=5, color=GREEN, label="Pareto front")
    if complete:
        axes.plot(*complete[0].values[:2], "*", ms=15, color=BLUE, label="knee")
    if run.baseline is not None:
        axes.plot(*run.baseline.values[:2], "s", color=RED, label="baseline")
    axes.margins(0.12)
    for trial, at in zip(best, zip(x, y, strict=True), strict=True):
        axes.annotate(
            str(trial.number), at, (9, 3), textcoords="offset points", fontsize=8.5,
            color=INK,
        )  # fmt: skip
    axes.set(xlabel=f"{first.metric} ({first.mode})", ylabel=f"{second.metric} ({second.mode})")
    below = [f"{t.number}: {shortened(short(run, t), 90)}" for t in best[:MOST_NAMED]]
    if len(best) > MOST_NAMED:
        below.append(f"{len(best) - MOST_NAMED} more are not named")
    tell(figure, f"{run.name}: {first.metric} and {second.metric}", below)
    write(figure, path)
