"""Monotone rational-quadratic spline: a flexible bijection. Input and output are ``(*)``."""

from __future__ import annotations

from math import expm1, inf, log
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from actsearch.activations.base import Option
from actsearch.activations.bijective import Bijective
from actsearch.activations.flexible import Flexible, pick, positive, whole
from actsearch.activations.registry import register

LEAST_BIN = 1e-3
"""Least width and height of a bin, as a share of an even bin, and least slope at a knot.

So that the spline inverts.
"""


class Bins(NamedTuple):
    """The bin of each element: its left knot (x, y), width, height, and the slopes at its knots."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    right: Tensor


@register
class RationalQuadraticSpline(Flexible, Bijective):
    r"""Monotone rational-quadratic spline between two bounds, the identity beyond them.

    .. math:: \varphi(x) = y_k
        + \frac{h_k (s_k \xi^2 + d_k \xi (1 - \xi))}{s_k + (d_{k+1} + d_k - 2 s_k) \xi (1 - \xi)},
        \quad \xi = \frac{x - x_k}{w_k}, \quad s_k = \frac{h_k}{w_k}

    Knots :math:`(x_k, y_k)` rise, the slopes :math:`d_k` at them are positive, and 1 at both
    bounds: so φ is rising and has a continuous derivative for every value of the coefficients. It
    is the identity at the start.

    Numerics: the inverse takes the root of a quadratic in the form that does not cancel.

    Args:
        bins: number of bins K, from 2 to 64; there are 3K - 1 coefficients.
        bound: the spline acts on [-bound, bound].

    References:
        Neural Spline Flows, C. Durkan, A. Bekasov, I. Murray and G. Papamakarios, 2019,
        https://arxiv.org/abs/1906.04032

    """

    name = "rational_quadratic_spline"
    formula = (
        "(y + h*(s*ξ**2 + d0*ξ*(1 - ξ))/(s + (d1 + d0 - 2*s)*ξ*(1 - ξ))) if abs(x) < bound else x"
    )
    arguments: ClassVar = {"bins": Option(8), "bound": Option(5.0)}

    def start(self) -> Tensor:
        """Return even bins and a slope of 1 at every knot: the identity."""
        bins = whole("bins", self.values["bins"], 2, 64)
        positive("bound", self.values["bound"])
        slopes = torch.full((bins - 1,), log(expm1(1 - LEAST_BIN)), dtype=torch.float64)
        return torch.cat([torch.zeros(2 * bins, dtype=torch.float64), slopes])

    def function(self, x: Tensor, coefficients: Tensor, bins: int, bound: float) -> Tensor:
        """Return the formula inside the bounds, x outside."""
        xs, ys, slopes = _knots(coefficients, bins, bound)
        inside, at = _bins(x, xs, xs, ys, slopes, bound)
        ξ = (inside - at.x) / at.width
        s, η = at.height / at.width, ξ * (1 - ξ)
        y = at.y + at.height * (s * ξ * ξ + at.left * η) / (s + (at.right + at.left - 2 * s) * η)
        return torch.where(x.abs() < bound, y, x)

    def inverse_function(self, y: Tensor, coefficients: Tensor, bins: int, bound: float) -> Tensor:
        """Return the root in [0, 1] of the quadratic that the formula is in ξ."""
        xs, ys, slopes = _knots(coefficients, bins, bound)
        inside, at = _bins(y, ys, xs, ys, slopes, bound)
        s, rise = at.height / at.width, inside - at.y
        bend = at.right + at.left - 2 * s
        a = at.height * (s - at.left) + rise * bend
        b = at.height * at.left - rise * bend
        c = -s * rise
        root = 2 * c / (-b - torch.sqrt((b * b - 4 * a * c).clamp(min=0.0)))
        return torch.where(y.abs() < bound, at.x + root * at.width, y)

    def log_slope(self, x: Tensor, coefficients: Tensor, bins: int, bound: float) -> Tensor:
        """Return the logarithm of the formula's derivative inside the bounds, 0 outside."""
        xs, ys, slopes = _knots(coefficients, bins, bound)
        inside, at = _bins(x, xs, xs, ys, slopes, bound)
        ξ = (inside - at.x) / at.width
        s, η = at.height / at.width, ξ * (1 - ξ)
        above = at.right * ξ * ξ + 2 * s * η + at.left * (1 - ξ) * (1 - ξ)
        below = s + (at.right + at.left - 2 * s) * η
        return torch.where(
            x.abs() < bound, 2 * s.log() + above.log() - 2 * below.log(), torch.zeros_like(x)
        )

    @classmethod
    def declare(cls, **values: Any) -> dict[str, Any]:
        """Return what holds for every value of the coefficients."""
        return {
            "monotone": True,
            "bijective": True,
            "minimum": -inf,
            "maximum": inf,
            "left": 1.0,
            "right": 1.0,
        }


def _knots(coefficients: Tensor, bins: int, bound: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return positions, values and slopes of the K + 1 knots, along the first dimension."""
    ends = torch.full_like(coefficients[:1], bound)

    def rising(raw: Tensor) -> Tensor:
        share = LEAST_BIN / bins + (1 - LEAST_BIN) * raw.softmax(0)
        inner = 2 * bound * share.cumsum(0)[:-1] - bound
        return torch.cat([-ends, inner, ends])

    slopes = LEAST_BIN + F.softplus(coefficients[2 * bins :])
    one = torch.ones_like(ends)
    return (
        rising(coefficients[:bins]),
        rising(coefficients[bins : 2 * bins]),
        torch.cat([one, slopes, one]),
    )


def _bins(
    x: Tensor, knots: Tensor, xs: Tensor, ys: Tensor, slopes: Tensor, bound: float
) -> tuple[Tensor, Bins]:
    """Return x brought inside the bounds, and the bin of ``knots`` that it falls into."""
    # Outside the value is not used; inside the bounds it keeps the gradient of the unused branch
    # finite.
    inside = x.clamp(-bound, bound)
    index = torch.zeros(x.shape, dtype=torch.int64, device=x.device)
    for knot in knots[1:-1].detach():
        index = index + (inside >= knot)
    at = Bins(
        pick(xs, index),
        pick(ys, index),
        pick(xs.diff(dim=0), index),
        pick(ys.diff(dim=0), index),
        pick(slopes, index),
        pick(slopes, index + 1),
    )
    return inside, at
