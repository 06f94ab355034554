"""Rectifiers: a line or a power on each side of zero. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Activation, Parameter, Value
from actsearch.activations.bijective import Bijective
from actsearch.activations.kernels.blockwise import evaluate_rule
from actsearch.activations.kernels.rules import LeakyRule
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register
from actsearch.errors import InvalidValueError


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

    @override
    def function(self, x: Tensor) -> Tensor:
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

    @override
    def function(self, x: Tensor) -> Tensor:
        return F.relu(x)


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

    @override
    def function(self, x: Tensor) -> Tensor:
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

    @override
    def function(self, x: Tensor, scale: Value, bias: Value) -> Tensor:
        return scale * F.relu(x).square() + bias

    @classmethod
    @override
    def declare(cls, scale: float, bias: float) -> dict[str, Any]:
        return known(
            "monotone convex",
            zero_preserving=bias == 0,
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

    @override
    def function(self, x: Tensor) -> Tensor:
        return torch.abs(x)


@register
class LeakyReLU(Bijective):
    r"""Leaky rectified linear unit.

    .. math:: \varphi(x) = \max(0, x) + \alpha \min(0, x)

    For :math:`\alpha > 0` it is a bijection; its log-derivative summed is (number of negatives) ·
    log α.

    Args:
        negative_slope: :math:`\alpha`, the slope left of zero.

    References:
        Rectifier Nonlinearities Improve Neural Network Acoustic Models, A. Maas, A. Hannun and A.
        Ng, 2013, https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf
    """

    name = "leaky_relu"
    formula = "max(0, x) + α*min(0, x)"
    arguments: ClassVar = {"negative_slope": Parameter(0.01, symbol="α")}

    def function(self, x: Tensor, negative_slope: Value) -> Tensor:
        """Return the formula; the native kernel where the slope is a number."""
        if isinstance(negative_slope, Tensor):
            return evaluate_rule(LeakyRule, x, negative_slope)
        return F.leaky_relu(x, negative_slope)

    def inverse_function(self, y: Tensor, negative_slope: Value) -> Tensor:
        """Return the leaky rectifier of slope 1/α."""
        if not isinstance(negative_slope, Tensor) and negative_slope <= 0:
            raise InvalidValueError(
                f"negative_slope must be positive to have an inverse, but got {negative_slope!r}."
            )
        return F.relu(y) + y.clamp_max(0) / negative_slope

    def log_slope(self, x: Tensor, negative_slope: Value) -> Tensor:
        """Return ``log |α|`` left of zero and 0 elsewhere."""
        slope = torch.as_tensor(negative_slope, dtype=x.dtype, device=x.device)
        return (x < 0) * slope.abs().log()

    @classmethod
    @override
    def declare(cls, negative_slope: float) -> dict[str, Any]:
        α = negative_slope
        straight = α == 1
        return known(
            "zero_preserving positively_homogeneous",
            monotone=α >= 0,
            odd=straight,
            even=α == -1,
            convex=α <= 1,
            bijective=α > 0,
            smoothness=inf if straight else 0,
            slope=max(1.0, abs(α)),
            values=(-inf if α > 0 else 0.0, inf),
            asymptotes=(α, 1),
            pieces=1 if straight else 2,
        )


@register
class PReLU(LeakyReLU):
    r"""Parametric rectified linear unit: a leaky ReLU whose slope is learned.

    .. math:: \varphi(x) = \max(0, x) + a \min(0, x)

    Args:
        negative_slope: :math:`a`, the slope left of zero at the start.

    References:
        Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification,
        K. He, X. Zhang, S. Ren and J. Sun, 2015, https://arxiv.org/abs/1502.01852
    """

    name = "prelu"
    formula = "max(0, x) + a*min(0, x)"
    arguments: ClassVar = {"negative_slope": Parameter(0.25, learn=True, symbol="a")}


@register
class LearnableLeakyReLU(LeakyReLU):
    r"""Leaky ReLU whose learned slope is kept positive, so that it stays a bijection.

    .. math:: \varphi(x) = \max(0, x) + \alpha \min(0, x), \quad \alpha > 0

    Args:
        negative_slope: :math:`\alpha`, positive, the slope left of zero at the start.
    """

    name = "learnable_leaky_relu"
    arguments: ClassVar = {
        "negative_slope": Parameter(0.1, constraints.positive, learn=True, symbol="α")
    }


@register
class RReLU(Activation):
    r"""Randomized leaky ReLU: a random slope for every element.

    That is in training; in evaluation it has the mean slope.

    .. math:: \varphi(x) = \max(0, x) + a \min(0, x), \quad a \sim U(l, u)

    Facts are those of evaluation, but for the derivative bound, which holds in training too.

    Args:
        lower: :math:`l`.
        upper: :math:`u`, not below l.

    References:
        Empirical Evaluation of Rectified Activations in Convolutional Network, B. Xu et al., 2015,
        https://arxiv.org/abs/1505.00853
    """

    name = "rrelu"
    formula = "max(0, x) + (l + u)/2 * min(0, x)"
    arguments: ClassVar = {
        "lower": Parameter(1 / 8, symbol="l", learnable=False),
        "upper": Parameter(1 / 3, symbol="u", learnable=False),
    }

    def __init__(self, /, **values: Any) -> None:
        super().__init__(**values)
        if self.values["lower"] > self.values["upper"]:
            raise InvalidValueError(
                f"lower must not exceed upper, but got {self.values!r}. Swap them."
            )

    def function(self, x: Tensor, lower: float, upper: float) -> Tensor:
        """Return the randomized or mean leaky rectifier."""
        if not self.training:
            return F.leaky_relu(x, (lower + upper) / 2)
        return F.relu(x) + torch.empty_like(x).uniform_(lower, upper) * x.clamp_max(0)

    @classmethod
    @override
    def declare(cls, lower: float, upper: float) -> dict[str, Any]:
        return LeakyReLU.declare((lower + upper) / 2) | {
            "derivative_bound": max(1.0, abs(lower), abs(upper))
        }
