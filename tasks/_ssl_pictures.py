"""Pictures of a learned representation: the spectrum that shows a collapse, and the classes in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from actsearch.measures.effective_rank import effective_rank
from tasks._pictures import new_figure


def spectrum(path: Path, embeddings: Tensor) -> None:
    """Draw the eigenvalues of the embeddings' covariance, largest first, ``(N, D)``."""
    values = torch.linalg.eigvalsh(torch.cov(embeddings.double().T)).flip(0).clamp_min(1e-16)
    figure, axes = new_figure(size=4.5)
    ax = axes[0, 0]
    ax.semilogy(range(1, len(values) + 1), values)
    ax.set(
        xlabel="dimension", ylabel="variance", title=f"effective rank {effective_rank(embeddings):.1f} of {len(values)}"
    )
    figure.savefig(path, dpi=120)


def projection(path: Path, representations: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Draw representations ``(N, D)`` along their two principal directions, a colour for each class."""
    centred = (representations - representations.mean(0)).double()
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    points = centred @ directions[:2].T
    figure, axes = new_figure(size=5.0)
    ax = axes[0, 0]
    for i, name in enumerate(classes[:20]):  # more colours could not be told apart
        ax.scatter(*points[labels == i].T, s=8, color=f"C{i % 10}", marker="o" if i < 10 else "x", label=name)
    ax.set(xlabel="first principal direction", ylabel="second", title="representation")
    ax.legend(fontsize=7)
    figure.savefig(path, dpi=120)
