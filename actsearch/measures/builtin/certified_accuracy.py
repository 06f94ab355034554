"""Accuracy that no perturbation up to a radius can take away."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.certified_radius import certified_radius
from actsearch.measures.functional.lipschitz import lipschitz, pairwise_lipschitz
from actsearch.measures.measure import Measure
from actsearch.measures.returned_logits import check_returned_logits
from actsearch.measures.watched import WatchedSite


class CertifiedAccuracy(Measure):
    r"""Share of samples that are right, and stay right under every perturbation up to a radius.

    .. math:: \min_{c \ne y} \frac{f_y(x) - f_c(x)}{L_{yc}} > r

    with bounds :math:`L_{yc}` on the Lipschitz constants of the differences of the logits f: of
    layers in a chain the product of their norms and of the catalogue's ``derivative_bound``, for
    every value that training may have reached; of a residual sum the sum of both branches; of the
    last layer the distance of two rows. ``robustness`` has more of it.

    Args:
        radius: r, Euclidean, in units of the model's input; at least 0.

    Raises:
        InvalidValueError: the radius is below 0; a layer whose Lipschitz constant is not known.

    References:
        Globally-Robust Neural Networks, K. Leino, Z. Wang and M. Fredrikson, 2021,
        https://arxiv.org/abs/2102.08452
    """

    name = "certified_accuracy"
    direction = "max"
    needs = frozenset({"labels", "logits"})

    def __init__(self, radius: float = 0.05) -> None:
        if not radius >= 0:
            raise InvalidValueError(f"radius must be at least 0, but got {radius!r}.")
        self.radius = radius

    @override
    def __call__(self, fitted: Fitted) -> float:
        return float((certified_radii(fitted) > self.radius).double().mean())

    @override
    def check(self, fitted: Fitted) -> None:
        certified_radii(fitted, most=1)


def certified_radii(fitted: Fitted, most: int | None = None) -> Tensor:
    """Return the certified radius of each sample of the measured split, ``(N,)``.

    Args:
        fitted: the module; it need not be trained yet.
        most: rows after which it ends.

    Raises:
        InvalidValueError: a layer or an activation whose Lipschitz constant is not known.
        MeasureError: its forward is not from one tensor to the logits.
    """
    check_returned_logits(fitted, "a certificate")
    logits, labels = fitted.gather("logits", "labels", most=most)
    model, sites = fitted.watched
    pairs = pairwise_lipschitz(model.eval(), _slopes(sites), fitted.example)
    return certified_radius(logits, labels, pairs)


def lipschitz_bound(fitted: Fitted) -> float:
    """Return a bound on the Lipschitz constant of a module's forward.

    Args:
        fitted: the module; it need not be trained yet.

    Raises:
        InvalidValueError: a layer or an activation whose Lipschitz constant is not known.
    """
    model, sites = fitted.watched
    return lipschitz(model.eval(), _slopes(sites), fitted.example)


def _slopes(sites: Mapping[str, WatchedSite]) -> dict[str, float]:
    return {p: s.properties.derivative_bound for p, s in sites.items() if s.properties}
