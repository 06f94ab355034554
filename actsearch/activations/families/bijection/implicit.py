"""Bijections whose inverse is found by Newton's method. Input and output have shape ``(*)``."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Parameter
from actsearch.activations.bijective import Bijective
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register

NEWTON_STEPS = 100
"""At most: a bisection halves the bracket at least, and Newton's method needs about ten."""


def solve(
    function: Callable[[Tensor], Tensor],
    slope: Callable[[Tensor], Tensor],
    y: Tensor,
    low: Tensor,
    high: Tensor,
) -> Tensor:
    r"""Return the root x of :math:`\varphi(x) = y` between ``low`` and ``high``, for a rising φ.

    .. math:: x \leftarrow x - \frac{\varphi(x) - y}{\varphi'(x)},
        \text{ or the middle of the bracket where that leaves it}

    Numerics: the last step is taken with gradients, which by the implicit function theorem are
    those of the inverse, to first order: in y and in every parameter of φ.

    Shapes:
        ``y``, ``low``, ``high`` and the result ``(*)``.

    Args:
        function: φ.
        slope: φ', positive.
        y: values to invert.
        low: φ(low) ≤ y.
        high: φ(high) ≥ y.

    """
    with torch.no_grad():
        low, high = low.detach(), high.detach()
        x = (low + high) / 2
        for _ in range(NEWTON_STEPS):
            excess = function(x) - y
            high, low = torch.where(excess > 0, x, high), torch.where(excess > 0, low, x)
            newton = x - excess / slope(x)
            following = torch.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
            settled = torch.equal(following, x)
            x = following
            if settled:
                break
        steepness = slope(x)
    return x - (function(x) - y) / steepness


@register
class TanhSkip(Bijective):
    r"""Hyperbolic tangent with a linear skip: saturates, and yet reaches every value.

    .. math:: \varphi(x) = \tanh(x) + s x

    Args:
        skip: :math:`s`, positive; the slope at both ends.

    """

    name = "tanh_skip"
    formula = "tanh(x) + s*x"
    arguments: ClassVar = {"skip": Parameter(0.1, constraints.positive, learn=True, symbol="s")}

    @override
    def function(self, x: Tensor, skip: Tensor | float) -> Tensor:
        return torch.tanh(x) + skip * x

    def inverse_function(self, y: Tensor, skip: Tensor | float) -> Tensor:
        """Return the root of the formula.

        Tanh is within 1, so it lies within 1/s of y/s, between y/s and 0.
        """
        edge, zero = y / skip, torch.zeros_like(y)
        low = torch.maximum(torch.minimum(edge, zero), edge - 1 / skip)
        high = torch.minimum(torch.maximum(edge, zero), edge + 1 / skip)
        return solve(
            lambda x: self.function(x, skip), lambda x: self.log_slope(x, skip).exp(), y, low, high
        )

    def log_slope(self, x: Tensor, skip: Tensor | float) -> Tensor:
        """Return ``log(s + 1/cosh² x)``.

        ``1/cosh² x`` is ``4e/(1+e)²`` with ``e = exp(-2|x|)``, which does not overflow.
        """
        e = torch.exp(-2 * x.abs())
        return torch.log(skip + 4 * e / (1 + e).square())

    @classmethod
    @override
    def declare(cls, skip: float) -> dict[str, Any]:
        return known(
            "monotone odd zero_preserving bijective",
            smoothness=inf, slope=1 + skip, values=(-inf, inf), asymptotes=(skip, skip),
        )  # fmt: skip


@register
class MonotoneCubic(Bijective):
    r"""Rising cubic polynomial.

    .. math:: \varphi(x) = b x + a x^3

    Single precision: finite for :math:`|x| < 10^{12}` at the default values.

    Args:
        cubic: :math:`a`, positive.
        linear: :math:`b`, positive; the slope at 0.

    """

    name = "monotone_cubic"
    formula = "b*x + a*x**3"
    arguments: ClassVar = {
        "cubic": Parameter(0.1, constraints.positive, learn=True, symbol="a"),
        "linear": Parameter(1.0, constraints.positive, learn=True, symbol="b"),
    }

    @override
    def function(self, x: Tensor, cubic: Tensor | float, linear: Tensor | float) -> Tensor:
        return x * (linear + cubic * x * x)

    def inverse_function(self, y: Tensor, cubic: Tensor | float, linear: Tensor | float) -> Tensor:
        """Return the only real root.

        Both terms have one sign, so it is no larger than the root of either alone.
        """
        size = torch.minimum(y.abs() / linear, (y.abs() / cubic) ** (1 / 3))
        low, high = torch.where(y < 0, -size, 0.0), torch.where(y > 0, size, 0.0)
        # The bound is rounded, and must stay a bound.
        low, high = low * (1 + 1e-6), high * (1 + 1e-6)
        return solve(
            lambda x: self.function(x, cubic, linear),
            lambda x: self.log_slope(x, cubic, linear).exp(),
            y,
            low,
            high,
        )

    def log_slope(self, x: Tensor, cubic: Tensor | float, linear: Tensor | float) -> Tensor:
        """Return ``log(b + 3 a x²)``."""
        return torch.log(linear + 3 * cubic * x * x)

    @classmethod
    @override
    def declare(cls, cubic: float, linear: float) -> dict[str, Any]:
        return known(
            "monotone odd zero_preserving bijective",
            smoothness=inf, slope=inf, values=(-inf, inf), asymptotes=(inf, inf),
        )  # fmt: skip
