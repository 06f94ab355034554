"""A figure without a display; matplotlib loads when one is drawn."""

from __future__ import annotations

from typing import Any

DPI = 100
INK, QUIET = "#1f2329", "#80868c"
BLUE, ORANGE, GREEN, RED = "#0072b2", "#c77700", "#009e73", "#d55e00"
PINK, SKY = "#cc79a7", "#56b4e9"
"""From the palette of Color Universal Design, M. Okabe and K. Ito, 2008; the orange is darker.

https://jfly.uni-koeln.de/color/
"""


def new_figure(rows: int = 1, columns: int = 1, size: float = 3.0) -> tuple[Any, Any]:
    """Return a figure that needs no display, and its axes, white and in colours that all can tell.

    Args:
        rows: of axes.
        columns: of axes; both together are the shape of the array of axes.
        size: inches of a side of one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((columns * size, rows * size), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    every = figure.subplots(rows, columns, squeeze=False)
    for axes in every.flat:
        axes.set_prop_cycle(color=[BLUE, ORANGE, GREEN, RED, PINK, SKY])
    return figure, every
