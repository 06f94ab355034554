"""Accuracy that no perturbation up to a radius can take away."""

from __future__ import annotations

import math

import torch
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.lipschitz import lipschitz
from actsearch.measures.measure import Measure


class CertifiedAccuracy(Measure):
    r"""Share of samples that are right, and stay right under every perturbation up to a radius.

    .. math::
        r(x) = \frac{f_y(x) - \max_{c \ne y} f_c(x)}{\sqrt 2 \, L} > r

    with a bound L on the Lipschitz constant of the logits f: of layers in a chain the product of
    spectral norms and of the catalogue's ``derivative_bound``, for every value that training may
    have reached; of a residual sum the sum of both branches.

    Args:
        radius: r, Euclidean, in units of the model's input; at least 0.

    Raises:
        InvalidValueError: the radius is below 0; a layer whose Lipschitz constant is not known.

    References:
        Lipschitz-Margin Training: Scalable Certification of Perturbation Invariance for Deep Neural
        Networks, Y. Tsuzuku, I. Sato and M. Sugiyama, 2018, https://arxiv.org/abs/1802.04034
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
        logits, labels = fitted.gather("logits", "labels")
        right = logits.gather(1, labels[:, None]).squeeze(1)
        other = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
        bound = math.sqrt(2) * lipschitz_bound(fitted)
        return float(((right - other) / bound > self.radius).float().mean())

    @override
    def check(self, fitted: Fitted) -> None:
        lipschitz_bound(fitted)


def lipschitz_bound(fitted: Fitted) -> float:
    """Return a bound on the Lipschitz constant of a module's forward.

    Args:
        fitted: the module; it need not be trained yet.

    Raises:
        InvalidValueError: a layer or an activation whose Lipschitz constant is not known.
    """
    model, sites = fitted.watched
    slopes = {p: s.properties.derivative_bound for p, s in sites.items() if s.properties}
    return lipschitz(model.eval(), slopes, fitted.example)
