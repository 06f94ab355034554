"""Pictures of a learned representation: its spectrum, and its classes in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from actsearch.measures.functional.effective_rank import effective_rank
from actsearch.task.pictures import DPI, new_figure


def spectrum(path: Path, embeddings: Tensor) -> None:
    """Draw the spectrum of embeddings ``(N, D)``, which shows a collapse.

    The eigenvalues of their covariance as shares of their sum, largest first.
    """
    values = torch.linalg.eigvalsh(torch.cov(embeddings.double().T)).flip(0).clamp_min(1e-16)
    rank = effective_rank(embeddings)
    figure, axes = new_figure(size=4.0)
    ax = axes[0, 0]
    ax.semilogy(range(1, len(values) + 1), values / values.sum(), marker="o", markersize=3)
    label = f"effective rank {rank:.1f} of {len(values)}"
    ax.axvline(rank, color="0.6", linestyle="--", label=label)
    ax.set(xlabel="principal direction", ylabel="share of the variance")
    ax.set_title("spectrum of the embedding")
    ax.legend(fontsize=9)
    figure.savefig(path, dpi=DPI)


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
