"""Cheap approximations of tanh, the sigmoid and the GELU. Input and output have shape ``(*)``.

Each states ``approximates``, the name of what it stands for, and ``maximum_error``, the largest
absolute difference over the real line, rounded up. See also ``hardtanh``, ``hardsigmoid``,
``hardswish`` and ``gelu(approximate="tanh")``.
"""

from __future__ import annotations

from itertools import pairwise
from math import inf, sqrt
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from actsearch.activations.base import Activation, at_least_single
from actsearch.activations.families.gated.cumulative import SiLU, gated
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


class Approximation(Activation):
    """An activation that stands in for another; a member states which, and the largest error."""

    approximates: ClassVar[str]
    maximum_error: ClassVar[float]


def _bends(knots: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """Return where and by how much the slope falls.

    The line goes through the origin and the knots, and is constant after them.
    """
    slopes = [(y - b) / (x - a) for (a, b), (x, y) in pairwise(((0.0, 0.0), *knots))] + [0.0]
    return tuple(
        (x, before - after) for (x, _), (before, after) in zip(knots, pairwise(slopes), strict=True)
    )


TANH_BENDS = _bends(((0.6217, 0.5691), (1.2543, 0.8662), (2.3881, 1.0)))
GELU_BENDS = _bends(((0.3229, -0.1275), (0.7582, -0.1769), (2.2009, -0.0308), (2.9939, 0.0)))


@register
class PiecewiseLinearTanh(Approximation):
    r"""Tanh by seven linear pieces with knots that make the largest error smallest.

    .. math:: \varphi(x) = \sum_i c_i \min(\max(x, -t_i), t_i)
    """

    name = "piecewise_linear_tanh"
    approximates, maximum_error = "tanh", 0.0168
    formula = "sign(x)*interpolate(abs(x), (0, 0), (0.6217, 0.5691), (1.2543, 0.8662), (2.3881, 1))"
    facts: ClassVar = known(
        "monotone odd zero_preserving",
        smoothness=0, slope=0.5691 / 0.6217, values=(-1, 1), asymptotes=(0, 0), pieces=7,
    )  # fmt: skip

    def function(self, x: Tensor) -> Tensor:
        """Return the sum of three scaled clips."""
        clips = [bend * F.hardtanh(x, -knot, knot) for knot, bend in TANH_BENDS]
        return clips[0] + clips[1] + clips[2]


@register
class PiecewiseLinearSigmoid(Approximation):
    r"""Sigmoid by seven linear pieces.

    It is :math:`\tfrac12 (1 + f(x/2))` with f the piecewise linear tanh.

    .. math:: \varphi(x) = \tfrac12 + \tfrac12 \sum_i c_i \min(\max(x/2, -t_i), t_i)
    """

    name = "piecewise_linear_sigmoid"
    approximates, maximum_error = "sigmoid", 0.0084
    formula = (
        "1/2 + sign(x)*interpolate(abs(x)/2, (0, 0), (0.6217, 0.5691), (1.2543, 0.8662), (2.3881,"
        " 1))/2"
    )
    facts: ClassVar = known(
        "monotone",
        smoothness=0,
        slope=0.5691 / 0.6217 / 4,
        values=(0, 1),
        asymptotes=(0, 0),
        pieces=7,
    )

    def function(self, x: Tensor) -> Tensor:
        """Return the sum of three scaled clips, shifted."""
        clips = [bend / 4 * F.hardtanh(x, -2 * knot, 2 * knot) for knot, bend in TANH_BENDS]
        return 0.5 + clips[0] + clips[1] + clips[2]


@register
class PLANSigmoid(Approximation):
    r"""PLAN: sigmoid by seven linear pieces whose slopes are powers of two.

    It jumps by 0.004 at ±2.375.

    .. math:: \varphi(x) = \tfrac{x}{4} + \tfrac12, \; \tfrac{x}{8} + \tfrac58, \;
        \tfrac{x}{32} + \tfrac{27}{32}, \; 1
        \quad \text{for } 0 \le x < 1, \; < \tfrac{19}{8}, \; < 5, \; \text{and above};
        \quad \varphi(-x) = 1 - \varphi(x)

    References:
        Piecewise linear approximation applied to nonlinear function of a neural network, H. Amin,
        K. Curtis and B. Hayes-Gill, 1997, https://doi.org/10.1049/ip-cds:19971587
    """

    name = "plan_sigmoid"
    approximates, maximum_error = "sigmoid", 0.0190
    formula = (
        "1/2 + sign(x)*(abs(x)/4 if abs(x) < 1 else abs(x)/8 + 1/8 if abs(x) < 19/8"
        " else abs(x)/32 + 11/32 if abs(x) < 5 else 1/2)"
    )  # fmt: skip
    facts: ClassVar = known(
        "", smoothness=-1, slope=inf, values=(0, 1), asymptotes=(0, 0), pieces=7
    )

    def function(self, x: Tensor) -> Tensor:
        """Return clips between the knots, less the jump beyond the second."""
        first = F.hardtanh(x, -1.0, 1.0)
        second = F.hardtanh(x, -2.375, 2.375) - first
        third = F.hardtanh(x, -5.0, 5.0) - first - second
        jump = (x.abs() >= 2.375) * x.detach().sign() / 256
        return 0.5 + first / 4 + second / 8 + third / 32 - jump


@register
class QuadraticTanh(Approximation):
    r"""Tanh by two parabolas, once continuously differentiable.

    .. math:: \varphi(x) = x (1 - |x|/4) \text{ for } |x| < 2, \text{ else } \operatorname{sign}(x)

    References:
        Simple sigmoid-like activation function suitable for digital hardware implementation, H.
        Kwan, 1992, https://doi.org/10.1049/el:19920877
    """

    name = "quadratic_tanh"
    approximates, maximum_error = "tanh", 0.0433
    formula = "x*(1 - abs(x)/4) if abs(x) < 2 else sign(x)"
    facts: ClassVar = known(
        "monotone odd zero_preserving", smoothness=1, slope=1, values=(-1, 1), asymptotes=(0, 0)
    )

    def function(self, x: Tensor) -> Tensor:
        """Return the parabolas of the clipped x."""
        inside = F.hardtanh(x, -2.0, 2.0)
        return inside * (1 - inside.abs() / 4)


@register
class QuadraticSigmoid(Approximation):
    r"""Sigmoid by two parabolas, once continuously differentiable.

    .. math:: \varphi(x) = \tfrac12 + \tfrac{x}{4} (1 - |x|/8) \text{ for } |x| < 4,
        \text{ else } 0 \text{ or } 1

    References:
        Simple sigmoid-like activation function suitable for digital hardware implementation, H.
        Kwan, 1992, https://doi.org/10.1049/el:19920877
    """

    name = "quadratic_sigmoid"
    approximates, maximum_error = "sigmoid", 0.0217
    formula = "1/2 + x/4*(1 - abs(x)/8) if abs(x) < 4 else 1/2 + sign(x)/2"
    facts: ClassVar = known("monotone", smoothness=1, slope=0.25, values=(0, 1), asymptotes=(0, 0))

    def function(self, x: Tensor) -> Tensor:
        """Return the parabolas of the clipped x."""
        inside = F.hardtanh(x, -4.0, 4.0)
        return 0.5 + inside * (0.25 - inside.abs() / 32)


@register
class PadeTanh(Approximation):
    r"""Tanh by its continued fraction, clipped where it reaches one.

    It reaches one as a cube, and is twice continuously differentiable.

    .. math:: \varphi(x) = \frac{x (27 + x^2)}{27 + 9 x^2} \text{ for } |x| < 3,
        \text{ else } \operatorname{sign}(x)
    """

    name = "pade_tanh"
    approximates, maximum_error = "tanh", 0.0236
    formula = "x*(27 + x**2)/(27 + 9*x**2) if abs(x) < 3 else sign(x)"
    facts: ClassVar = known(
        "monotone odd zero_preserving", smoothness=2, slope=1, values=(-1, 1), asymptotes=(0, 0)
    )

    def function(self, x: Tensor) -> Tensor:
        """Return the fraction of the clipped x."""
        inside = F.hardtanh(x, -3.0, 3.0)
        square = inside.square()
        return inside * (27 + square) / (27 + 9 * square)


@register
class QuickGELU(Approximation):
    r"""GELU by a sigmoid gate.

    .. math:: \varphi(x) = x \, \sigma(1.702 x)

    References:
        Gaussian Error Linear Units (GELUs), D. Hendrycks and K. Gimpel, 2016,
        https://arxiv.org/abs/1606.08415
    """

    name = "quick_gelu"
    approximates, maximum_error = "gelu", 0.0204
    formula = "x*sigmoid(1.702*x)"
    facts: ClassVar = gated(SiLU.facts["minimum"] / 1.702, SiLU.facts["derivative_bound"])

    @override
    @at_least_single
    def function(self, x: Tensor) -> Tensor:
        return F.silu(1.702 * x) / 1.702


@register
class PiecewiseLinearGELU(Approximation):
    r"""GELU by ten linear pieces with knots that make the largest error smallest.

    .. math:: \varphi(x) = \max(0, x) + \sum_i c_i \min(|x|, t_i)
    """

    name = "piecewise_linear_gelu"
    approximates, maximum_error = "gelu", 0.0070
    formula = (
        "max(0, x) + interpolate(abs(x), (0, 0), (0.3229, -0.1275), (0.7582, -0.1769), (2.2009,"
        " -0.0308), (2.9939, 0))"
    )
    facts: ClassVar = known(
        "zero_preserving",
        smoothness=0,
        slope=1 + (0.1769 - 0.0308) / (2.2009 - 0.7582),
        values=(-0.1769, inf),
        asymptotes=(0, 1),
        pieces=10,
    )

    def function(self, x: Tensor) -> Tensor:
        """Return the rectifier plus the even remainder.

        The rectifier is ``x/2 + |x|/2``, so that its slope at 0 is the GELU's.
        """
        magnitude = x.abs()
        even = magnitude / 2
        for knot, bend in GELU_BENDS:
            even = even + bend * magnitude.clamp_max(knot)
        return x / 2 + even


@register
class QuadraticGELU(Approximation):
    r"""I-GELU: GELU by a second-order polynomial for the error function.

    .. math:: \varphi(x) = \tfrac{x}{2} \left(1 + \operatorname{sign}(x) \,
        \left(a (\min(|x|/\sqrt2, -b) + b)^2 + 1\right)\right), \quad a = -0.2888, \; b = -1.769

    References:
        I-BERT: Integer-only BERT Quantization, S. Kim et al., 2021,
            https://arxiv.org/abs/2101.01321
    """

    name = "quadratic_gelu"
    approximates, maximum_error = "gelu", 0.0182
    formula = "x/2 * (1 + sign(x)*(1 - 0.2888*(min(abs(x)/sqrt(2), 1.769) - 1.769)**2))"
    a, b = -0.2888, -1.769
    facts: ClassVar = known(
        "zero_preserving",
        smoothness=0,
        slope=1 - a * b**2 / 6,
        values=(-4 * a * b**3 / (27 * sqrt(2)), inf),
        asymptotes=(0, 1),
    )

    @at_least_single
    def function(self, x: Tensor) -> Tensor:
        """Return the formula, with ``x sign(x)`` as the absolute value."""
        magnitude = x.abs()
        polynomial = self.a * ((magnitude / sqrt(2)).clamp_max(-self.b) + self.b).square() + 1
        return (x + magnitude * polynomial) / 2
