"""A figure without a display; matplotlib loads when one is drawn."""

from __future__ import annotations

from typing import Any

DPI = 100


def new_figure(rows: int = 1, columns: int = 1, size: float = 3.0) -> tuple[Any, Any]:
    """Return a figure that needs no display, and its axes.

    Args:
        rows: of axes.
        columns: of axes; both together are the shape of the array of axes.
        size: inches of a side of one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * size, rows * size), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)
