"""Bijections of the real line whose inverse is a formula. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import exp, inf, log
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Parameter
from actsearch.activations.bijective import Bijective
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


def exponential(value: Any) -> Any:
    """Return eᵛ of a tensor, or of a number, which is infinite where it overflows."""
    if isinstance(value, Tensor):
        return value.exp()
    return exp(value) if value < 700 else inf  # where a float overflows, it raises


def logarithm(value: Any) -> Any:
    """Return the logarithm of a tensor or a number."""
    return value.log() if isinstance(value, Tensor) else log(value)


def log_cosh(x: Tensor) -> Tensor:
    """Return log cosh x as ``|x| + softplus(-2|x|) - log 2``, which does not overflow."""
    magnitude = x.abs()
    return magnitude + F.softplus(-2 * magnitude) - log(2)


@register
class ELULinearTail(Bijective):
    r"""ELU whose left side goes on as a straight line, so that no value is out of its reach.

    .. math:: \varphi(x) = \begin{cases} x & x \ge 0 \\ \alpha (e^x - 1) & t \le x < 0 \\
        \alpha (e^t - 1 + e^t (x - t)) & x < t \end{cases}

    The two parts on the left meet with one slope; at 0 the slopes are :math:`\alpha` and 1.

    Args:
        alpha: :math:`\alpha`, positive; the slope just left of 0.
        tail: :math:`t`, negative; where the line begins.

    """

    name = "elu_linear_tail"
    formula = "x if x >= 0 else α*(expm1(max(x, t)) + exp(t)*min(x - t, 0))"
    arguments: ClassVar = {
        "alpha": Parameter(1.0, constraints.positive, symbol="α"),
        "tail": Parameter(-2.0, constraints.less_than(0.0), symbol="t"),
    }

    def function(self, x: Tensor, alpha: Tensor | float, tail: Tensor | float) -> Tensor:
        """Return the formula; both branches are finite for every x, so no gradient is lost."""
        left = x.clamp(max=0.0)
        curve = left.clamp(min=tail)
        return torch.where(
            x >= 0, x, alpha * (torch.expm1(curve) + exponential(tail) * (left - curve))
        )

    def inverse_function(self, y: Tensor, alpha: Tensor | float, tail: Tensor | float) -> Tensor:
        """Return ``log(1 + y/α)`` where the curve is, and the line's inverse beyond it."""
        slope = exponential(tail)
        left = y.clamp(max=0.0) / alpha
        curve = left.clamp(min=slope - 1)
        return torch.where(y >= 0, y, torch.log1p(curve) + (left - curve) / slope)

    def log_slope(self, x: Tensor, alpha: Tensor | float, tail: Tensor | float) -> Tensor:
        """Return 0 on the right and ``log α + max(x, t)`` on the left."""
        return torch.where(
            x >= 0, torch.zeros_like(x), logarithm(alpha) + x.clamp(max=0.0).clamp(min=tail)
        )

    @classmethod
    @override
    def declare(cls, alpha: float, tail: float) -> dict[str, Any]:
        return known(
            "monotone bijective zero_preserving",
            convex=alpha <= 1,
            smoothness=1 if alpha == 1 else 0,
            slope=max(1.0, alpha),
            values=(-inf, inf),
            asymptotes=(alpha * exponential(tail), 1),
        )


@register
class SinhArcsinh(Bijective):
    r"""Sinh-arcsinh transform: sets skewness and the weight of the tails of a distribution.

    .. math:: \varphi(x) = \sinh(\delta \operatorname{arsinh}(x) - \epsilon)

    It is the identity at the start. It grows like :math:`|x|^\delta`. Single precision: finite
    while :math:`\delta \operatorname{arsinh}|x| + |\epsilon| < 88`.

    Args:
        skewness: :math:`\epsilon`, any real number; a positive one lowers every value.
        tailweight: :math:`\delta`, positive; above 1 the tails of the output are heavier.

    References:
        Sinh-arcsinh distributions, M. C. Jones and A. Pewsey, 2009,
        https://doi.org/10.1093/biomet/asp053

    """

    name = "sinh_arcsinh"
    formula = "sinh(δ*arcsinh(x) - ε)"
    arguments: ClassVar = {
        "skewness": Parameter(0.0, learn=True, symbol="ε"),
        "tailweight": Parameter(1.0, constraints.positive, learn=True, symbol="δ"),
    }

    @override
    def function(self, x: Tensor, skewness: Tensor | float, tailweight: Tensor | float) -> Tensor:
        return torch.sinh(tailweight * torch.asinh(x) - skewness)

    def inverse_function(
        self, y: Tensor, skewness: Tensor | float, tailweight: Tensor | float
    ) -> Tensor:
        """Return ``sinh((arsinh y + ε) / δ)``."""
        return torch.sinh((torch.asinh(y) + skewness) / tailweight)

    def log_slope(self, x: Tensor, skewness: Tensor | float, tailweight: Tensor | float) -> Tensor:
        """Return ``log δ + log cosh(δ arsinh x - ε) - log cosh(arsinh x)``."""
        u = torch.asinh(x)
        result: Tensor = log_cosh(tailweight * u - skewness) - log_cosh(u) + logarithm(tailweight)
        return result

    @classmethod
    def declare(cls, skewness: float, tailweight: float) -> dict[str, Any]:
        """Return the analytic facts.

        There is no formula for the derivative bound of lighter tails with a skewness.
        """
        ε, δ = skewness, tailweight
        symmetric, same = ε == 0, ε == 0 and δ == 1
        growth = (0.0, 0.0)
        if δ == 1:
            growth = (exponential(ε), exponential(-ε))
        elif δ > 1:
            growth = (inf, inf)
        facts = known(
            "monotone bijective",
            odd=symmetric,
            zero_preserving=symmetric,
            convex=same,
            positively_homogeneous=same,
            smoothness=inf,
            slope=inf,
            values=(-inf, inf),
            asymptotes=growth,
            pieces=1 if same else None,
        )
        if δ == 1:
            facts["derivative_bound"] = exponential(abs(ε))
        elif δ < 1 and ε == 0:
            facts["derivative_bound"] = δ
        elif δ < 1:
            del facts["derivative_bound"]
        return facts
