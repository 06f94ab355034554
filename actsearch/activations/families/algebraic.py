"""Algebraic functions: made of powers and roots. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Activation, Parameter, Value, at_least_single
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


@register
class Square(Activation):
    r"""Square.

    .. math:: \varphi(x) = x^2
    """

    name = "square"
    formula = "x**2"
    facts: ClassVar = known(
        "even zero_preserving convex",
        smoothness=inf,
        slope=inf,
        values=(0, inf),
        asymptotes=(-inf, inf),
    )

    @override
    def function(self, x: Tensor) -> Tensor:
        return x.square()


@register
class BentIdentity(Activation):
    r"""Bent identity.

    .. math:: \varphi(x) = \frac{\sqrt{x^2 + 1} - 1}{2} + x
    """

    name = "bent_identity"
    formula = "(sqrt(x**2 + 1) - 1)/2 + x"
    facts: ClassVar = known(
        "monotone zero_preserving convex bijective",
        smoothness=inf, slope=1.5, values=(-inf, inf), asymptotes=(0.5, 1.5),
    )  # fmt: skip

    @at_least_single
    def function(self, x: Tensor) -> Tensor:
        """Return the formula with ``√(x² + 1) - 1`` as ``x²/(√(x² + 1) + 1)``, accurate near 0."""
        square = x.square()
        return 0.5 * square / (torch.sqrt(square + 1) + 1) + x


@register
class Squareplus(Activation):
    r"""Squareplus: a smooth rectifier without a transcendental function.

    .. math:: \varphi(x) = \tfrac12 \left(x + \sqrt{x^2 + b}\right)

    It is computed as :math:`\max(0, x) + \tfrac b2 / (\sqrt{x^2 + b} + |x|)`, which does not
    cancel.

    Args:
        b: :math:`b`, positive; the size of the bend.

    References:
        Squareplus: A Softplus-Like Algebraic Rectifier, J. Barron, 2021,
            https://arxiv.org/abs/2112.11687
    """

    name = "squareplus"
    formula = "(x + sqrt(x**2 + b))/2"
    arguments: ClassVar = {"b": Parameter(4.0, constraints.positive, symbol="b")}

    def function(self, x: Tensor, b: Value) -> Tensor:
        """Return the rectifier plus an even remainder, which cancels nowhere.

        The parts of |x| have the slopes 1 and 0 at 0, so that φ' and φ'' are right there.
        """
        negative = F.relu(-x)
        positive = x + negative
        return positive + 0.5 * b / (torch.sqrt(x * x + b) + (positive + negative))

    @classmethod
    @override
    def declare(cls, b: float) -> dict[str, Any]:
        return known(
            "monotone convex bijective", smoothness=inf, slope=1, values=(0, inf), asymptotes=(0, 1)
        )


@register
class ISRLU(Activation):
    r"""Inverse square root linear unit.

    .. math:: \varphi(x) = x \text{ if } x \ge 0 \text{ else } \frac{x}{\sqrt{1 + \alpha x^2}}

    Args:
        alpha: :math:`\alpha`, positive; the left limit is :math:`-1/\sqrt\alpha`.

    References:
        Improving Deep Learning by Inverse Square Root Linear Units (ISRLUs), B. Carlile et al.,
        2017, https://arxiv.org/abs/1710.09967
    """

    name = "isrlu"
    formula = "x if x >= 0 else x/sqrt(1 + α*x**2)"
    arguments: ClassVar = {"alpha": Parameter(1.0, constraints.positive, symbol="α")}

    def function(self, x: Tensor, alpha: Value) -> Tensor:
        """Return the formula.

        The root sees the negative part only, so that no branch is selected.
        """
        return x * torch.rsqrt(1 + alpha * F.relu(-x).square())

    @classmethod
    def declare(cls, alpha: float) -> dict[str, Any]:
        """Return the analytic facts.

        Both sides have curvature 0 at 0, and third derivatives 0 and -3α.
        """
        return known(
            "monotone zero_preserving bijective convex",
            smoothness=2, slope=1, values=(-(alpha**-0.5), inf), asymptotes=(0, 1),
        )  # fmt: skip
