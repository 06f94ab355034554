"""Picture of a learned representation: its classes in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from actsearch.task.pictures import DPI, new_figure


def projection(path: Path, representations: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Draw representations ``(N, D)`` along two principal directions, a colour a class."""
    centred = (representations - representations.mean(0)).double()
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    points = centred @ directions[:2].T
    figure, axes = new_figure(size=4.0)
    ax = axes[0, 0]
    for i, name in enumerate(classes[:20]):  # more colours could not be told apart
        of_class = points[labels == i]
        colour = f"C{i % 10}"
        ax.scatter(*of_class.T, s=8, color=colour, marker="o" if i < 10 else "x")
        frame = {"boxstyle": "round,pad=0.15", "alpha": 0.9}
        frame |= {"facecolor": "white", "edgecolor": colour}
        ax.text(*of_class.mean(0).tolist(), name, ha="center", va="center", fontsize=9, bbox=frame)
    ax.set(xlabel="first principal direction", ylabel="second", title="representation, by class")
    figure.savefig(path, dpi=DPI)
