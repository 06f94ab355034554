"""Modules that the laws of a measure are tried on."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch.placement import Site

_Batches = dict[str, list[tuple[Tensor, ...]]]


class OfferingNothing(nn.Module):
    """Lacks all that a measure may need."""


class OfferingAll(nn.Module):
    """Offers all that a measure may need: a classifier of 4 numbers, 3 classes, two sites.

    Args:
        activation: at both sites.
    """

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), Site(activation), nn.Linear(8, 8), Site(activation)
        )
        self.head = nn.Linear(8, 3)
        self.body[1].eval()
        self.example_input_array = torch.randn(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.body(x))  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        """Return what the last layer takes in."""
        return self.body(x)  # type: ignore[no-any-return]

    def views(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input with noise, twice."""
        return x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x)

    def derivatives(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return true values and derivatives, all 1."""
        return torch.ones(len(batch[0]), 3), torch.ones(len(batch[0]), 3, 4)

    def losses(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Return the loss of the classes, and the size of the logits."""
        return {"class": cross_entropy(self, batch), "size": self(batch[0]).square().mean()}

    def batches(self, size: int) -> _Batches:
        """Return 96 random rows, half of them for validation, and others far away."""
        x = torch.randn(96, 4)
        y = torch.arange(96) % 3
        batches: list[tuple[Tensor, ...]] = list(zip(x.split(size), y.split(size), strict=True))
        half = len(batches) // 2
        shifted: list[tuple[Tensor, ...]] = [(3 + part,) for part in x.split(size)]
        return {"train": batches, "val": batches[:half], "second": shifted}


class SolvedByHand(nn.Module):
    r"""Small enough to be solved by hand: :math:`f(x) = \varphi(x)` of two numbers.

    Two dense layers of weight I and bias 0, φ between them. Of the rows (1, -1), (-1, 1), (2, -1)
    and (-1, 2) those of training have the labels 0, 1, 0, 1, in two batches; those of validation,
    in one, 0, 1, 0, 0. So ReLU has the embeddings (1, 0), (0, 1), (2, 0), (0, 2), which are the
    logits too; the last is wrong. A view has its numbers interchanged, and what is true is 2 f.

    Args:
        activation: φ.
    """

    def __init__(self, activation: str) -> None:
        super().__init__()
        first, self.head = nn.Linear(2, 2), nn.Linear(2, 2)
        self.body = nn.Sequential(first, Site(activation))
        for layer in (first, self.head):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.body(x))  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        """Return what the last layer takes in."""
        return self.body(x)  # type: ignore[no-any-return]

    def views(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input, and its numbers interchanged."""
        return x, x.flip(1)

    def derivatives(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return twice the values, and twice the derivatives of ReLU."""
        x = batch[0]
        return 2 * self(x).detach(), 2 * torch.diag_embed((x > 0).float())

    def losses(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Return the sum of the first output, and that of both."""
        outputs = self(batch[0])
        return {"first": outputs[:, 0].sum(), "both": outputs.sum()}

    def batches(self) -> _Batches:
        """Return the four rows by split; the second data are their negatives."""
        first = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
        second = torch.tensor([[2.0, -1.0], [-1.0, 2.0]])
        y, x = torch.tensor([0, 1]), torch.cat([first, second])
        train: list[tuple[Tensor, ...]] = [(first, y), (second, y)]
        return {"train": train, "val": [(x, torch.tensor([0, 1, 0, 0]))], "second": [(-x,)]}


def cross_entropy(module: nn.Module, batch: Any) -> Tensor:
    """Return the loss of a classifier."""
    x, y = batch
    return F.cross_entropy(module(x), y)


def sum_of_outputs(module: nn.Module, batch: Any) -> Tensor:
    """Return the sum of all outputs of a batch, a loss whose gradient is 1."""
    outputs: Tensor = module(batch[0])
    return outputs.sum()
