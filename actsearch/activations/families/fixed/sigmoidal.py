"""Sigmoids and their kin that are no bijection onto (-1, 1).

Input and output have shape ``(*)``.
"""

from __future__ import annotations

from math import inf, pi, sqrt
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from actsearch.activations.base import Activation
from actsearch.activations.bijective import Bijective
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


@register
class Sigmoid(Bijective):
    r"""Logistic sigmoid.

    .. math:: \varphi(x) = \frac{1}{1 + e^{-x}}
    """

    name = "sigmoid"
    formula = "1/(1 + exp(-x))"
    facts: ClassVar = known(
        "monotone bijective", smoothness=inf, slope=0.25, values=(0, 1), asymptotes=(0, 0)
    )

    def function(self, x: Tensor) -> Tensor:
        """Return ``σ(x)``."""
        return torch.sigmoid(x)

    def inverse_function(self, y: Tensor) -> Tensor:
        """Return ``log(y) - log(1 - y)``."""
        return torch.logit(y)

    def log_slope(self, x: Tensor) -> Tensor:
        """Return ``log σ(x) + log σ(-x)``."""
        return F.logsigmoid(x) + F.logsigmoid(-x)


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

    def function(self, x: Tensor) -> Tensor:
        """Return ``log σ(x)``."""
        return F.logsigmoid(x)


@register
class Arctan(Bijective):
    r"""Arc tangent.

    .. math:: \varphi(x) = \arctan(x)
    """

    name = "arctan"
    formula = "arctan(x)"
    facts: ClassVar = known(
        "monotone odd zero_preserving bijective",
        smoothness=inf, slope=1, values=(-pi / 2, pi / 2), asymptotes=(0, 0),
    )  # fmt: skip

    def function(self, x: Tensor) -> Tensor:
        """Return ``arctan(x)``."""
        return torch.atan(x)

    def inverse_function(self, y: Tensor) -> Tensor:
        """Return ``tan(y)``."""
        return torch.tan(y)

    def log_slope(self, x: Tensor) -> Tensor:
        """Return ``-log(1 + x²)``."""
        return -torch.log1p(x.square())


@register
class PenalizedTanh(Activation):
    r"""Tanh whose negative half is divided by four.

    .. math:: \varphi(x) = \max(\tanh x, \tfrac14 \tanh x)

    References:
        Is it Time to Swish? Comparing Deep Learning Activation Functions Across NLP tasks,
        S. Eger, P. Youssef and I. Gurevych, 2018, https://arxiv.org/abs/1901.02671
    """

    name = "penalized_tanh"
    formula = "max(tanh(x), tanh(x)/4)"
    facts: ClassVar = known(
        "monotone zero_preserving bijective",
        smoothness=0,
        slope=1,
        values=(-0.25, 1),
        asymptotes=(0, 0),
    )

    def function(self, x: Tensor) -> Tensor:
        """Return tanh through a leaky ReLU of slope 1/4."""
        return F.leaky_relu(torch.tanh(x), 0.25)


@register
class Laplace(Activation):
    r"""Laplace: a Gaussian distribution function that approximates the squared ReLU where it matters.

    .. math:: \varphi(x) = \tfrac12 \left(1 + \operatorname{erf}\frac{x - \mu}{\sigma \sqrt 2}\right),
        \quad \mu = \sqrt{1/2}, \; \sigma = \sqrt{1/(4\pi)}

    References:
        Mega: Moving Average Equipped Gated Attention, X. Ma et al., 2022,
            https://arxiv.org/abs/2209.10655
    """

    name = "laplace"
    formula = "1/2 * (1 + erf((x - sqrt(1/2)) * sqrt(2*pi)))"
    facts: ClassVar = known(
        "monotone bijective", smoothness=inf, slope=sqrt(2), values=(0, 1), asymptotes=(0, 0)
    )

    def function(self, x: Tensor) -> Tensor:
        """Return half the complementary error function of the mirrored argument, accurate in the left tail."""
        return 0.5 * torch.erfc((sqrt(0.5) - x) * sqrt(2 * pi))


@register
class Tanhshrink(Activation):
    r"""What tanh leaves over.

    .. math:: \varphi(x) = x - \tanh(x)
    """

    name = "tanhshrink"
    formula = "x - tanh(x)"
    facts: ClassVar = known(
        "monotone odd zero_preserving bijective",
        smoothness=inf, slope=1, values=(-inf, inf), asymptotes=(1, 1),
    )  # fmt: skip

    def function(self, x: Tensor) -> Tensor:
        """Return ``x - tanh(x)``."""
        return F.tanhshrink(x)
