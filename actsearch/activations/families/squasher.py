"""Squashers: bijections of the real line onto (-1, 1). Input and output have shape ``(*)``."""

from __future__ import annotations

from math import inf, log, pi, sqrt
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Parameter, Value
from actsearch.activations.bijective import Bijective
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


def squashing(smoothness: float, slope: float, limit: float = 1.0) -> dict[str, Any]:
    """Return the facts that every odd squasher shares: from -limit to limit, steepest at 0."""
    return known(
        "monotone odd zero_preserving bijective",
        smoothness=smoothness, slope=slope, values=(-limit, limit), asymptotes=(0, 0),
    )  # fmt: skip


@register
class Tanh(Bijective):
    r"""Hyperbolic tangent.

    .. math:: \varphi(x) = \tanh(x)

    The log-derivative is :math:`2(\log 2 - x - \log(1 + e^{-2x}))`, exact where
    :math:`1 - \tanh^2 x` rounds to 0.
    """

    name = "tanh"
    formula = "tanh(x)"
    facts: ClassVar = squashing(inf, 1)

    @override
    def function(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def inverse_function(self, y: Tensor) -> Tensor:
        """Return ``artanh(y)``."""
        return torch.atanh(y)

    def log_slope(self, x: Tensor) -> Tensor:
        """Return ``2 (log 2 - |x| - softplus(-2|x|))``.

        Even in x, and small terms only are subtracted.
        """
        magnitude = x.abs()
        return 2 * (log(2) - magnitude - F.softplus(-2 * magnitude))


@register
class Softsign(Bijective):
    r"""Soft sign.

    .. math:: \varphi(x) = \frac{x}{1 + |x|}

    References:
        Understanding the difficulty of training deep feedforward neural networks, X. Glorot and Y.
        Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html
    """

    name = "softsign"
    formula = "x/(1 + abs(x))"
    facts: ClassVar = squashing(1, 1)

    @override
    def function(self, x: Tensor) -> Tensor:
        return F.softsign(x)

    def inverse_function(self, y: Tensor) -> Tensor:
        """Return ``y / (1 - |y|)``."""
        return y / (1 - y.abs())

    def log_slope(self, x: Tensor) -> Tensor:
        """Return ``-2 log(1 + |x|)``."""
        return -2 * torch.log1p(x.abs())


@register
class ParametricSoftsign(Bijective):
    r"""Soft sign with a learned width; a bijection onto (-1, 1).

    .. math:: \varphi(x) = \frac{x}{a + |x|}

    Args:
        width: :math:`a`, positive, in units of x; the slope at 0 is 1/a.
    """

    name = "parametric_softsign"
    formula = "x/(a + abs(x))"
    arguments: ClassVar = {"width": Parameter(1.0, constraints.positive, learn=True, symbol="a")}

    @override
    def function(self, x: Tensor, width: Value) -> Tensor:
        return x / (width + x.abs())

    def inverse_function(self, y: Tensor, width: Value) -> Tensor:
        """Return ``ay / (1 - |y|)``."""
        return width * y / (1 - y.abs())

    def log_slope(self, x: Tensor, width: Value) -> Tensor:
        """Return ``log a - 2 log(a + |x|)``."""
        a = torch.as_tensor(width, dtype=x.dtype, device=x.device)
        return a.log() - 2 * torch.log(a + x.abs())

    @classmethod
    @override
    def declare(cls, width: float) -> dict[str, Any]:
        return squashing(1, 1 / width)


@register
class ScaledArctan(Bijective):
    r"""Arc tangent scaled to the range (-1, 1) with slope 1 at 0.

    .. math:: \varphi(x) = \tfrac{2}{\pi} \arctan\left(\tfrac{\pi}{2} x\right)
    """

    name = "scaled_arctan"
    formula = "2/pi * arctan(pi/2 * x)"
    facts: ClassVar = squashing(inf, 1)

    @override
    def function(self, x: Tensor) -> Tensor:
        return torch.atan(x * (pi / 2)) * (2 / pi)

    def inverse_function(self, y: Tensor) -> Tensor:
        """Return ``(2/π) tan(πy/2)``."""
        return torch.tan(y * (pi / 2)) * (2 / pi)

    def log_slope(self, x: Tensor) -> Tensor:
        """Return ``-log(1 + (πx/2)²)``."""
        return -torch.log1p((x * (pi / 2)).square())


@register
class Erf(Bijective):
    r"""Error function.

    .. math:: \varphi(x) = \operatorname{erf}(x)
    """

    name = "erf"
    formula = "erf(x)"
    facts: ClassVar = squashing(inf, 2 / sqrt(pi))

    @override
    def function(self, x: Tensor) -> Tensor:
        return torch.erf(x)

    def inverse_function(self, y: Tensor) -> Tensor:
        """Return ``erfinv(y)``."""
        return torch.erfinv(y)

    def log_slope(self, x: Tensor) -> Tensor:
        """Return ``log(2/√π) - x²``."""
        return log(2 / sqrt(pi)) - x.square()


@register
class ISRU(Bijective):
    r"""Inverse square root unit.

    .. math:: \varphi(x) = \frac{x}{\sqrt{1 + \alpha x^2}}

    Args:
        alpha: :math:`\alpha`, positive; the limits are :math:`\pm 1/\sqrt\alpha`.

    References:
        Improving Deep Learning by Inverse Square Root Linear Units (ISRLUs), B. Carlile et al.,
        2017, https://arxiv.org/abs/1710.09967
    """

    name = "isru"
    formula = "x/sqrt(1 + α*x**2)"
    arguments: ClassVar = {"alpha": Parameter(1.0, constraints.positive, symbol="α")}

    @override
    def function(self, x: Tensor, alpha: Value) -> Tensor:
        return x * torch.rsqrt(1 + alpha * (x * x))

    def inverse_function(self, y: Tensor, alpha: Value) -> Tensor:
        """Return ``y / √(1 - αy²)``."""
        return y * torch.rsqrt(1 - alpha * y.square())

    def log_slope(self, x: Tensor, alpha: Value) -> Tensor:
        """Return ``-(3/2) log(1 + αx²)``."""
        return -1.5 * torch.log1p(alpha * x.square())

    @classmethod
    @override
    def declare(cls, alpha: float) -> dict[str, Any]:
        return squashing(inf, 1, alpha**-0.5)
