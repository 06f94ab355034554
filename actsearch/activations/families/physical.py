"""Forms that physics, chemistry and biology use. Input and output have shape ``(*)``."""

from __future__ import annotations

from math import ceil, exp, inf, log, sqrt
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints
from typing_extensions import override

from actsearch.activations.base import Activation, Option, Parameter, Value
from actsearch.activations.properties.properties import known
from actsearch.activations.registry import register


@register
class GaussianRadial(Activation):
    r"""Radial part of a Gaussian-type orbital.

    .. math:: \varphi(x) = x^l e^{-\zeta x^2}

    Args:
        exponent: :math:`\zeta`, positive, in inverse squared units of x.
        order: :math:`l`, the angular momentum: 0 (s), 1 (p), 2 (d).

    References:
        Electronic wave functions I. A general method of calculation for the stationary states of
        any molecular system, S. F. Boys, 1950, https://doi.org/10.1098/rspa.1950.0036
    """

    name = "gaussian_radial"
    formula = "x**l * exp(-ζ*x**2)"
    arguments: ClassVar = {
        "exponent": Parameter(1.0, constraints.positive, symbol="ζ"),
        "order": Option(0, (0, 1, 2), symbol="l"),
    }

    @override
    def function(self, x: Tensor, exponent: Value, order: int) -> Tensor:
        bell = torch.exp(-exponent * x.square())
        return bell if order == 0 else x.pow(order) * bell

    @classmethod
    def declare(cls, exponent: float, order: int) -> dict[str, Any]:
        """Return the analytic facts, from the roots of the first and second derivatives."""
        ζ = exponent
        if order == 0:
            return known(
                "even",
                smoothness=inf,
                slope=sqrt(2 * ζ) * exp(-0.5),
                values=(0, 1),
                asymptotes=(0, 0),
            )
        if order == 1:
            peak = sqrt(0.5 / ζ) * exp(-0.5)
            return known(
                "odd zero_preserving",
                smoothness=inf,
                slope=1,
                values=(-peak, peak),
                asymptotes=(0, 0),
            )
        u = (5 - sqrt(17)) / 4  # ζx² at the steepest point
        return known(
            "even zero_preserving", smoothness=inf, slope=2 * sqrt(u / ζ) * (1 - u) * exp(-u),
            values=(0, exp(-1) / ζ), asymptotes=(0, 0),
        )  # fmt: skip


@register
class Hill(Activation):
    r"""Hill function: the response of a gene to a transcription factor.

    Zero for negative concentrations.

    .. math:: \varphi(x) = \frac{x_+^n}{K^n + x_+^n}, \quad x_+ = \max(0, x)

    It is computed as :math:`\sigma(n (\log x - \log K))`, which overflows for no n.

    Args:
        half: :math:`K`, positive, the concentration of half response, in units of x.
        coefficient: :math:`n`, at least 1: below, the slope at 0 would be infinite.

    References:
        The possible effects of the aggregation of the molecules of haemoglobin on its dissociation
        curves, A. V. Hill, 1910, Journal of Physiology 40 (supplement)
    """

    name = "hill"
    formula = "max(0, x)**n / (K**n + max(0, x)**n)"
    arguments: ClassVar = {
        "half": Parameter(1.0, constraints.positive, symbol="K"),
        "coefficient": Parameter(2.0, constraints.greater_than_eq(1.0), symbol="n"),
    }

    def function(self, x: Tensor, half: Value, coefficient: Value) -> Tensor:
        """Return the formula.

        The smallest normal number stands for 0, so that its logarithm is finite.
        """
        tiny = torch.finfo(x.dtype).tiny
        log_half = half.log() if isinstance(half, Tensor) else log(half)
        ratio = torch.log(F.threshold(x, tiny, tiny)) - log_half
        return torch.sigmoid(coefficient * ratio) * (x > 0)

    @classmethod
    def declare(cls, half: float, coefficient: float) -> dict[str, Any]:
        """Return the analytic facts; the steepest point is at :math:`(x/K)^n = (n - 1)/(n + 1)`."""
        n = coefficient
        u = (n - 1) / (n + 1)
        steepest = n / half * u ** (1 - 1 / n) / (1 + u) ** 2
        return known(
            "monotone zero_preserving",
            smoothness=ceil(n) - 1,
            slope=steepest,
            values=(0, 1),
            asymptotes=(0, 0),
        )


