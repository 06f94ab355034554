"""Whether several losses of a model pull its shared parameters one way."""

from __future__ import annotations

from itertools import combinations, islice
from statistics import fmean
from typing import Any

from typing_extensions import override

from actsearch.errors import InvalidValueError, MeasureError
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.gradient_cosine import gradient_cosine, shared_gradients
from actsearch.measures.measure import Measure


class GradientCosine(Measure):
    r"""Cosine of the gradients of each pair of losses, averaged over training batches.

    .. math:: \cos(\nabla_\theta L_i, \nabla_\theta L_j)

    As ``gradient_cosine/I-J``, by the parameters that both losses reach; a head of one alone stays
    out. Above 0 a step on one loss lowers the other, below 0 they conflict; which is better depends
    on the losses. A module of one's own says what they are by a method::

        def losses(self, batch):
            return {"depth": self.depth_loss(batch), "normals": self.normals_loss(batch)}

    Args:
        draws: number of batches, at least 1; fewer where the training data have no more.

    Raises:
        InvalidValueError: no draw.

    References:
        Gradient Surgery for Multi-Task Learning, T. Yu, S. Kumar, A. Gupta, S. Levine, K. Hausman
        and C. Finn, 2020, https://arxiv.org/abs/2001.06782
    """

    name = "gradient_cosine"
    direction = None
    needs = frozenset({"losses"})

    def __init__(self, draws: int = 16) -> None:
        if draws < 1:
            raise InvalidValueError(f"draws must be at least 1, but got {draws!r}.")
        self.draws = draws

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        found = [_cosines(fitted, b) for b in islice(fitted.batches("train"), self.draws)]
        return {pair: fmean(cosines[pair] for cosines in found) for pair in found[0]}

    @override
    def check(self, fitted: Fitted) -> None:
        _cosines(fitted, fitted.first("train"))


def _cosines(fitted: Fitted, batch: Any) -> dict[str, float]:
    losses = fitted.losses(batch)
    if len(losses) < 2:
        raise MeasureError(
            f"losses(batch) of {fitted.name} must return at least two losses, but got"
            f" {', '.join(losses) or 'none'}."
        )
    parameters = list(fitted.module.parameters())
    return {
        f"{one}-{other}": float(
            gradient_cosine(shared_gradients([losses[one], losses[other]], parameters))[0, 1]
        )
        for one, other in combinations(losses, 2)
    }
