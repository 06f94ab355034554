"""Made of one exponential or one logarithm. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import exp, inf, sqrt
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Activation, Parameter, Value
from actsearch.activations.bijective import Bijective
from actsearch.activations.kernels.blockwise import evaluate_rule
from actsearch.activations.kernels.rules import CELURule, ELURule, SoftplusRule, softplus
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


@register
class ELU(Activation):
    r"""Exponential linear unit.

    .. math:: \varphi(x) = x \text{ if } x \ge 0 \text{ else } \alpha (e^x - 1)

    Args:
        alpha: :math:`\alpha`, positive; the left limit is -α.

    References:
        Fast and Accurate Deep Network Learning by Exponential Linear Units (ELUs), D. Clevert, T.
        Unterthiner and S. Hochreiter, 2015, https://arxiv.org/abs/1511.07289
    """

    name = "elu"
    formula = "x if x >= 0 else α*expm1(x)"
    arguments: ClassVar = {"alpha": Parameter(1.0, constraints.positive, symbol="α")}

    def function(self, x: Tensor, alpha: Value) -> Tensor:
        """Return the formula; the native kernel where α is a number."""
        if isinstance(alpha, Tensor):
            return evaluate_rule(ELURule, x, alpha)
        return F.elu(x, alpha)

    @classmethod
    @override
    def declare(cls, alpha: float) -> dict[str, Any]:
        return known(
            "monotone zero_preserving bijective",
            convex=alpha <= 1,
            smoothness=1 if alpha == 1 else 0,
            slope=max(1.0, alpha),
            values=(-alpha, inf),
            asymptotes=(0, 1),
        )


@register
class CELU(Activation):
    r"""Continuously differentiable exponential linear unit.

    .. math:: \varphi(x) = x \text{ if } x \ge 0 \text{ else } \alpha (e^{x/\alpha} - 1)

    Args:
        alpha: :math:`\alpha`, positive; the left limit is -α.

    References:
        Continuously Differentiable Exponential Linear Units, J. Barron, 2017,
        https://arxiv.org/abs/1704.07483
    """

    name = "celu"
    formula = "x if x >= 0 else α*expm1(x/α)"
    arguments: ClassVar = {"alpha": Parameter(1.0, constraints.positive, symbol="α")}

    def function(self, x: Tensor, alpha: Value) -> Tensor:
        """Return the formula; the native kernel where α is a number."""
        if isinstance(alpha, Tensor):
            return evaluate_rule(CELURule, x, alpha)
        return F.celu(x, alpha)

    @classmethod
    @override
    def declare(cls, alpha: float) -> dict[str, Any]:
        return known(
            "monotone zero_preserving bijective convex",
            smoothness=1,
            slope=1,
            values=(-alpha, inf),
            asymptotes=(0, 1),
        )


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
class Softplus(Bijective):
    r"""Soft plus: a smooth rectifier.

    .. math:: \varphi(x) = \tfrac{1}{\beta} \log(1 + e^{\beta x})

    Args:
        beta: :math:`\beta`, positive, in inverse units of x; large values approach ReLU.

    References:
        Incorporating Second-Order Functional Knowledge for Better Option Pricing, C. Dugas et al.,
        2000,
        https://proceedings.neurips.cc/paper/2000/hash/44968aece94f667e4095002d140b5896-Abstract.html
    """

    name = "softplus"
    formula = "softplus(β*x)/β"
    arguments: ClassVar = {"beta": Parameter(1.0, constraints.positive, symbol="β")}

    @override
    def function(self, x: Tensor, beta: Value) -> Tensor:
        if isinstance(beta, Tensor):
            return evaluate_rule(SoftplusRule, x, beta)
        return softplus(x, beta)

    def inverse_function(self, y: Tensor, beta: Value) -> Tensor:
        """Return ``y + log(1 - exp(-βy)) / β``."""
        return y + torch.log(-torch.expm1(-beta * y)) / beta

    def log_slope(self, x: Tensor, beta: Value) -> Tensor:
        """Return ``log σ(βx)``."""
        return F.logsigmoid(beta * x)

    @classmethod
    @override
    def declare(cls, beta: float) -> dict[str, Any]:
        return known(
            "monotone convex bijective", smoothness=inf, slope=1, values=(0, inf), asymptotes=(0, 1)
        )


@register
class LogSigmoid(Activation):
    r"""Logarithm of the logistic sigmoid.

    .. math:: \varphi(x) = -\log(1 + e^{-x})
    """

    name = "logsigmoid"
    formula = "-softplus(-x)"
    facts: ClassVar = known(
        "monotone bijective", smoothness=inf, slope=1, values=(-inf, 0), asymptotes=(1, 0)
    )

    @override
    def function(self, x: Tensor) -> Tensor:
        return F.logsigmoid(x)


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

    @override
    def function(self, x: Tensor) -> Tensor:
        return torch.log1p(x.abs())


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

    @override
    def function(self, x: Tensor) -> Tensor:
        return torch.asinh(x)

    def inverse_function(self, y: Tensor) -> Tensor:
        """Return ``sinh(y)``."""
        return torch.sinh(y)

    def log_slope(self, x: Tensor) -> Tensor:
        """Return ``-log(1 + x²) / 2``."""
        return -0.5 * torch.log1p(x.square())


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

    @override
    def function(self, x: Tensor) -> Tensor:
        return torch.exp(-x.square())
