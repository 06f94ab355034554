"""Thresholds and shrinkage: what is small is set to zero. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import exp, inf
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Activation, Parameter, Value
from actsearch.activations.families.rectifiers import Identity
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


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
    @override
    def declare(cls, threshold: float, value: float) -> dict[str, Any]:
        t, v = threshold, value
        continuous = v == t
        return known(
            monotone=v <= t,
            zero_preserving=t < 0 or v == 0,
            convex=continuous,
            positively_homogeneous=v == t == 0,
            smoothness=0 if continuous else -1,
            slope=1 if continuous else inf,
            values=(min(t, v), inf),
            asymptotes=(0, 1),
            pieces=2,
        )


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
            return F.relu(x - lambd) - F.relu(-x - lambd)
        return F.softshrink(x, lambd)

    @classmethod
    @override
    def declare(cls, lambd: float) -> dict[str, Any]:
        if lambd == 0:
            return Identity.declare()
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

    @override
    def function(self, x: Tensor, lambd: float) -> Tensor:
        return F.hardshrink(x, lambd)

    @classmethod
    @override
    def declare(cls, lambd: float) -> dict[str, Any]:
        if lambd == 0:
            return Identity.declare()
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

    @override
    def function(self, x: Tensor, lambd: Value, sharpness: Value) -> Tensor:
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

    @override
    def function(self, x: Tensor) -> Tensor:
        return F.tanhshrink(x)
