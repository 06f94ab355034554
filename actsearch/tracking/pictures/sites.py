"""What came of each activation at each site."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.patches import Rectangle
from scipy.stats import rankdata

from actsearch.search.study.record import StudyRun
from actsearch.tracking.effects import LEAST, LEVEL, TEST, Tried, differ, effects, tried
from actsearch.tracking.pictures.style import (
    INK,
    PALE,
    QUIET,
    new_axes,
    new_picture,
    on_colour,
    shortened,
    tell,
    write,
)
from actsearch.tracking.words import labels, places

MOST_ROWS, MOST_COLUMNS = 20, 16
CELL = (0.68, 0.44)
"""Inches."""

COLOURS: Colormap = colormaps["cividis"]
Cells = Mapping[tuple[str, str], Sequence[float | None]]


def heat_map(run: StudyRun, path: Path) -> None:
    """Draw the mean of the first objective by site and activation, and its number of trainings.

    Coloured where that is more than chance: at a site whose choice has an effect, or everywhere
    where placements differ more than their seeds do. What was stopped early counts as that. Sites
    that always had the same are one row.
    """
    trainings = tried(run)
    cells: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    for one in trainings:
        for site, name in one.activations.items():
            cells[site, name].append(one.value)
    if not cells:
        return
    rows = _rows(trainings)
    uses = Counter(name for one in trainings for name in one.activations.values())
    names = [name for name, _ in uses.most_common(MOST_COLUMNS)]
    objective = run.config.goals[0]
    found, doubt = effects(trainings, objective.mode), differ(trainings)
    effective = {site for effect in found if effect.is_seen for site in effect.sites}
    differs = doubt is not None and doubt < LEVEL
    shown = rows[:MOST_ROWS]
    coloured = [row for row in shown if differs or row[0] in effective]
    colours = _colours(cells, [row[0] for row in coloured], names, objective.mode)
    figure = new_picture(max(7.0, 2.4 + CELL[0] * len(names)), 2.6 + CELL[1] * len(shown))
    axes = new_axes(figure)
    axes.grid(visible=False)
    for place, row in enumerate(shown):
        for column, name in enumerate(names):
            if values := cells.get((row[0], name)):
                _cell(axes, (column, place), values, colours.get((row[0], name)))
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(shown) - 0.5, -0.5))
    axes.set_xticks(range(len(names)), [shortened(n, 24) for n in names], rotation=40, ha="right")
    axes.set_yticks(range(len(shown)), _row_names(rows, effective)[: len(shown)])
    what = "what stands where"
    if not effective and not (differs and len(rows) == 1):
        what = "no single site's effect seen" if differs else "no effect seen"
    title = f"{run.name}: {objective.metric} ({objective.mode}): {what}"
    left = [(len(rows) - len(shown), "rows"), (len(uses) - len(names), "activations")]
    tell(figure, title, _below(trainings, bool(found), doubt, left))
    write(figure, path)


def _rows(trainings: Sequence[Tried]) -> list[list[str]]:
    """Return the sites, those together that had the same in every training."""
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for site in dict.fromkeys(name for one in trainings for name in one.activations):
        alike[tuple(one.activations.get(site, "") for one in trainings)].append(site)
    return list(alike.values())


def _row_names(rows: Sequence[Sequence[str]], effective: set[str]) -> list[str]:
    every = [site for row in rows for site in row]
    short = dict(zip(every, labels(every), strict=True))
    return [
        places([short[site] for site in row], 28)
        + ("\n(no effect seen)" if effective and row[0] not in effective else "")
        for row in rows
    ]


def _completed(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _colours(
    cells: Cells, sites: Sequence[str], names: Sequence[str], mode: str
) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return the colours of cells by the rank of their mean, the better ones brighter."""
    sign = 1 if mode == "max" else -1
    means = {
        (site, name): sign * sum(done) / len(done)
        for site in sites
        for name in names
        if (done := _completed(cells.get((site, name), [])))
    }
    if not means:
        return {}
    ranks = rankdata(list(means.values()), "dense")
    return {
        cell: COLOURS((rank - 1) / max(1, ranks.max() - 1))
        for cell, rank in zip(means, ranks, strict=True)
    }


def _cell(
    axes: Axes,
    at: tuple[int, int],
    values: Sequence[float | None],
    colour: tuple[float, ...] | None,
) -> None:
    """Draw one cell: its mean, the number of trainings, and how many were stopped."""
    done = _completed(values)
    stopped = len(values) - len(done)
    face, hatch = (colour or PALE, None) if done else ("none", "///")
    corner = (at[0] - 0.48, at[1] - 0.47)
    axes.add_patch(Rectangle(corner, 0.96, 0.94, fc=face, ec=QUIET, lw=0, hatch=hatch))
    count = " ".join([f"n={len(done)}"] * bool(done) + [f"{stopped}×"] * bool(stopped))
    if done:
        mean = f"{sum(done) / len(done):.4g}"
        count = f"{mean if len(done) > 1 else f'({mean})'}\n{count}"
    ink = on_colour(colour) if colour else INK
    axes.text(*at, count, ha="center", va="center", fontsize=7.5, color=ink)


def _below(
    trainings: Sequence[Tried], tested: bool, doubt: float | None, left: Sequence[tuple[int, str]]
) -> list[str]:
    lines = ["mean of n trainings, (of one); ×: stopped or diverged; brighter: better"]
    if tested:
        lines.append(f"effect of a site: {len(trainings)} trainings, {TEST}; grey: none seen")
    else:
        why = f"fewer than {LEAST} trainings, or nothing stood anywhere twice, or all are equal"
        lines.append(f"effect of a site: cannot be tested ({why})")
    if doubt is not None:
        more = "more" if doubt < LEVEL else "no more"
        lines.append(f"placements differ {more} than their seeds do (F test, p = {doubt:.2g})")
    missing = [f"{count} {what}" for count, what in left if count > 0]
    return [*lines, f"not shown: {', '.join(missing)}"] if missing else lines
