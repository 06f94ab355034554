"""How much of the differences between trainings goes with what stands at each site."""

from __future__ import annotations

from pathlib import Path

from actsearch.search.study.record import StudyRun
from actsearch.tracking.effects import TEST, Effect, effects, tried
from actsearch.tracking.pictures.style import (
    BLUE,
    INK,
    PALE,
    RED,
    new_axes,
    new_picture,
    tell,
    write,
)
from actsearch.tracking.words import labels, places

MOST_BARS = 20


def importance(run: StudyRun, path: Path) -> None:
    """Draw the share of each site's choice, and what chance reaches.

    Nothing where the trainings are too few, or no two sites can be told apart.
    """
    trainings = tried(run)
    found = effects(trainings, run.config.goals[0].mode)
    if len(found) < 2:
        return
    shown = found[:MOST_BARS]
    figure = new_picture(height=1.9 + 0.36 * len(shown))
    axes = new_axes(figure)
    axes.grid(visible=False, axis="y")
    for row, effect in enumerate(shown):
        first = row == 0
        colour = BLUE if effect.is_seen else PALE
        axes.barh(row, effect.share, height=0.6, color=colour)
        chance = [effect.chance, effect.chance]
        label = "what chance reaches" if first else "_"
        axes.plot(chance, [row - 0.36, row + 0.36], color=RED, lw=1.8, label=label)
        if not effect.is_seen:
            beside = max(effect.share, effect.chance) + 0.015
            axes.text(beside, row, "no effect seen", va="center", fontsize=8.5, color=INK)
    axes.set_yticks(range(len(shown)), _names(shown))
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the differences between trainings that goes with it (η² of ranks)")
    seen = sum(effect.is_seen for effect in found)
    what = "where it matters what stands there" if seen else "no effect seen at any site"
    below = [f"{len(trainings)} trainings; {TEST}"]
    if len(shown) < len(found):
        below.append(f"{len(found) - len(shown)} more are not shown")
    tell(figure, f"{run.name}: {what}", below)
    write(figure, path)


def _names(found: list[Effect]) -> list[str]:
    every = [site for effect in found for site in effect.sites]
    names = dict(zip(every, labels(every), strict=True))
    return [places([names[site] for site in effect.sites]) for effect in found]
