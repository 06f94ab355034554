"""What a perturbation of a given length can do to a classifier, bounded from both sides."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.figure import DPI, new_figure
from actsearch.measures.batch import arguments
from actsearch.measures.builtin.certified_accuracy import certified_radii, lipschitz_bound
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.attack import attack
from actsearch.measures.measure import Measure

DRAWN = 12
"""Radii of the curve of attacks."""


class Robustness(Measure):
    r"""Certified radius of the samples, and accuracy that is certified and that an attack leaves.

    ``lipschitz`` is the bound L on the Lipschitz constant of the logits, ``certified_radius`` the
    median over samples of

    .. math:: r(x) = \min_{c \ne y} \frac{f_y(x) - f_c(x)}{L_{yc}}

    with 0 for what is wrong already, ``certified_accuracy/R`` the share with r(x) > R, and
    ``attacked_accuracy/R`` the share that keeps its class under projected gradient descent in the
    ball of radius R: the truth is between the two. Layers may be dense, convolutions with zero
    padding, pooling, batch normalisation and residual sums. Bounds multiply from layer to layer, so
    without constrained weights (``--task.weights spectral`` of classification) they soon certify
    nothing; an activation whose slope exceeds 1 costs as much (``--space non_expansive`` has none).

    Args:
        radii: R, Euclidean, in units of the model's input; each at least 0.
        attack_steps: of the attack; 0 for none.

    Raises:
        InvalidValueError: an option below 0; a layer or an activation whose Lipschitz constant is
            not known, with its place.
        MeasureError: a model whose forward is not from one tensor to the logits.

    References:
        Globally-Robust Neural Networks, K. Leino, Z. Wang and M. Fredrikson, 2021,
        https://arxiv.org/abs/2102.08452
        Lipschitz-Margin Training: Scalable Certification of Perturbation Invariance for Deep Neural
        Networks, Y. Tsuzuku, I. Sato and M. Sugiyama, 2018, https://arxiv.org/abs/1802.04034
        Sorting out Lipschitz function approximation, C. Anil, J. Lucas and R. Grosse, 2018,
        https://arxiv.org/abs/1811.05381
    """

    name = "robustness"
    direction = None
    needs = frozenset({"example", "labels", "logits"})

    def __init__(self, radii: tuple[float, ...] = (0.1, 0.25, 0.5), attack_steps: int = 40) -> None:
        if not radii or not all(radius >= 0 for radius in radii) or attack_steps < 0:
            raise InvalidValueError(
                "there must be radii, and they and attack_steps at least 0, but got"
                f" {radii=}, {attack_steps=}."
            )
        self.radii = radii
        self.attack_steps = attack_steps

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        certified = certified_radii(fitted)
        found = {
            "lipschitz": self._bound(fitted),
            "certified_radius": float(certified.median()),
            **{f"certified_accuracy/{r:g}": _share(certified > r) for r in self.radii},
        }
        if self.attack_steps:
            for radius in self.radii:
                kept = self.survivors(fitted, torch.full_like(certified, radius))
                found[f"attacked_accuracy/{radius:g}"] = _share(kept)
        return found

    @override
    def check(self, fitted: Fitted) -> None:
        certified_radii(fitted, most=1)
        self._bound(fitted)

    def _bound(self, fitted: Fitted) -> float:
        """Return the bound on the Lipschitz constant, which must be finite."""
        bound = lipschitz_bound(fitted)
        if not math.isfinite(bound):
            raise InvalidValueError(
                f"{self.name} must have activations of bounded slope, but the bound of"
                f" {fitted.name} is {bound}. Search with --require '[derivative_bound <= 1]'."
            )
        return bound

    def survivors(self, fitted: Fitted, radii: Tensor) -> Tensor:
        """Return which samples of the measured split keep their class under the attack, ``(N,)``.

        Args:
            fitted: the trained module.
            radii: of the ball about each, ``(N,)``.
        """
        kept: list[Tensor] = []
        for batch in fitted.batches():
            given, named = arguments(fitted.module, batch)
            x: Tensor = (*given, *named.values())[0]
            reach, radii = radii[: len(x)], radii[len(x) :]
            labels = fitted.labels(batch)
            kept.append(attack(fitted.module, x, labels, reach.to(x), self.attack_steps).cpu())
        return torch.cat(kept)

    @override
    def pictures(self, fitted: Fitted, folder: Path) -> None:
        """Draw certified and attacked accuracy over the radius."""
        certified = certified_radii(fitted)
        end = max(*self.radii, 1.5 * float(certified.max()))
        figure, axes = new_figure(size=4.0)
        ax = axes[0, 0]
        grid = torch.linspace(0, end, 400)
        ax.plot(grid.numpy(), [_share(certified > radius) for radius in grid], label="certified")
        if self.attack_steps:
            few = torch.linspace(0, end, DRAWN).tolist()
            kept = [self.survivors(fitted, torch.full_like(certified, r)) for r in few]
            ax.plot(few, list(map(_share, kept)), marker="o", markersize=4, label="attacked")
        ax.set(xlabel="radius", ylabel="accuracy", ylim=(0, 1))
        ax.set_title(f"Lipschitz bound {lipschitz_bound(fitted):.3g}")
        ax.legend()
        figure.savefig(folder / "robustness.png", dpi=DPI)


def _share(which: Tensor) -> float:
    return float(which.double().mean())
