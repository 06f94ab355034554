"""Surrogate gradients of the Heaviside step: forward exactly 0 or 1, backward a named derivative.

Every member is the Heaviside step of x, one where x > 0 and zero elsewhere. Its gradient is the
derivative of a soft step S(x; k) that the member states, with respect to x and, where it is
learned, to the sharpness k. Facts about values are those of the step (its derivative bound is
infinite: it jumps); κ, backward gain and saturation are those of the surrogate, which is what
training sees. Input and output have shape ``(*)``.
"""

from __future__ import annotations

from math import inf, pi, sqrt
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Activation, Parameter, Value
from actsearch.activations.kernels.blockwise import evaluate_rule
from actsearch.activations.kernels.recomputed import is_jit_traced
from actsearch.activations.kernels.rules import ClipRule
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


class _Step(Function):
    """Value of the Heaviside step of x, gradient of the soft step."""

    generate_vmap_rule = True

    @staticmethod
    @override
    def forward(x: Tensor, soft: Tensor) -> Tensor:
        return _step(x)

    @staticmethod
    @override
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    @override
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


class _StepEitherMode(_Step):
    """The same in forward mode as well, which ``torch.compile`` does not trace."""

    @staticmethod
    @override
    def jvp(ctx: FunctionCtx, *tangents: Tensor) -> Tensor:
        return tangents[1]


def _step(x: Tensor) -> Tensor:
    """Return the Heaviside step; what is no number stays none, so that it is seen."""
    return torch.where(x.isnan(), x, (x > 0).to(x.dtype))


class Surrogate(Activation):
    r"""The Heaviside step with a surrogate gradient.

    A member states its soft step and that one's derivative.

    - ``surrogate``: the derivative with respect to x, one line of text like ``formula``;
    - :meth:`soft_step`: the function whose derivative it is.

    References:
        Surrogate Gradient Learning in Spiking Neural Networks, E. Neftci, H. Mostafa and F. Zenke,
        2019, https://arxiv.org/abs/1901.09948
    """

    formula = "1 if x > 0 else 0"
    surrogate: ClassVar[str]
    facts: ClassVar = known(
        "monotone zero_preserving",
        smoothness=-1,
        slope=inf,
        values=(0, 1),
        asymptotes=(0, 0),
        pieces=2,
        sparsity=0.5,
    )

    def function(self, x: Tensor, **values: Any) -> Tensor:
        """Return 1 where x > 0, else 0."""
        if is_jit_traced():
            soft = self.soft_step(x, **values)
            return _step(x.detach()) + (soft - soft.detach())
        if not torch.is_grad_enabled():
            return _step(x)
        way = _Step if torch.compiler.is_compiling() else _StepEitherMode
        stepped: Tensor = way.apply(x.detach(), self.soft_step(x, **values))  # type: ignore[no-untyped-call]  # torch's own
        return stepped

    def soft_step(self, x: Tensor, *args: Any, **values: Any) -> Tensor:
        """Evaluate the function whose derivative stands in for that of the step."""
        raise NotImplementedError

    @classmethod
    def declare(cls, **values: Any) -> dict[str, Any]:
        """Return the facts of the step, the same at every sharpness."""
        return dict(cls.facts)


def _sharpness(default: float) -> dict[str, Parameter]:
    return {"sharpness": Parameter(default, constraints.positive, symbol="k")}


@register
class TriangularSurrogate(Surrogate):
    r"""Heaviside step with the triangular surrogate gradient.

    .. math:: \varphi'(x) := \max(0, 1 - k |x|)

    Args:
        sharpness: :math:`k`, positive; the triangle ends at 1/k.

    References:
        Long short-term memory and learning-to-learn in networks of spiking neurons, G. Bellec et
        al., 2018, https://arxiv.org/abs/1803.09574
    """

    name = "triangular_surrogate"
    surrogate = "max(0, 1 - k*abs(x))"
    arguments: ClassVar = _sharpness(1.0)

    def soft_step(self, x: Tensor, sharpness: Value) -> Tensor:
        """Return the integral of the triangle."""
        end = 1 / sharpness
        inside = (
            evaluate_rule(ClipRule, x, end) if isinstance(end, Tensor) else F.hardtanh(x, -end, end)
        )
        return inside - 0.5 * sharpness * inside * inside.abs()


@register
class SigmoidSurrogate(Surrogate):
    r"""Heaviside step with the bell of the logistic sigmoid's derivative as surrogate gradient.

    .. math:: \varphi'(x) := k \, \sigma(kx) \, \sigma(-kx)

    Args:
        sharpness: :math:`k`, positive; the peak is k/4.
    """

    name = "sigmoid_surrogate"
    surrogate = "k*sigmoid(k*x)*sigmoid(-k*x)"
    arguments: ClassVar = _sharpness(4.0)

    @override
    def soft_step(self, x: Tensor, sharpness: Value) -> Tensor:
        return torch.sigmoid(sharpness * x)


