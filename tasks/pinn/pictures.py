"""The picture of a solution, and its values as a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from actsearch.task.pictures import DPI, new_figure

from .points import cell_middles
from .problem import Problem

SIDE = 50
"""Points along each input that is drawn."""


def draw_solution(folder: Path, problem: Problem, solution: Callable[[Tensor], Tensor]) -> None:
    """Write ``solution.png`` and ``solution.csv``, over the first two inputs.

    Further inputs stay in the middle of their bounds. Beside the solution stand the exact one and
    the difference, where it is known.

    Args:
        folder: where to.
        problem: what is solved.
        solution: of points ``(N, inputs)``.
    """
    x = _plane(problem)
    found, exact = solution(x), problem.exact(x)
    names = (*problem.inputs, *problem.outputs)
    rows = torch.cat([x, found], 1).numpy()
    np.savetxt(folder / "solution.csv", rows, "%.8g", ",", header=",".join(names), comments="")
    shown = {"network": found}
    if exact is not None:
        shown |= {"exact": exact, "difference": found - exact}
    figure, axes = new_figure(len(problem.outputs), len(shown), size=2.6)
    for row, output in zip(axes, range(len(problem.outputs)), strict=True):
        for ax, (title, values) in zip(row, shown.items(), strict=True):
            z = values[:, output].numpy()
            if len(problem.inputs) == 1:
                ax.plot(x[:, 0].numpy(), z, color="C1")
            else:
                (left, right), (low, high) = problem.bounds[:2]
                image = ax.imshow(
                    z.reshape(SIDE, SIDE).T,
                    origin="lower",
                    extent=(left, right, low, high),
                    aspect="auto",
                    interpolation="nearest",
                    cmap="RdBu_r" if title == "difference" else "viridis",
                )
                figure.colorbar(image, ax=ax)
                ax.set_ylabel(problem.inputs[1])
            ax.set(xlabel=problem.inputs[0], title=f"{problem.outputs[output]}, {title}")
    figure.savefig(folder / "solution.png", dpi=DPI)


def _plane(problem: Problem) -> Tensor:
    drawn = cell_middles(problem.bounds[:2], SIDE)
    rest = [(low + high) / 2 for low, high in problem.bounds[2:]]
    return torch.cat([drawn, torch.tensor(rest).double().expand(len(drawn), -1)], 1)
