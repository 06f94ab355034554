"""Sigmoids and periodic functions with parameters. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints

from actsearch.activations.base import Activation, Option, Parameter, Value
from actsearch.activations.bijective import Bijective
from actsearch.activations.families.squasher import squashing
from actsearch.activations.kernels import fused, scaled
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import activation, catalogue, register


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

    def function(self, x: Tensor, scale: Value, temperature: Value, offset: Value) -> Tensor:
        """Return the formula."""
        return scale * torch.sigmoid(temperature * x) - offset

    @classmethod
    def declare(cls, scale: float, temperature: float, offset: float) -> dict[str, Any]:
        """Return the analytic facts."""
        odd = " odd zero_preserving" * (offset == scale / 2)
        return known(
            "monotone bijective" + odd, smoothness=inf, slope=scale * temperature / 4,
            values=(-offset, scale - offset), asymptotes=(0, 0),
        )  # fmt: skip


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

    def function(self, x: Tensor, scale: Value, temperature: Value, offset: Value) -> Tensor:
        """Return the formula."""
        return scale * torch.tanh(temperature * x) - offset

    @classmethod
    def declare(cls, scale: float, temperature: float, offset: float) -> dict[str, Any]:
        """Return the analytic facts."""
        odd = " odd zero_preserving" * (offset == 0)
        return known(
            "monotone bijective" + odd, smoothness=inf, slope=scale * temperature,
            values=(-scale - offset, scale - offset), asymptotes=(0, 0),
        )  # fmt: skip


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

    def function(self, x: Tensor, width: Value) -> Tensor:
        """Return ``x / (a + |x|)``."""
        return fused.apply(fused.Softsign, x, width)

    def inverse_function(self, y: Tensor, width: Value) -> Tensor:
        """Return ``ay / (1 - |y|)``."""
        return width * y / (1 - y.abs())

    def log_slope(self, x: Tensor, width: Value) -> Tensor:
        """Return ``log a - 2 log(a + |x|)``."""
        a = torch.as_tensor(width, dtype=x.dtype, device=x.device)
        return a.log() - 2 * torch.log(a + x.abs())

    @classmethod
    def declare(cls, width: float) -> dict[str, Any]:
        """Return the analytic facts."""
        return squashing(1, 1 / width)


@register
class Snake(Activation):
    r"""Snake: the identity with a learned ripple, for periodic targets.

    .. math:: \varphi(x) = x + \tfrac1a \sin^2(a x)

    Args:
        frequency: :math:`a`, positive, in radians per unit of x.

    References:
        Neural Networks Fail to Learn Periodic Functions and How to Fix It, L. Ziyin, T. Hartwig and
        M. Ueda, 2020, https://arxiv.org/abs/2006.08195
    """

    name = "snake"
    formula = "x + sin(a*x)**2/a"
    arguments: ClassVar = {
        "frequency": Parameter(1.0, constraints.positive, learn=True, symbol="a")
    }

    def function(self, x: Tensor, frequency: Value) -> Tensor:
        """Return ``x + sin²(ax) / a``."""
        return fused.apply(scaled.Snake, x, frequency)

    @classmethod
    def declare(cls, frequency: float) -> dict[str, Any]:
        """Return the analytic facts.

        Its derivative 1 + sin(2ax) touches zero and does not cross it.
        """
        return known(
            "monotone zero_preserving bijective",
            smoothness=inf,
            slope=2,
            values=(-inf, inf),
            asymptotes=(1, 1),
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

    def function(self, x: Tensor, base: str, factor: float, slope: Value) -> Tensor:
        """Return ``f(nax)``."""
        if base == "tanh":
            return fused.apply(fused.Tanh, x, factor * slope)
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
