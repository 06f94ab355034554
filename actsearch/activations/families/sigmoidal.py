"""Sigmoids that are no bijection onto (-1, 1). Input and output have shape ``(*)``."""

from __future__ import annotations

from math import inf, pi, sqrt
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Activation, Option, Parameter, Value
from actsearch.activations.bijective import Bijective
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import activation, catalogue, register


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

    @override
    def function(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def inverse_function(self, y: Tensor) -> Tensor:
        """Return ``log(y) - log(1 - y)``."""
        return torch.logit(y)

    def log_slope(self, x: Tensor) -> Tensor:
        """Return ``log σ(x) + log σ(-x)``."""
        return F.logsigmoid(x) + F.logsigmoid(-x)


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

    @override
    def function(self, x: Tensor) -> Tensor:
        return torch.atan(x)

    def inverse_function(self, y: Tensor) -> Tensor:
        """Return ``tan(y)``."""
        return torch.tan(y)

    def log_slope(self, x: Tensor) -> Tensor:
        """Return ``-log(1 + x²)``."""
        return -torch.log1p(x.square())


@register
class Laplace(Activation):
    r"""Laplace: a Gaussian distribution function.

    It approximates the squared ReLU where that matters.

    .. math:: \varphi(x)
        = \tfrac12 \left(1 + \operatorname{erf}\frac{x - \mu}{\sigma \sqrt 2}\right),
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
        """Return the formula by the complementary error function, accurate in the left tail."""
        return 0.5 * torch.erfc((sqrt(0.5) - x) * sqrt(2 * pi))


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


def _tempered() -> dict[str, Parameter]:
    return {
        "scale": Parameter(1.0, constraints.positive, learn=True, symbol="s"),
        "temperature": Parameter(1.0, constraints.positive, learn=True, symbol="T"),
        "offset": Parameter(0.0, learn=True, symbol="o"),
    }


@register
class TemperedSigmoid(Activation):
    r"""Sigmoid with learned scale, inverse temperature and offset.

    .. math:: \varphi(x) = s \, \sigma(T x) - o

    Args:
        scale: :math:`s`, positive, the height.
        temperature: :math:`T`, positive, the inverse temperature, in inverse units of x.
        offset: :math:`o`.

    References:
        Tempered Sigmoid Activations for Deep Learning with Differential Privacy, N. Papernot et
        al., 2020, https://arxiv.org/abs/2007.14191
    """

    name = "tempered_sigmoid"
    formula = "s*sigmoid(T*x) - o"
    arguments: ClassVar = _tempered()

    @override
    def function(self, x: Tensor, scale: Value, temperature: Value, offset: Value) -> Tensor:
        return scale * torch.sigmoid(temperature * x) - offset

    @classmethod
    @override
    def declare(cls, scale: float, temperature: float, offset: float) -> dict[str, Any]:
        odd = offset == scale / 2
        return known(
            "monotone bijective",
            odd=odd,
            zero_preserving=odd,
            smoothness=inf,
            slope=scale * temperature / 4,
            values=(-offset, scale - offset),
            asymptotes=(0, 0),
        )


@register
class TemperedTanh(Activation):
    r"""Tanh with learned scale, inverse temperature and offset.

    .. math:: \varphi(x) = s \tanh(T x) - o

    Args:
        scale: :math:`s`, positive, half the height.
        temperature: :math:`T`, positive, the inverse temperature, in inverse units of x.
        offset: :math:`o`.

    References:
        Tempered Sigmoid Activations for Deep Learning with Differential Privacy, N. Papernot et
        al., 2020, https://arxiv.org/abs/2007.14191
    """

    name = "tempered_tanh"
    formula = "s*tanh(T*x) - o"
    arguments: ClassVar = _tempered()

    @override
    def function(self, x: Tensor, scale: Value, temperature: Value, offset: Value) -> Tensor:
        return scale * torch.tanh(temperature * x) - offset

    @classmethod
    @override
    def declare(cls, scale: float, temperature: float, offset: float) -> dict[str, Any]:
        odd = offset == 0
        return known(
            "monotone bijective",
            odd=odd,
            zero_preserving=odd,
            smoothness=inf,
            slope=scale * temperature,
            values=(-scale - offset, scale - offset),
            asymptotes=(0, 0),
        )


@register
class AdaptiveSlope(Activation):
    r"""A fixed activation f with a learned slope.

    .. math:: \varphi(x) = f(n a x)

    The fixed factor n speeds up the learning of a; na = 1 at the start.

    Args:
        base: the name of :math:`f`.
        factor: :math:`n`, positive, fixed.
        slope: :math:`a`, positive.

    References:
        Adaptive activation functions accelerate convergence in deep and physics-informed neural
        networks, A. Jagtap, K. Kawaguchi and G. Karniadakis, 2020, https://arxiv.org/abs/1906.01170
    """

    name = "adaptive_slope"
    formula = "tanh(n*a*x)"
    arguments: ClassVar = {
        "base": Option("tanh", ("tanh", "sigmoid", "sine", "arctan", "silu", "gelu", "softplus")),
        "factor": Parameter(10.0, constraints.positive, symbol="n", learnable=False),
        "slope": Parameter(0.1, constraints.positive, learn=True, symbol="a"),
    }

    def __init__(self, /, **values: Any) -> None:
        super().__init__(**values)
        self.base = activation(str(self.values["base"]))

    @override
    def function(self, x: Tensor, base: str, factor: float, slope: Value) -> Tensor:
        result: Tensor = self.base(factor * slope * x)
        return result

    @classmethod
    def declare(cls, base: str, factor: float, slope: float) -> dict[str, Any]:
        """Return the facts of f, its slopes multiplied by na."""
        entry = catalogue()[base]
        f = entry.declare(**{name: argument.default for name, argument in entry.arguments.items()})
        return f | {
            fact: f[fact] * factor * slope for fact in ("derivative_bound", "left", "right")
        }
