"""Spectrum of the embeddings."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.figure import DPI, new_figure
from actsearch.measures.fitted import ROWS, Fitted
from actsearch.measures.functional.effective_rank import effective_rank
from actsearch.measures.functional.spectrum import entropy_rank, spectrum
from actsearch.measures.measure import Measure


class Spectrum(Measure):
    """Eigenvalues of the embeddings' covariance, which show a collapse.

    ``share_1``, ``share_2``, ... are shares of the variance along the first principal directions;
    ``entropy_rank`` says how many directions share it.

    Args:
        shares: number of the shares, at least 0; there are no more than dimensions.

    Raises:
        InvalidValueError: the number is below 0.

    References:
        Understanding Dimensional Collapse in Contrastive Self-supervised Learning, L. Jing, P.
        Vincent, Y. LeCun and Y. Tian, 2021, https://arxiv.org/abs/2110.09348
    """

    name = "spectrum"
    direction = None
    needs = frozenset({"embeddings"})

    def __init__(self, shares: int = 3) -> None:
        if shares < 0:
            raise InvalidValueError(f"shares must be at least 0, but got {shares!r}.")
        self.shares = shares

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        (embeddings,) = fitted.gather("embeddings", most=ROWS)
        values = spectrum(embeddings)
        shares = _shares(values).tolist()[: self.shares]
        named = {f"share_{k}": share for k, share in enumerate(shares, start=1)}
        return {"entropy_rank": entropy_rank(values), **named}

    @override
    def pictures(self, fitted: Fitted, folder: Path) -> None:
        """Draw the shares of all directions."""
        (embeddings,) = fitted.gather("embeddings", most=ROWS)
        draw_spectrum(folder / "spectrum.png", embeddings)


def draw_spectrum(path: Path, embeddings: Tensor) -> None:
    """Draw the spectrum of embeddings ``(N, D)``, which shows a collapse.

    The eigenvalues of their covariance as shares of their sum, largest first, with both ranks.
    """
    values = spectrum(embeddings)
    drawn = _shares(values).clamp_min(1e-16)
    figure, axes = new_figure(size=4.0)
    ax = axes[0, 0]
    ax.semilogy(range(1, len(drawn) + 1), drawn, marker="o", markersize=3)
    for line, name, rank in (
        (":", "entropy", entropy_rank(values)),
        ("--", "effective", effective_rank(embeddings)),
    ):
        label = f"{name} rank {rank:.1f} of {len(values)}"
        ax.axvline(rank, color="0.6", linestyle=line, label=label)
    ax.set(xlabel="principal direction", ylabel="share of the variance")
    ax.set_title("spectrum of the embedding")
    ax.legend(fontsize=9)
    figure.savefig(path, dpi=DPI)


def _shares(values: Tensor) -> Tensor:
    """Return shares of their sum, all 0 where it is 0."""
    return values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
