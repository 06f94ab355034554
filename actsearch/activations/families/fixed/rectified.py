"""Rectifiers, and others that are linear or a power on each side of zero.

Input and output have shape ``(*)``.
"""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from actsearch.activations.base import Activation, Parameter, Value
from actsearch.activations.bijective import Bijective
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


@register
class Identity(Bijective):
    r"""No activation: the input as it is.

    .. math:: \varphi(x) = x
    """

    name = "identity"
    formula = "x"
    facts: ClassVar = known(
        "monotone odd zero_preserving convex bijective positively_homogeneous",
        smoothness=inf, slope=1, values=(-inf, inf), asymptotes=(1, 1), pieces=1,
    )  # fmt: skip

    def function(self, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x

    def inverse_function(self, y: Tensor) -> Tensor:
        """Return ``y``."""
        return y

    def log_slope(self, x: Tensor) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(x)


@register
class ReLU(Activation):
    r"""Rectified linear unit.

    .. math:: \varphi(x) = \max(0, x)

    References:
        Rectified Linear Units Improve Restricted Boltzmann Machines, V. Nair and G. Hinton, 2010,
        https://icml.cc/Conferences/2010/papers/432.pdf
    """

    name = "relu"
    formula = "max(0, x)"
    facts: ClassVar = known(
        "monotone zero_preserving convex positively_homogeneous",
        smoothness=0, slope=1, values=(0, inf), asymptotes=(0, 1), pieces=2,
    )  # fmt: skip

    def function(self, x: Tensor) -> Tensor:
        """Return ``max(0, x)``."""
        return F.relu(x)


@register
class ReLU6(Activation):
    r"""Rectified linear unit capped at six.

    .. math:: \varphi(x) = \min(\max(0, x), 6)

    References:
        MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, A.
        Howard et al., 2017, https://arxiv.org/abs/1704.04861
    """

    name = "relu6"
    formula = "min(max(0, x), 6)"
    facts: ClassVar = known(
        "monotone zero_preserving",
        smoothness=0,
        slope=1,
        values=(0, 6),
        asymptotes=(0, 0),
        pieces=3,
    )

    def function(self, x: Tensor) -> Tensor:
        """Return ``min(max(0, x), 6)``."""
        return F.relu6(x)


@register
class SquaredReLU(Activation):
    r"""Squared rectified linear unit.

    .. math:: \varphi(x) = \max(0, x)^2

    References:
        Primer: Searching for Efficient Transformers for Language Modeling, D. So et al., 2021,
        https://arxiv.org/abs/2109.08668
    """

    name = "squared_relu"
    formula = "max(0, x)**2"
    facts: ClassVar = known(
        "monotone zero_preserving convex",
        smoothness=1,
        slope=inf,
        values=(0, inf),
        asymptotes=(0, inf),
    )

    def function(self, x: Tensor) -> Tensor:
        """Return ``max(0, x)²``."""
        return F.relu(x).square()


@register
class StarReLU(Activation):
    r"""Squared ReLU, scaled and shifted to zero mean and unit variance under N(0, 1).

    .. math:: \varphi(x) = s \max(0, x)^2 + b

    Args:
        scale: :math:`s`.
        bias: :math:`b`.

    References:
        MetaFormer Baselines for Vision, W. Yu et al., 2022, https://arxiv.org/abs/2210.13452
    """

    name = "star_relu"
    formula = "s*max(0, x)**2 + b"
    arguments: ClassVar = {
        "scale": Parameter(0.8944, constraints.positive, symbol="s"),
        "bias": Parameter(-0.4472, symbol="b"),
    }

    def function(self, x: Tensor, scale: Value, bias: Value) -> Tensor:
        """Return ``s max(0, x)² + b``."""
        return scale * F.relu(x).square() + bias

    @classmethod
    def declare(cls, scale: float, bias: float) -> dict[str, Any]:
        """Return the analytic facts."""
        zero = " zero_preserving" if bias == 0 else ""
        return known(
            "monotone convex" + zero,
            smoothness=1,
            slope=inf,
            values=(bias, inf),
            asymptotes=(0, inf),
        )


@register
class Absolute(Activation):
    r"""Absolute value.

    .. math:: \varphi(x) = |x|

    References:
        What is the best multi-stage architecture for object recognition?, K. Jarrett et al., 2009,
        https://doi.org/10.1109/ICCV.2009.5459469
    """

    name = "abs"
    formula = "abs(x)"
    facts: ClassVar = known(
        "even zero_preserving convex positively_homogeneous",
        smoothness=0, slope=1, values=(0, inf), asymptotes=(-1, 1), pieces=2,
    )  # fmt: skip

    def function(self, x: Tensor) -> Tensor:
        """Return ``|x|``."""
        return torch.abs(x)


@register
class Hardsigmoid(Activation):
    r"""Piecewise linear stand-in for the sigmoid.

    .. math:: \varphi(x) = \min(\max(x / 6 + 1/2, 0), 1)

    References:
        Searching for MobileNetV3, A. Howard et al., 2019, https://arxiv.org/abs/1905.02244
    """

    name = "hardsigmoid"
    formula = "min(max(x/6 + 1/2, 0), 1)"
    facts: ClassVar = known(
        "monotone", smoothness=0, slope=1 / 6, values=(0, 1), asymptotes=(0, 0), pieces=3
    )

    def function(self, x: Tensor) -> Tensor:
        """Return ``clip(x/6 + 1/2, 0, 1)``."""
        return F.hardsigmoid(x)


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

    def function(self, x: Tensor) -> Tensor:
        """Return ``x clip(x/6 + 1/2, 0, 1)``."""
        return F.hardswish(x)


@register
class HardELiSH(Activation):
    r"""Hard exponential linear sigmoid squashing.

    .. math:: \varphi(x) = \min(\max((x + 1)/2, 0), 1) \cdot (x \text{ if } x \ge 0 \text{ else } e^x - 1)

    References:
        The Quest for the Golden Activation Function, M. Basirat and P. Roth, 2018,
        https://arxiv.org/abs/1808.00783
    """

    name = "hard_elish"
    formula = "min(max((x + 1)/2, 0), 1) * (x if x >= 0 else expm1(x))"
    facts: ClassVar = known(
        "zero_preserving",
        smoothness=0,
        slope=1.5,
        values=(-0.0996731515287426, inf),
        asymptotes=(0, 1),
    )

    def function(self, x: Tensor) -> Tensor:
        """Return the formula; ``elu`` is its second factor."""
        return F.hardtanh((x + 1) / 2, 0.0, 1.0) * F.elu(x)
