"""What all pictures of a study share: colours, sizes, a legend below, and the files.

The SVG has no background, and its ink is the colour of the text around it: on a light page and on
a dark one. The PNG is dark on white.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from actsearch.figure import BLUE as BLUE
from actsearch.figure import GREEN as GREEN
from actsearch.figure import INK as INK
from actsearch.figure import ORANGE as ORANGE
from actsearch.figure import QUIET as QUIET
from actsearch.figure import RED as RED

PALE = f"{QUIET}40"
VERDICTS = {"better": GREEN, "worse": RED}
WIDTH = 7.5
"""Inches of a picture that no content makes wider."""

PNG_DPI = 150


def new_picture(width: float = WIDTH, height: float = 4.0) -> Figure:
    """Return an empty picture of so many inches, whatever the user's own style is."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def new_axes(figure: Figure, *place: int) -> Axes:
    """Return axes with a grid behind what is drawn, and no frame above and at the right."""
    axes = figure.add_subplot(*place, facecolor="none")
    axes.set_axisbelow(True)
    axes.grid(visible=True, color=PALE, lw=0.6, ls="-")
    axes.tick_params(colors=INK, labelsize=9, length=3)
    for side, spine in axes.spines.items():
        spine.set(edgecolor=QUIET, linewidth=0.8, visible=side in ("left", "bottom"))
    return axes


def tell(figure: Figure, title: str, below: Sequence[str] = ()) -> None:
    """Write the title, and below all axes what there is to say and the legend."""
    figure.suptitle(title, fontsize=11, color=INK, wrap=True)
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named or below:
        drawn = figure.legend(
            named.values(),
            named,
            title="\n".join(below) or None,
            title_fontproperties={"size": 8.5},
            loc="outside lower center",
            ncols=max(1, min(4, len(named))),
            frameon=False,
            fontsize=9,
            labelcolor=INK,
        )
        drawn.get_title().set(color=INK, multialignment="center")


def write(figure: Figure, path: Path) -> None:
    """Write a picture as PNG, and as SVG beside it.

    By the canvases themselves: ``savefig`` draws each twice.
    """
    for axes in figure.axes:
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            text.set_color(INK)
    figure.dpi = PNG_DPI
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]  # matplotlib's
    figure.set_layout_engine("none")  # it stays as it was laid out
    figure.patch.set_facecolor("none")
    file = io.StringIO()
    canvas = FigureCanvasSVG(figure)
    canvas.print_svg(file, metadata={"Date": None})  # type: ignore[no-untyped-call]  # likewise
    drawn = file.getvalue().replace(INK, "currentColor")
    path.with_suffix(".svg").write_text(drawn, encoding="utf-8")


def on_colour(rgb: Sequence[float]) -> str:
    """Return the ink that is read best on a colour: black or white, by its luminance (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if luminance > 0.179 else "white"


def shortened(text: str, most: int = 40) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
