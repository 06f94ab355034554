"""The picture of a multi-task training: whether gradients agree, over its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from actsearch.task.pictures import DPI, new_figure

DRAWN_PARTS = 20
"""Parts of a training of which each has a mean and a band."""


def draw_cosines(path: Path, every: int, cosines: Mapping[str, Sequence[float]]) -> None:
    """Draw the cosine of each pair of gradients over steps: mean and deviation of each part.

    Args:
        path: the PNG to write.
        every: steps from one cosine to the next.
        cosines: by pair, of each tracked step.
    """
    figure, axes = new_figure(size=4.5)
    ax = axes[0, 0]
    ax.axhline(0, color="black", linewidth=1)
    for pair, values in cosines.items():
        count = min(DRAWN_PARTS, len(values))
        steps = np.array_split(every * np.arange(len(values)), count)
        at = [part.mean() for part in steps]
        parts = np.array_split(np.array(values), count)
        mean, spread = (np.array([f(part) for part in parts]) for f in (np.mean, np.std))
        (line,) = ax.plot(at, mean, label=f"{pair}: {np.mean(values):+.3f}")
        ax.fill_between(at, mean - spread, mean + spread, color=line.get_color(), alpha=0.2)
    ax.set(xlabel="step", ylabel="cosine of gradients", ylim=(-1, 1))
    ax.legend(fontsize=8)
    figure.savefig(path, dpi=DPI)
