"""Saliency of the units of a classifier, and what it has without the least salient."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError, MeasureError
from actsearch.figure import DPI, new_figure
from actsearch.measures.fitted import Fitted
from actsearch.measures.measure import Measure
from actsearch.measures.prunable import PrunableNetwork, Units

Rank = Literal["saliency", "jacobian", "activation", "norm", "random"]


class Saliency(Measure):
    r"""Accuracy without a share of the units, and how saliency follows activation.

    ``accuracy/sparsity_S`` is the accuracy where in each layer the share S of units that rank
    lowest gives its mean instead. The saliency of a unit is

    .. math:: s_u = E\left[\Big\| \frac{\partial L}{\partial (w_u, b_u)} \Big\|^2\right]
        \approx E[\delta^2 x^2] \, E[\varphi'(z_u)^2]

    on training rows. Where the gate φ'(z) is independent of signal and input it is proportional to
    :math:`E[\varphi'^2]`: for ReLU to the probability p that the unit is on, for a slope α below 0
    to p + (1 - p) α². ``correlation/SITE`` is the rank correlation of the two over a layer's units,
    0 where one is constant.

    Early in training it tells which units can go. At convergence the gradient of the loss vanishes
    on training rows, and what is left ranks little better than at random; ``jacobian``, of the
    gradients of all logits, does both times.

    Args:
        rank: what is pruned last: high ``saliency``, ``jacobian``, ``activation``
            (:math:`E[\varphi'^2]`), ``norm`` of the weights, or a ``random`` number.
        sparsities: S, each in [0, 1].
        rows: training rows that saliency is measured on, at most; at least 1.
        retrain: epochs of training on after units were taken away.
        retrain_lr: learning rate of Adam there, above 0.

    Raises:
        InvalidValueError: an option out of its range.
        MeasureError: a model without a dense layer or a convolution, a site behind it and another
            layer behind that; or whose forward is not from one tensor to the logits; or that shall
            train on and has no loss.

    References:
        Optimal Brain Damage, Y. LeCun, J. Denker and S. Solla, 1989,
        https://proceedings.neurips.cc/paper/1989/hash/6c9882bbac1c7093bd25041881277658-Abstract.html
        Importance Estimation for Neural Network Pruning, P. Molchanov, A. Mallya, S. Tyree, I.
        Frosio and J. Kautz, 2019, https://arxiv.org/abs/1906.10771
        Faster gaze prediction with dense networks and Fisher pruning, L. Theis, I. Korshunova, A.
        Tejani and F. Huszár, 2018, https://arxiv.org/abs/1801.05787
    """

    name = "saliency"
    direction = None
    needs = frozenset({"example", "sites", "labels", "logits", "labelled_training"})

    def __init__(
        self,
        rank: Rank = "saliency",
        sparsities: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9),
        rows: int = 512,
        retrain: int = 0,
        retrain_lr: float = 1e-3,
    ) -> None:
        inside = all(0 <= share <= 1 for share in sparsities)
        if not inside or rows < 1 or retrain < 0 or not retrain_lr > 0:
            raise InvalidValueError(
                "sparsities must be in [0, 1], rows at least 1, retrain at least 0 and retrain_lr"
                f" above 0, but got {sparsities=}, {rows=}, {retrain=}, {retrain_lr=}."
            )
        self.rank: Rank = rank
        self.sparsities = sparsities
        self.rows = rows
        self.retrain = retrain
        self.retrain_lr = retrain_lr

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        network = PrunableNetwork(fitted, self.name)
        units = network.units(self.rows)
        found = {f"correlation/{own.site}": _correlation(own) for own in units}
        accuracies = self.accuracies(network, units, self.rank)
        for share, accuracy in zip(self.sparsities, accuracies, strict=True):
            found[f"accuracy/sparsity_{share:g}"] = accuracy
        return found

    @override
    def check(self, fitted: Fitted) -> None:
        PrunableNetwork(fitted, self.name)
        if self.retrain and (reason := fitted.lacking("loss")):
            raise MeasureError(
                f"{self.name} must have a loss to train on, but {fitted.name} has none: {reason}."
                " Leave retrain at 0."
            )

    def accuracies(self, network: PrunableNetwork, units: list[Units], rank: Rank) -> list[float]:
        """Return the accuracy at each sparsity.

        Args:
            network: what is pruned.
            units: those of each of its layers.
            rank: as for the measure.
        """
        ranks = [_order(own, rank).argsort() for own in units]
        found = []
        for share in self.sparsities:
            kept = [place >= math.floor(share * len(place)) for place in ranks]
            found.append(
                network.retrained_accuracy(kept, units, self.retrain, self.retrain_lr)
                if self.retrain
                else network.accuracy(kept, units)
            )
        return found

    @override
    def pictures(self, fitted: Fitted, folder: Path) -> None:
        """Draw accuracy over sparsity by each rank, and saliency over activation."""
        network = PrunableNetwork(fitted, self.name)
        units = network.units(self.rows)
        figure, axes = new_figure(1, 2, size=4.0)
        left, right = axes[0]
        for rank in get_args(Rank):
            accuracies = self.accuracies(network, units, rank)
            left.plot(self.sparsities, accuracies, marker="o", markersize=4, label=rank)
        left.set(xlabel="share of units taken away", ylabel="accuracy", ylim=(0, 1))
        left.legend(fontsize=8)
        for own in units:
            label = f"{own.site}: {_correlation(own):.2f}"
            right.scatter(own.activation.numpy(), own.saliency.numpy(), s=6, label=label)
        if all(bool((own.saliency > 0).any()) for own in units):
            right.set_yscale("log")
        right.set(xlabel="mean squared slope (ReLU: p)", ylabel="saliency")
        right.legend(fontsize=8, title="rank correlation")
        figure.savefig(folder / "saliency.png", dpi=DPI)


def _order(units: Units, rank: Rank) -> Tensor:
    """Return the units of a layer, that which goes first first."""
    values = torch.rand(len(units.norm)) if rank == "random" else getattr(units, rank)
    return torch.argsort(values, stable=True)


def _correlation(units: Units) -> float:
    from scipy.stats import spearmanr

    columns = units.saliency.numpy(), units.activation.numpy()
    if any(column.min() == column.max() for column in columns):
        return 0.0
    return float(spearmanr(*columns).statistic)
