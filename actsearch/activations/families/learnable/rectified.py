"""Rectifiers with a parameter, and thresholds. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import exp, inf
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from actsearch.activations.base import Activation, Parameter, Value
from actsearch.activations.bijective import Bijective
from actsearch.activations.kernels import fused
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register
from actsearch.errors import InvalidValueError


@register
class LeakyReLU(Bijective):
    r"""Leaky rectified linear unit.

    .. math:: \varphi(x) = \max(0, x) + \alpha \min(0, x)

    For :math:`\alpha > 0` it is a bijection; its log-derivative summed is (number of negatives) · log α.

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
            return fused.apply(fused.Leaky, x, negative_slope)
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
    def declare(cls, negative_slope: float) -> dict[str, Any]:
        """Return the analytic facts."""
        α = negative_slope
        holds = [
            "zero_preserving positively_homogeneous",
            "monotone" * (α >= 0), "odd" * (α == 1), "even" * (α == -1), "convex" * (α <= 1), "bijective" * (α > 0),
        ]  # fmt: skip
        return known(
            " ".join(holds), smoothness=inf if α == 1 else 0, slope=max(1.0, abs(α)),
            values=(-inf if α > 0 else 0.0, inf), asymptotes=(α, 1), pieces=1 if α == 1 else 2,
        )  # fmt: skip


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
    r"""Randomized leaky ReLU: a random slope for every element in training, the mean slope in evaluation.

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
    def declare(cls, lower: float, upper: float) -> dict[str, Any]:
        """Return the analytic facts."""
        return LeakyReLU.declare((lower + upper) / 2) | {
            "derivative_bound": max(1.0, abs(lower), abs(upper))
        }


@register
class ELU(Activation):
    r"""Exponential linear unit.

    .. math:: \varphi(x) = x \text{ if } x \ge 0 \text{ else } \alpha (e^x - 1)

    Args:
        alpha: :math:`\alpha`, positive; the left limit is -α.

    References:
        Fast and Accurate Deep Network Learning by Exponential Linear Units (ELUs), D. Clevert, T.
        Unterthiner and S. Hochreiter, 2015, https://arxiv.org/abs/1511.07289
    """

    name = "elu"
    formula = "x if x >= 0 else α*expm1(x)"
    arguments: ClassVar = {"alpha": Parameter(1.0, constraints.positive, symbol="α")}

    def function(self, x: Tensor, alpha: Value) -> Tensor:
        """Return the formula; the native kernel where α is a number."""
        if isinstance(alpha, Tensor):
            return fused.apply(fused.Exponential, x, alpha)
        return F.elu(x, alpha)

    @classmethod
    def declare(cls, alpha: float) -> dict[str, Any]:
        """Return the analytic facts."""
        return known(
            "monotone zero_preserving bijective" + " convex" * (alpha <= 1), smoothness=1 if alpha == 1 else 0,
            slope=max(1.0, alpha), values=(-alpha, inf), asymptotes=(0, 1),
        )  # fmt: skip


@register
class CELU(Activation):
    r"""Continuously differentiable exponential linear unit.

    .. math:: \varphi(x) = x \text{ if } x \ge 0 \text{ else } \alpha (e^{x/\alpha} - 1)

    Args:
        alpha: :math:`\alpha`, positive; the left limit is -α.

    References:
        Continuously Differentiable Exponential Linear Units, J. Barron, 2017,
        https://arxiv.org/abs/1704.07483
    """

    name = "celu"
    formula = "x if x >= 0 else α*expm1(x/α)"
    arguments: ClassVar = {"alpha": Parameter(1.0, constraints.positive, symbol="α")}

    def function(self, x: Tensor, alpha: Value) -> Tensor:
        """Return the formula; the native kernel where α is a number."""
        if isinstance(alpha, Tensor):
            return fused.apply(fused.ScaledExponential, x, alpha)
        return F.celu(x, alpha)

    @classmethod
    def declare(cls, alpha: float) -> dict[str, Any]:
        """Return the analytic facts."""
        return known(
            "monotone zero_preserving bijective convex",
            smoothness=1,
            slope=1,
            values=(-alpha, inf),
            asymptotes=(0, 1),
        )


@register
class Threshold(Activation):
    r"""Identity above a threshold, a constant elsewhere.

    .. math:: \varphi(x) = x \text{ if } x > t \text{ else } v

    Args:
        threshold: :math:`t`; never learned, its gradient is zero almost everywhere.
        value: :math:`v`.
    """

    name = "threshold"
    formula = "x if x > t else v"
    arguments: ClassVar = {
        "threshold": Parameter(0.0, symbol="t", learnable=False),
        "value": Parameter(0.0, symbol="v"),
    }

    def function(self, x: Tensor, threshold: float, value: Value) -> Tensor:
        """Return the formula; the native kernel where v is a number."""
        return (
            torch.where(x > threshold, x, value)
            if isinstance(value, Tensor)
            else F.threshold(x, threshold, value)
        )

    @classmethod
    def declare(cls, threshold: float, value: float) -> dict[str, Any]:
        """Return the analytic facts."""
        t, v = threshold, value
        holds = [
            "monotone" * (v <= t), "zero_preserving" * (t < 0 or v == 0), "convex" * (v == t),
            "positively_homogeneous" * (v == t == 0),
        ]  # fmt: skip
        return known(
            " ".join(holds), smoothness=0 if v == t else -1, slope=1 if v == t else inf, values=(min(t, v), inf),
            asymptotes=(0, 1), pieces=2,
        )  # fmt: skip


@register
class Softshrink(Activation):
    r"""Soft threshold: shrinks towards zero.

    .. math:: \varphi(x) = x - \min(\max(x, -\lambda), \lambda)

    Args:
        lambd: :math:`\lambda`, not negative, in units of x.

    References:
        De-noising by soft-thresholding, D. Donoho, 1995, https://doi.org/10.1109/18.382009
    """

    name = "softshrink"
    formula = "x - min(max(x, -λ), λ)"
    arguments: ClassVar = {"lambd": Parameter(0.5, constraints.nonnegative, symbol="λ")}

    def function(self, x: Tensor, lambd: Value) -> Tensor:
        """Return the formula; the native kernel where λ is a number."""
        if isinstance(lambd, Tensor):
            return fused.apply(fused.Shrink, x, lambd)
        return F.softshrink(x, lambd)

    @classmethod
    def declare(cls, lambd: float) -> dict[str, Any]:
        """Return the analytic facts."""
        if lambd == 0:
            return _identity()
        return known(
            "monotone odd zero_preserving",
            smoothness=0,
            slope=1,
            values=(-inf, inf),
            asymptotes=(1, 1),
            pieces=3,
        )


@register
class Hardshrink(Activation):
    r"""Hard threshold: zero below, unchanged above.

    .. math:: \varphi(x) = x \text{ if } |x| > \lambda \text{ else } 0

    Args:
        lambd: :math:`\lambda`, not negative, in units of x; never learned, its gradient is zero
            almost everywhere. ``smooth_hardshrink`` learns it.

    References:
        Ideal spatial adaptation by wavelet shrinkage, D. Donoho and I. Johnstone, 1994,
        https://doi.org/10.1093/biomet/81.3.425
    """

    name = "hardshrink"
    formula = "x if abs(x) > λ else 0"
    arguments: ClassVar = {
        "lambd": Parameter(0.5, constraints.nonnegative, symbol="λ", learnable=False)
    }

    def function(self, x: Tensor, lambd: float) -> Tensor:
        """Return the formula."""
        return F.hardshrink(x, lambd)

    @classmethod
    def declare(cls, lambd: float) -> dict[str, Any]:
        """Return the analytic facts."""
        if lambd == 0:
            return _identity()
        return known(
            "monotone odd zero_preserving",
            smoothness=-1,
            slope=inf,
            values=(-inf, inf),
            asymptotes=(1, 1),
            pieces=3,
        )


@register
class SmoothHardshrink(Activation):
    r"""Hard threshold with a smooth gate, through which the threshold is learned.

    .. math:: \varphi(x) = x \, \sigma\left(k (x^2 - \lambda^2)\right)

    Args:
        lambd: :math:`\lambda`, positive, in units of x.
        sharpness: :math:`k`, positive; the hard threshold is the limit of large k.
    """

    name = "smooth_hardshrink"
    formula = "x*sigmoid(k*(x**2 - λ**2))"
    arguments: ClassVar = {
        "lambd": Parameter(0.5, constraints.positive, learn=True, symbol="λ"),
        "sharpness": Parameter(10.0, constraints.positive, symbol="k"),
    }

    def function(self, x: Tensor, lambd: Value, sharpness: Value) -> Tensor:
        """Return the formula."""
        return x * torch.sigmoid(sharpness * (x.square() - lambd**2))

    @classmethod
    def declare(cls, lambd: float, sharpness: float) -> dict[str, Any]:
        """Return the analytic facts; with v = k(x² - λ²), φ' = σ(v) (1 + 2 (v + kλ²) σ(-v))."""
        c = sharpness * lambd**2
        low, high = (
            0.0,
            710.0,
        )  # the steepest v solves (v + c) tanh(v/2) = 3/2, whose left side rises
        for _ in range(200):
            v = (low + high) / 2
            low, high = (v, high) if (v + c) * (1 - exp(-v)) / (1 + exp(-v)) < 1.5 else (low, v)
        slope = (1 + 2 * (low + c) * exp(-low) / (1 + exp(-low))) / (1 + exp(-low))
        return known(
            "monotone odd zero_preserving bijective",
            smoothness=inf, slope=slope, values=(-inf, inf), asymptotes=(1, 1),
        )  # fmt: skip


def _identity() -> dict[str, Any]:
    return LeakyReLU.declare(1.0)
