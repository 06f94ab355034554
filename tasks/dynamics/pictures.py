"""The picture of a system: what was recorded with the fit, and where solutions go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from actsearch.task.pictures import DPI, new_figure


def draw_dynamics(
    path: Path,
    names: Sequence[str],
    pieces: tuple[Tensor, Tensor, Tensor],
    around: Tensor,
    rest: tuple[Tensor, Tensor],
    margin: float,
) -> None:
    """Draw trajectories with their fit, and solutions from all around with the equilibria.

    Of two states or more, solutions are drawn in the plane of the first two; of one, over time.

    Args:
        path: the PNG to write.
        names: of the states.
        pieces: times ``(N, T)``, states and fitted states ``(N, T, D)``.
        around: solutions from other starts ``(M, K, D)``.
        rest: equilibria ``(E, D)``, and which are stable ``(E,)``.
        margin: of the contraction.
    """
    times, states, fitted = pieces
    points, stable = rest
    figure, axes = new_figure(1, 2, size=4.5)
    left, right = axes[0]
    for column, name in enumerate(names):
        color = f"C{column}"
        for number, (t, true, found) in enumerate(zip(times, states, fitted, strict=True)):
            label = name if number == 0 else None
            left.plot(t.numpy(), found[:, column].numpy(), color=color, linewidth=1, label=label)
            left.plot(t.numpy(), true[:, column].numpy(), "o", color=color, markersize=2, alpha=0.6)
    left.set(xlabel="time", title="validation: recorded, and solutions")
    left.legend(fontsize=8)
    plane = len(names) > 1
    for solution in around:
        x = solution[:, 0].numpy()
        right.plot(*((x, solution[:, 1].numpy()) if plane else (x,)), color="gray", linewidth=0.5)
    for point, holds in zip(points, stable, strict=True):
        style = {"color": "C3", "markersize": 7, "fillstyle": "full" if holds else "none"}
        at = point[:2].numpy() if plane else (around.shape[1] - 1, float(point[0]))
        right.plot([at[0]], [at[1]], "o", **style)
    right.set(
        xlabel=names[0] if plane else "time",
        ylabel=names[1] if plane else names[0],
        title=f"from all around: margin {margin:.3g}, equilibria {len(points)}",
    )
    figure.savefig(path, dpi=DPI)