@register
class FastSigmoidSurrogate(Surrogate):
    r"""SuperSpike: Heaviside step with the derivative of the fast sigmoid as surrogate gradient.

    The fast sigmoid is the soft sign.

    .. math:: \varphi'(x) := \frac{1}{(1 + k |x|)^2}

    Args:
        sharpness: :math:`k`, positive.

    References:
        SuperSpike: Supervised Learning in Multilayer Spiking Neural Networks, F. Zenke and S.
        Ganguli, 2018, https://arxiv.org/abs/1705.11146
    """

    name = "fast_sigmoid_surrogate"
    surrogate = "1/(1 + k*abs(x))**2"
    arguments: ClassVar = _sharpness(10.0)

    @override
    def soft_step(self, x: Tensor, sharpness: Value) -> Tensor:
        return x / (1 + sharpness * x.abs())


@register
class ArctanSurrogate(Surrogate):
    r"""Heaviside step with the derivative of the arc tangent as surrogate gradient.

    .. math:: \varphi'(x) := \frac{k/2}{1 + (\frac{\pi}{2} k x)^2}

    Args:
        sharpness: :math:`k`, positive; the peak is k/2.

    References:
        Incorporating Learnable Membrane Time Constant to Enhance Learning of Spiking Neural
        Networks, W. Fang et al., 2021, https://arxiv.org/abs/2007.05785
    """

    name = "arctan_surrogate"
    surrogate = "k/2 / (1 + (pi/2*k*x)**2)"
    arguments: ClassVar = _sharpness(2.0)

    @override
    def soft_step(self, x: Tensor, sharpness: Value) -> Tensor:
        return torch.atan(sharpness * x * (pi / 2)) / pi


@register
class GaussianSurrogate(Surrogate):
    r"""Heaviside step with a Gaussian as surrogate gradient.

    .. math:: \varphi'(x) := \frac{k}{\sqrt{2\pi}} e^{-(kx)^2/2}

    Args:
        sharpness: :math:`k`, positive, the inverse of the standard deviation.
    """

    name = "gaussian_surrogate"
    surrogate = "k/sqrt(2*pi) * exp(-(k*x)**2/2)"
    arguments: ClassVar = _sharpness(2.5)

    def soft_step(self, x: Tensor, sharpness: Value) -> Tensor:
        """Return the normal distribution function of kx, less 1/2."""
        return 0.5 * torch.erf(sharpness * x * sqrt(0.5))


@register
class StraightThrough(Surrogate):
    r"""Heaviside step with the straight-through estimator: the gradient of the identity.

    .. math:: \varphi'(x) := 1

    References:
        Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation,
        Y. Bengio, N. Leonard and A. Courville, 2013, https://arxiv.org/abs/1308.3432
    """

    name = "straight_through"
    surrogate = "1"

    @override
    def soft_step(self, x: Tensor) -> Tensor:
        return x


@register
class RectangularSurrogate(Surrogate):
    r"""Heaviside step with a rectangle of unit area as surrogate gradient.

    .. math:: \varphi'(x) := k \text{ if } |x| < \tfrac{1}{2k} \text{ else } 0

    Args:
        sharpness: :math:`k`, positive, the inverse of the rectangle's width.

    References:
        Spatio-Temporal Backpropagation for Training High-Performance Spiking Neural Networks, Y. Wu
        et al., 2018, https://arxiv.org/abs/1706.02609
    """

    name = "rectangular_surrogate"
    surrogate = "k if abs(k*x) < 1/2 else 0"
    arguments: ClassVar = _sharpness(1.0)

    def soft_step(self, x: Tensor, sharpness: Value) -> Tensor:
        """Return ``kx`` clipped to ±1/2."""
        return F.hardtanh(sharpness * x, -0.5, 0.5)


@register
class MultiGaussianSurrogate(Surrogate):
    r"""Heaviside step with a Gaussian that has negative side lobes as surrogate gradient.

    .. math:: \varphi'(x) := (1 + h) \, \mathcal N(x; 0, \sigma^2)
        - h \, \mathcal N(x; \sigma, (s\sigma)^2)
        - h \, \mathcal N(x; -\sigma, (s\sigma)^2), \quad \sigma = 1/k, \; h = 0.15, \; s = 6

    Args:
        sharpness: :math:`k`, positive, the inverse of the standard deviation of the central lobe.

    References:
        Accurate and efficient time-domain classification with adaptive spiking recurrent neural
        networks, B. Yin, F. Corradi and S. Bohte, 2021, https://arxiv.org/abs/2103.12593
    """

    name = "multi_gaussian_surrogate"
    surrogate = (
        "k/sqrt(2*pi) * (1.15*exp(-(k*x)**2/2)"
        " - 0.15/6*exp(-((k*x - 1)/6)**2/2) - 0.15/6*exp(-((k*x + 1)/6)**2/2))"
    )  # fmt: skip
    arguments: ClassVar = _sharpness(2.0)
    height, width = 0.15, 6.0

    def soft_step(self, x: Tensor, sharpness: Value) -> Tensor:
        """Return the sum of the three lobes' integrals."""
        u = sharpness * x * sqrt(0.5)
        shift = sqrt(0.5)
        lobes = torch.erf((u - shift) / self.width) + torch.erf((u + shift) / self.width)
        return 0.5 * ((1 + self.height) * torch.erf(u) - self.height * lobes)