@register
class Attenuation(Activation):
    r"""Exponential attenuation: the Beer-Lambert law for a path integral x.

    .. math:: \varphi(x) = I_0 \, e^{-\mu x}

    Args:
        coefficient: :math:`\mu`, positive, in inverse units of x.
        intensity: :math:`I_0`, positive, the value at 0.

    References:
        Bestimmung der Absorption des rothen Lichts in farbigen Flüssigkeiten, A. Beer, 1852,
        https://doi.org/10.1002/andp.18521620505
    """

    name = "attenuation"
    formula = "I*exp(-μ*x)"
    arguments: ClassVar = {
        "coefficient": Parameter(1.0, constraints.positive, symbol="μ"),
        "intensity": Parameter(1.0, constraints.positive, symbol="I"),
    }

    @override
    def function(self, x: Tensor, coefficient: Value, intensity: Value) -> Tensor:
        return intensity * torch.exp(-coefficient * x)

    @classmethod
    def declare(cls, coefficient: float, intensity: float) -> dict[str, Any]:
        """Return the analytic facts; it falls, which ``monotone`` does not mean."""
        return known(
            "convex bijective", smoothness=inf, slope=inf, values=(0, inf), asymptotes=(-inf, 0)
        )


@register
class CoulombStep(Activation):
    r"""Soft step of a softened Coulomb force.

    .. math:: \varphi(x) = \frac12 \left(1 + \frac{x}{\sqrt{x^2 + \varepsilon^2}}\right)

    Args:
        softening: :math:`\varepsilon`, positive, the softening length in units of x.
    """

    name = "coulomb_step"
    formula = "(1 + x/sqrt(x**2 + ε**2))/2"
    arguments: ClassVar = {"softening": Parameter(1.0, constraints.positive, symbol="ε")}

    @override
    def function(self, x: Tensor, softening: Value) -> Tensor:
        return 0.5 + 0.5 * x * torch.rsqrt(x.square() + softening**2)

    @classmethod
    @override
    def declare(cls, softening: float) -> dict[str, Any]:
        return known(
            "monotone bijective",
            smoothness=inf,
            slope=0.5 / softening,
            values=(0, 1),
            asymptotes=(0, 0),
        )


@register
class SoftCoulomb(Activation):
    r"""Soft-core Coulomb potential.

    .. math:: \varphi(x) = \frac{1}{\sqrt{x^2 + \varepsilon^2}}

    Args:
        softening: :math:`\varepsilon`, positive, the softening length in units of x.

    References:
        Numerical simulations of multiphoton ionization and above-threshold electron spectra, J.
        Javanainen, J. Eberly and Q. Su, 1988, https://doi.org/10.1103/PhysRevA.38.3430
    """

    name = "soft_coulomb"
    formula = "1/sqrt(x**2 + ε**2)"
    arguments: ClassVar = {"softening": Parameter(1.0, constraints.positive, symbol="ε")}

    @override
    def function(self, x: Tensor, softening: Value) -> Tensor:
        return torch.rsqrt(x.square() + softening**2)

    @classmethod
    def declare(cls, softening: float) -> dict[str, Any]:
        """Return the analytic facts; the steepest point is at ε/√2."""
        slope = 2 / (3 * sqrt(3)) / softening**2
        return known(
            "even", smoothness=inf, slope=slope, values=(0, 1 / softening), asymptotes=(0, 0)
        )
