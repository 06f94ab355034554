"""Periodic functions. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Activation, Parameter, Value
from actsearch.activations.kernels.rules import not_zero
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


@register
class Sine(Activation):
    r"""Sine.

    .. math:: \varphi(x) = \sin(\omega x)

    Args:
        frequency: :math:`\omega`, positive, in radians per unit of x.

    References:
        Implicit Neural Representations with Periodic Activation Functions, V. Sitzmann et al.,
        2020, https://arxiv.org/abs/2006.09661
    """

    name = "sine"
    formula = "sin(ω*x)"
    arguments: ClassVar = {"frequency": Parameter(1.0, constraints.positive, symbol="ω")}

    @override
    def function(self, x: Tensor, frequency: Value) -> Tensor:
        return torch.sin(x if isinstance(frequency, float) and frequency == 1 else frequency * x)

    @classmethod
    @override
    def declare(cls, frequency: float) -> dict[str, Any]:
        return known(
            "odd zero_preserving",
            smoothness=inf,
            slope=frequency,
            values=(-1, 1),
            asymptotes=(0, 0),
        )


@register
class Cosine(Activation):
    r"""Cosine.

    .. math:: \varphi(x) = \cos(x)
    """

    name = "cosine"
    formula = "cos(x)"
    facts: ClassVar = known("even", smoothness=inf, slope=1, values=(-1, 1), asymptotes=(0, 0))

    @override
    def function(self, x: Tensor) -> Tensor:
        return torch.cos(x)


@register
class Snake(Activation):
    r"""Snake: the identity with a learned ripple, for periodic targets.

    .. math:: \varphi(x) = x + \tfrac1a \sin^2(a x)

    Args:
        frequency: :math:`a`, positive, in radians per unit of x.

    References:
        Neural Networks Fail to Learn Periodic Functions and How to Fix It, L. Ziyin, T. Hartwig and
        M. Ueda, 2020, https://arxiv.org/abs/2006.08195
    """

    name = "snake"
    formula = "x + sin(a*x)**2/a"
    arguments: ClassVar = {
        "frequency": Parameter(1.0, constraints.positive, learn=True, symbol="a")
    }

    def function(self, x: Tensor, frequency: Value) -> Tensor:
        """Return the formula; a learned frequency may come down to 0."""
        a = not_zero(frequency) if isinstance(frequency, Tensor) else frequency
        return x + torch.sin(a * x).square() / a

    @classmethod
    def declare(cls, frequency: float) -> dict[str, Any]:
        """Return the analytic facts.

        Its derivative 1 + sin(2ax) touches zero and does not cross it.
        """
        return known(
            "monotone zero_preserving bijective",
            smoothness=inf,
            slope=2,
            values=(-inf, inf),
            asymptotes=(1, 1),
        )
