"""Elementary functions and smooth rectifiers. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import exp, inf, sqrt
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from actsearch.activations.base import Activation, Parameter, Value
from actsearch.activations.bijective import Bijective
from actsearch.activations.kernels import fused
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


@register
class SELU(Activation):
    r"""Scaled exponential linear unit.

    .. math:: \varphi(x) = \lambda \, (x \text{ if } x \ge 0 \text{ else } \alpha (e^x - 1)),
        \quad \lambda \approx 1.0507, \; \alpha \approx 1.6733

    References:
        Self-Normalizing Neural Networks, G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter,
        2017, https://arxiv.org/abs/1706.02515
    """

    name = "selu"
    formula = "1.0507009873554805 * (x if x >= 0 else 1.6732632423543772*expm1(x))"
    facts: ClassVar = known(
        "monotone zero_preserving bijective", smoothness=0, slope=SELU_SCALE * SELU_ALPHA,
        values=(-SELU_SCALE * SELU_ALPHA, inf), asymptotes=(0, SELU_SCALE),
    )  # fmt: skip

    def function(self, x: Tensor) -> Tensor:
        """Return the scaled exponential linear unit."""
        return F.selu(x)


@register
class Squareplus(Activation):
    r"""Squareplus: a smooth rectifier without a transcendental function.

    .. math:: \varphi(x) = \tfrac12 \left(x + \sqrt{x^2 + b}\right)

    For negative x the equal form :math:`b / (2(\sqrt{x^2 + b} - x))` is used, which does not cancel.

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
        """Return the formula as rectifier plus even remainder, which cancels nowhere."""
        return fused.apply(fused.Squareplus, x, b)

    @classmethod
    def declare(cls, b: float) -> dict[str, Any]:
        """Return the analytic facts."""
        return known(
            "monotone convex bijective", smoothness=inf, slope=1, values=(0, inf), asymptotes=(0, 1)
        )


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

    def function(self, x: Tensor) -> Tensor:
        """Return the formula with ``√(x² + 1) - 1`` as ``x²/(√(x² + 1) + 1)``, accurate near 0."""
        square = x.square()
        return 0.5 * square / (torch.sqrt(square + 1) + 1) + x


@register
class Arcsinh(Bijective):
    r"""Inverse hyperbolic sine.

    .. math:: \varphi(x) = \log(x + \sqrt{x^2 + 1})
    """

    name = "arcsinh"
    formula = "arcsinh(x)"
    facts: ClassVar = known(
        "monotone odd zero_preserving bijective",
        smoothness=inf, slope=1, values=(-inf, inf), asymptotes=(0, 0),
    )  # fmt: skip

    def function(self, x: Tensor) -> Tensor:
        """Return ``arcsinh(x)``."""
        return torch.asinh(x)

    def inverse_function(self, y: Tensor) -> Tensor:
        """Return ``sinh(y)``."""
        return torch.sinh(y)

    def log_slope(self, x: Tensor) -> Tensor:
        """Return ``-log(1 + x²) / 2``."""
        return -0.5 * torch.log1p(x.square())


@register
class Log1pAbs(Activation):
    r"""Logarithm of one plus the absolute value.

    .. math:: \varphi(x) = \log(1 + |x|)
    """

    name = "log1pabs"
    formula = "log1p(abs(x))"
    facts: ClassVar = known(
        "even zero_preserving", smoothness=0, slope=1, values=(0, inf), asymptotes=(0, 0)
    )

    def function(self, x: Tensor) -> Tensor:
        """Return ``log(1 + |x|)``."""
        return torch.log1p(x.abs())


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

    def function(self, x: Tensor) -> Tensor:
        """Return ``x²``."""
        return x.square()


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

    def function(self, x: Tensor, frequency: Value) -> Tensor:
        """Return ``sin(ωx)``."""
        return torch.sin(x if isinstance(frequency, float) and frequency == 1 else frequency * x)

    @classmethod
    def declare(cls, frequency: float) -> dict[str, Any]:
        """Return the analytic facts."""
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

    def function(self, x: Tensor) -> Tensor:
        """Return ``cos(x)``."""
        return torch.cos(x)


@register
class Gaussian(Activation):
    r"""Gaussian bell.

    .. math:: \varphi(x) = e^{-x^2}
    """

    name = "gaussian"
    formula = "exp(-x**2)"
    facts: ClassVar = known(
        "even", smoothness=inf, slope=sqrt(2) * exp(-0.5), values=(0, 1), asymptotes=(0, 0)
    )

    def function(self, x: Tensor) -> Tensor:
        """Return ``exp(-x²)``."""
        return torch.exp(-x.square())


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
