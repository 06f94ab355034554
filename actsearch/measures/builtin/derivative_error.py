"""Error of a regression's derivatives."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import MeasureError
from actsearch.measures.batch import arguments
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.partial_derivatives import NAMES, partial_derivatives
from actsearch.measures.measure import Measure


class DerivativeError(Measure):
    r"""Relative L2 error of a regression and of its first and second derivatives by its inputs.

    .. math:: \sqrt{\sum (f^{(k)} - \hat f^{(k)})^2 / \sum (\hat f^{(k)})^2}

    As ``derivative_error/value``, ``/first`` and ``/second``, as far as the module knows the true
    ones, whatever it was trained on. That of a second derivative that is 0 everywhere, as ReLU's,
    is exactly 1. A module of one's own says what is true by a method::

        def derivatives(self, batch):
            return batch["price"], batch["sensitivities"]  # (N, 1), (N, 1, D)

    References:
        Sobolev Training for Neural Networks, W. Czarnecki, S. Osindero, M. Jaderberg,
        G. Swirszcz and R. Pascanu, 2017, https://arxiv.org/abs/1706.04859
    """

    name = "derivative_error"
    direction = "min"
    needs = frozenset({"derivatives"})

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        sums = torch.stack([_squares(fitted, batch) for batch in fitted.batches()]).sum(0)
        if not sums[1].all():
            raise MeasureError(
                "derivatives(batch) must not return what is 0 everywhere, since errors are relative"
                f" to it, but got squares of {sums[1].tolist()}. Return fewer orders."
            )
        relative = (sums[0] / sums[1]).sqrt().tolist()
        return dict(zip(NAMES, relative, strict=False))

    @override
    def check(self, fitted: Fitted) -> None:
        _squares(fitted, fitted.first())


def _squares(fitted: Fitted, batch: object) -> Tensor:
    """Return the sums of squared errors and of squared true values of each order, ``(2, K)``.

    Raises:
        MeasureError: the true ones have other shapes than the module's.
    """
    wanted = fitted.derivatives(batch)[: len(NAMES)]
    given, named = arguments(fitted.module, batch)
    if len(given) != 1 or named or not isinstance(given[0], Tensor):
        raise MeasureError(
            "derivative_error must have a forward of one tensor (N, D), but"
            f" {fitted.name}'s takes {len(given)} and the keywords {sorted(named)}."
        )
    found = [d.detach() for d in partial_derivatives(fitted.module, given[0], len(wanted) - 1)]
    shapes = [[tuple(part.shape) for part in parts] for parts in (found, wanted)]
    if shapes[0] != shapes[1]:
        raise MeasureError(
            f"derivatives(batch) of {fitted.name} must return tensors of the shapes {shapes[0]},"
            f" those of its forward and its derivatives, but got {shapes[1]}."
        )
    return torch.stack(
        [
            torch.stack([(a - b).square().sum() for a, b in zip(found, wanted, strict=True)]),
            torch.stack([b.square().sum() for b in wanted]),
        ]
    )
