"""x times a cumulative distribution function of x. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import exp, inf
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Activation, Option, Parameter, Value
from actsearch.activations.kernels.blockwise import evaluate_rule
from actsearch.activations.kernels.rules import GELURule, SwishRule
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


def gated(minimum: float, slope: float, right: float = 1.0) -> dict[str, Any]:
    """Return the facts that smooth self-gated activations share.

    They are not monotone, 0 at 0, and go from 0 to a multiple of x.
    """
    return known(
        "zero_preserving", smoothness=inf, slope=slope, values=(minimum, inf), asymptotes=(0, right)
    )


@register
class SiLU(Activation):
    r"""Sigmoid linear unit; Swish with β = 1.

    .. math:: \varphi(x) = x \, \sigma(x)

    References:
        Sigmoid-Weighted Linear Units for Neural Network Function Approximation in Reinforcement
        Learning, S. Elfwing, E. Uchibe and K. Doya, 2017, https://arxiv.org/abs/1702.03118
    """

    name = "silu"
    formula = "x*sigmoid(x)"
    facts: ClassVar = gated(-0.278464542761074, 1.099839320128867)

    @override
    def function(self, x: Tensor) -> Tensor:
        return F.silu(x)


SILU_MINIMUM, SILU_SLOPE = SiLU.facts["minimum"], SiLU.facts["derivative_bound"]


@register
class Swish(Activation):
    r"""Swish: a SiLU with learned sharpness.

    .. math:: \varphi(x) = x \, \sigma(\beta x)

    It is computed as silu(βx)/β, for which torch has a kernel.

    Args:
        beta: :math:`\beta`, positive, in inverse units of x; 1 is the SiLU, large values approach
            ReLU.

    References:
        Searching for Activation Functions, P. Ramachandran, B. Zoph and Q. Le, 2017,
        https://arxiv.org/abs/1710.05941
    """

    name = "swish"
    formula = "x*sigmoid(β*x)"
    arguments: ClassVar = {"beta": Parameter(1.0, constraints.positive, learn=True, symbol="β")}

    @override
    def function(self, x: Tensor, beta: Value) -> Tensor:
        if not isinstance(beta, Tensor) and beta == 1:
            return F.silu(x)
        return evaluate_rule(SwishRule, x, beta)

    @classmethod
    @override
    def declare(cls, beta: float) -> dict[str, Any]:
        return gated(SILU_MINIMUM / beta, SILU_SLOPE)


@register
class ACONC(Activation):
    r"""Activate or not (ACON-C): a learned switch between two learned slopes.

    .. math:: \varphi(x) = (p_1 - p_2) x \, \sigma(\beta (p_1 - p_2) x) + p_2 x

    It starts at the SiLU.

    Args:
        p1: :math:`p_1`, one of the asymptotes' slopes.
        p2: :math:`p_2`, the other.
        beta: :math:`\beta`, positive, in inverse units of x; the sharpness of the switch.

    References:
        Activate or Not: Learning Customized Activation, N. Ma et al., 2020,
            https://arxiv.org/abs/2009.04759
    """

    name = "acon_c"
    formula = "(p1 - p2)*x*sigmoid(β*(p1 - p2)*x) + p2*x"
    arguments: ClassVar = {
        "p1": Parameter(1.0, learn=True, symbol="p1"),
        "p2": Parameter(0.0, learn=True, symbol="p2"),
        "beta": Parameter(1.0, constraints.positive, learn=True, symbol="β"),
    }

    @override
    def function(self, x: Tensor, p1: Value, p2: Value, beta: Value) -> Tensor:
        difference = (p1 - p2) * x
        return difference * torch.sigmoid(beta * difference) + p2 * x

    @classmethod
    def declare(cls, p1: float, p2: float, beta: float) -> dict[str, Any]:
        """Return the analytic facts: with d = p₁ - p₂, φ(x) = silu(βdx)/β + p₂x."""
        left, right, d = min(p1, p2), max(p1, p2), p1 - p2
        if d == 0:
            return _line(p1)
        bend = (SILU_SLOPE - 1) * abs(d)
        steepest, flattest = right + bend, left - bend
        return known(
            "zero_preserving",
            monotone=flattest >= 0,
            bijective=flattest >= 0 or steepest <= 0,
            smoothness=inf,
            slope=max(abs(steepest), abs(flattest)),
            values=(-inf if left > 0 or right < 0 else _lowest(-left / abs(d)) / beta, inf),
            asymptotes=(left, right),
        )


def _line(slope: float) -> dict[str, Any]:
    """Return the facts of a straight line through the origin."""
    flat = slope == 0
    return known(
        "odd convex positively_homogeneous zero_preserving",
        monotone=slope >= 0,
        bijective=not flat,
        even=flat,
        smoothness=inf,
        slope=abs(slope),
        values=(0.0, 0.0) if flat else (-inf, inf),
        asymptotes=(slope, slope),
        pieces=1,
    )


def _lowest(slope: float) -> float:
    """Return the minimum over u of silu(u) - slope·u, for 0 ≤ slope ≤ 1.

    There silu' = slope has one root of rising silu'.
    """
    if slope == 1:  # silu(u) - u = silu(-u)
        return float(SILU_MINIMUM)
    low, high = -2.399357280520468, 2.399357280520468
    for _ in range(100):
        u = (low + high) / 2
        σ = 1 / (1 + exp(-u))
        low, high = (u, high) if σ + u * σ * (1 - σ) < slope else (low, u)
    return low / (1 + exp(-low)) - slope * low


@register
class GELU(Activation):
    r"""Gaussian error linear unit.

    .. math:: \varphi(x) = \frac{x}{2} \left(1 + \operatorname{erf}(x / \sqrt 2)\right)

    Args:
        approximate: ``"none"``, or ``"tanh"`` for the approximation by tanh (largest error 4.8e-4).

    References:
        Gaussian Error Linear Units (GELUs), D. Hendrycks and K. Gimpel, 2016,
        https://arxiv.org/abs/1606.08415
    """

    name = "gelu"
    formula = "x/2 * (1 + erf(x/sqrt(2)))"
    arguments: ClassVar = {"approximate": Option("none", ("none", "tanh"))}

    @override
    def function(self, x: Tensor, approximate: str) -> Tensor:
        return F.gelu(x, approximate=approximate)

    @classmethod
    @override
    def declare(cls, approximate: str) -> dict[str, Any]:
        if approximate == "tanh":
            return gated(-0.170040750571254, 1.128993068658772)
        return gated(-0.169971207479904, 1.128904145185155)


@register
class ParametricGELU(Activation):
    r"""Gaussian error linear unit with a learned standard deviation.

    .. math:: \varphi(x) = \frac{x}{2} \left(1 + \operatorname{erf}\frac{x}{\sigma \sqrt 2}\right)

    Args:
        sigma: :math:`\sigma`, positive, in units of x; 1 is the GELU, small values approach ReLU.

    References:
        Gaussian Error Linear Units (GELUs), D. Hendrycks and K. Gimpel, 2016,
        https://arxiv.org/abs/1606.08415
    """

    name = "parametric_gelu"
    formula = "x/2 * (1 + erf(x/(σ*sqrt(2))))"
    arguments: ClassVar = {"sigma": Parameter(1.0, constraints.positive, learn=True, symbol="σ")}

    @override
    def function(self, x: Tensor, sigma: Value) -> Tensor:
        if not isinstance(sigma, Tensor) and sigma == 1:
            return F.gelu(x)
        return evaluate_rule(GELURule, x, 1 / sigma)

    @classmethod
    @override
    def declare(cls, sigma: float) -> dict[str, Any]:
        standard = GELU.declare("none")
        return gated(standard["minimum"] * sigma, standard["derivative_bound"])


@register
class Hardswish(Activation):
    r"""Piecewise quadratic stand-in for the SiLU.

    .. math:: \varphi(x) = x \min(\max(x / 6 + 1/2, 0), 1)

    References:
        Searching for MobileNetV3, A. Howard et al., 2019, https://arxiv.org/abs/1905.02244
    """

    name = "hardswish"
    formula = "x*min(max(x/6 + 1/2, 0), 1)"
    facts: ClassVar = known(
        "zero_preserving", smoothness=0, slope=1.5, values=(-0.375, inf), asymptotes=(0, 1)
    )

    @override
    def function(self, x: Tensor) -> Tensor:
        return F.hardswish(x)
