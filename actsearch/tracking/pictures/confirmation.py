"""The paired differences of a confirmation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from actsearch.search.confirm.confirmation import UNTOUCHED, Confirmation
from actsearch.search.confirm.racing import Comparison
from actsearch.tracking.pictures.style import (
    BLUE,
    INK,
    QUIET,
    VERDICTS,
    new_axes,
    new_picture,
    tell,
    write,
)

DOT = 0.075
"""Between dots of the same place, in rows."""


def confirmation(result: Confirmation, path: Path, study: str = "") -> None:
    """Draw the paired differences of the selected candidate, their mean and its interval.

    Beside the baseline, and beside the model as it is where that is another. A candidate that was
    dropped is named below.
    """
    number, compared = result.winner
    tuned = result.over_untouched is not None
    beside = "over the baseline at its tuned rate" if tuned else "over the baseline"
    rows = [(f"trial {number}\n{beside}", compared, result.differences(number))]
    if result.over_untouched is not None:
        differences = result.differences(number, UNTOUCHED)
        rows.append(
            (f"trial {number}\nover the model as it is", result.over_untouched, differences)
        )
    figure = new_picture(height=1.9 + 0.85 * len(rows) + 0.2 * bool(_dropped(result)))
    axes = new_axes(figure)
    axes.grid(visible=False, axis="y")
    for row, (_, c, differences) in enumerate(rows):
        _draw(axes, row, c, [d for d in differences if math.isfinite(d)])
    axes.axvline(0, color=QUIET, lw=1)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_ylim(len(rows) - 0.45, -0.65)
    axes.set_xlabel(f"gain in {result.metric} (right of 0 is better)")
    title = f"{study}: {result.metric}: {result.outcome}" if study else result.outcome
    tell(figure, title, [_interval(result), *_dropped(result)])
    write(figure, path)


def _draw(axes: Axes, row: int, c: Comparison, differences: Sequence[float]) -> None:
    """Draw one row: equal differences on top of each other, so that each seed is seen."""
    heights = _stacked(differences)
    label = "one seed" if row == 0 else "_"
    axes.plot(differences, [row - 0.14 - h for h in heights], "o", ms=4.5, color=QUIET, label=label)
    colour = VERDICTS.get(c.verdict, BLUE)
    mean = f"mean and interval: {c.verdict}"
    if math.isfinite(c.high - c.low):
        error = [[c.gain - c.low], [c.high - c.gain]]
        axes.errorbar(
            [c.gain], [row + 0.1], xerr=error, fmt="D", ms=5, capsize=5, color=colour, label=mean
        )
    else:  # too few pairs for an interval
        axes.plot([c.gain], [row + 0.1], "D", ms=5, color=colour, label=mean)
    side = axes.get_yaxis_transform()
    axes.text(0.99, row + 0.3, _figures(c), transform=side, ha="right", fontsize=8.5, color=INK)


def _figures(c: Comparison) -> str:
    if not math.isfinite(c.high - c.low):
        return f"{c.gain:+.3g}, without an interval, p = {c.p:.2g}"
    return f"{c.gain:+.3g}, interval [{c.low:+.3g}, {c.high:+.3g}], p = {c.p:.2g}"


def _stacked(values: Sequence[float]) -> list[float]:
    """Return how high each value's dot is: those of nearly the same value stand on each other."""
    width = max((abs(value) for value in values), default=0.0) / 50
    heights: dict[int, int] = {}
    found = []
    for value in values:
        place = round(value / width) if width else 0
        heights[place] = heights.get(place, -1) + 1
        found.append(heights[place])
    step = min(DOT, 0.4 / max([1, *found]))
    return [step * height for height in found]


def _interval(result: Confirmation) -> str:
    """Return what the interval is."""
    c = result.winner[1]
    split = f"{result.split} split{', another with each seed' * bool(result.split_option)}"
    rows = f" and {c.rows} test rows" if c.rows else ""
    looks = f", corrected for {result.looks} verdicts" if result.looks > 1 else ""
    kind = f"{result.confidence:g} % interval of the mean, by the t distribution"
    return f"{kind}, over {c.pairs} paired seeds{rows}{looks}; {split}"


def _dropped(result: Confirmation) -> list[str]:
    """Return which candidates were not compared, in a line if there are any."""
    given = zip(result.candidates, result.comparisons, result.given, strict=True)
    dropped = [f"trial {number} after {seeds} seeds" for number, c, seeds in given if not c.pairs]
    return [f"not selected: {', '.join(dropped)}"] if dropped else []
