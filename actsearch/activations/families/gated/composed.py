"""x times a gate composed of several functions. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import inf, log
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Activation, Parameter, Value
from actsearch.activations.families.gated.cumulative import gated
from actsearch.activations.kernels.blockwise import evaluate_rule
from actsearch.activations.kernels.rules import MishRule
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


@register
class Mish(Activation):
    r"""Mish.

    .. math:: \varphi(x) = x \tanh(\log(1 + e^x))

    It is computed as :math:`x h / (1 - h)`, :math:`h = s - s^2/2`, :math:`s = \sigma(x)`; torch's
    own kernel takes longer, and its second derivative is NaN where eˣ overflows.

    References:
        Mish: A Self Regularized Non-Monotonic Activation Function, D. Misra, 2019,
            https://arxiv.org/abs/1908.08681
    """

    name = "mish"
    formula = "x*tanh(softplus(x))"
    facts: ClassVar = gated(-0.308843413017250, 1.088498161251728)

    @override
    def function(self, x: Tensor) -> Tensor:
        return evaluate_rule(MishRule, x, 1.0)


@register
class ParametricMish(Activation):
    r"""Mish with learned sharpness.

    .. math:: \varphi(x) = x \tanh(\log(1 + e^{\beta x}))

    It is computed through :math:`s = \sigma(\beta x)` alone, as :math:`x h / (1 - h)` with
    :math:`h = s - s^2/2`.

    Args:
        beta: :math:`\beta`, positive, in inverse units of x; 1 is Mish, large values approach ReLU.

    References:
        Mish: A Self Regularized Non-Monotonic Activation Function, D. Misra, 2019,
            https://arxiv.org/abs/1908.08681
    """

    name = "parametric_mish"
    formula = "x*tanh(softplus(β*x))"
    arguments: ClassVar = {"beta": Parameter(1.0, constraints.positive, learn=True, symbol="β")}

    @override
    def function(self, x: Tensor, beta: Value) -> Tensor:
        return evaluate_rule(MishRule, x, beta)

    @classmethod
    @override
    def declare(cls, beta: float) -> dict[str, Any]:
        return gated(Mish.facts["minimum"] / beta, Mish.facts["derivative_bound"])


@register
class Serf(Activation):
    r"""Log-softplus error function.

    .. math:: \varphi(x) = x \operatorname{erf}(\log(1 + e^x))

    References:
        SERF: Towards better training of deep neural networks using log-Softplus ERror activation
        Function, S. Nag and M. Bhattacharyya, 2021, https://arxiv.org/abs/2108.09598
    """

    name = "serf"
    formula = "x*erf(softplus(x))"
    facts: ClassVar = gated(-0.348437458759606, 1.086125444150997)

    @override
    def function(self, x: Tensor) -> Tensor:
        return x * torch.erf(F.softplus(x))


@register
class Logish(Activation):
    r"""Logish.

    .. math:: \varphi(x) = x \log(1 + \sigma(x))

    References:
        Logish: A new nonlinear nonmonotonic activation function for convolutional neural network,
        H. Zhu et al., 2021, https://doi.org/10.1016/j.neucom.2021.06.067
    """

    name = "logish"
    formula = "x*log1p(sigmoid(x))"
    facts: ClassVar = gated(-0.252768816789440, 0.746311180412740, log(2))

    @override
    def function(self, x: Tensor) -> Tensor:
        return x * torch.log1p(torch.sigmoid(x))


@register
class Smish(Activation):
    r"""Smish.

    .. math:: \varphi(x) = x \tanh(\log(1 + \sigma(x)))

    References:
        Smish: A Novel Activation Function for Deep Learning Methods, X. Wang, H. Ren and A. Wang,
        2022, https://doi.org/10.3390/electronics11040540
    """

    name = "smish"
    formula = "x*tanh(log1p(sigmoid(x)))"
    facts: ClassVar = gated(-0.249993663660130, 0.636884222881226, 0.6)

    @override
    def function(self, x: Tensor) -> Tensor:
        return x * torch.tanh(torch.log1p(torch.sigmoid(x)))


@register
class Phish(Activation):
    r"""Phish.

    .. math:: \varphi(x) = x \tanh(\operatorname{gelu}(x))

    References:
        Phish: A Novel Hyper-Optimizable Activation Function, P. Naveen, 2022,
        https://doi.org/10.36227/techrxiv.17283824.v2
    """

    name = "phish"
    formula = "x*tanh(x/2 * (1 + erf(x/sqrt(2))))"
    facts: ClassVar = gated(0.0, 1.298306673305812)

    @override
    def function(self, x: Tensor) -> Tensor:
        return x * torch.tanh(F.gelu(x))


EXP_SATURATES = 4.0
"""tanh(exp(4)) is 1 in float64 too; further on, exp would overflow, its gradient be 0 · inf."""


@register
class TanhExp(Activation):
    r"""Tanh exponential.

    .. math:: \varphi(x) = x \tanh(e^x)

    The exponent is capped at 4, where the tanh is 1 to the last bit, so that nothing overflows.

    References:
        TanhExp: A Smooth Activation Function with High Convergence Speed for Lightweight Neural
        Networks, X. Liu and X. Di, 2020, https://arxiv.org/abs/2003.09855
    """

    name = "tanhexp"
    formula = "x*tanh(exp(x))"
    facts: ClassVar = gated(-0.353285777848211, 1.061975308717916)

    @override
    def function(self, x: Tensor) -> Tensor:
        return x * torch.tanh(torch.exp(torch.clamp(x, max=EXP_SATURATES)))


@register
class ELiSH(Activation):
    r"""Exponential linear sigmoid squashing.

    .. math:: \varphi(x) = \sigma(x) \cdot (x \text{ if } x \ge 0 \text{ else } e^x - 1)

    References:
        The Quest for the Golden Activation Function, M. Basirat and P. Roth, 2018,
        https://arxiv.org/abs/1808.00783
    """

    name = "elish"
    formula = "sigmoid(x) * (x if x >= 0 else expm1(x))"
    facts: ClassVar = known(
        "zero_preserving",
        smoothness=1,
        slope=1.099839320128867,
        values=(-0.171572875253810, inf),
        asymptotes=(0, 1),
    )

    def function(self, x: Tensor) -> Tensor:
        """Return the formula; ``elu`` is its second factor."""
        return torch.sigmoid(x) * F.elu(x)


@register
class HardELiSH(Activation):
    r"""Hard exponential linear sigmoid squashing.

    .. math:: \varphi(x) = \min(\max((x + 1)/2, 0), 1)
        \cdot (x \text{ if } x \ge 0 \text{ else } e^x - 1)

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
