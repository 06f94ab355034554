"""Splines: smooth to a chosen degree, learned locally. Input and output have shape ``(*)``."""

from __future__ import annotations

from functools import cache
from math import factorial
from typing import Any, ClassVar

import torch
from torch import Tensor

from actsearch.activations.base import Option
from actsearch.activations.flexible import Flexible, pick, positive, whole
from actsearch.activations.kernels.recomputed import InPlaceRule, evaluate_in_place
from actsearch.activations.registry import activation, register


@register
class BSpline(Flexible):
    r"""Spline of degree d on even knots, continued by straight lines.

    .. math:: \varphi(x) = \sum_i c_i B_{i,d}(x)

    The degree is the smoothness: φ is :math:`C^{d-1}` on the whole real line, and its d-th
    derivative jumps at the knots. The bound is divided into K intervals, on which the coefficients
    :math:`c_0, \dots, c_{K+d-1}` act. Beyond it they are continued linearly in i, and with them φ:
    it is a straight line from d - 1 intervals outside of the bound on, and no derivative below the
    d-th jumps on the way. They start at the least-squares fit of a named activation;
    ``start_error`` says how far the start is from it on [-bound, bound].

    Numerics: one polynomial is evaluated for each element, that of its interval, and not every
    :math:`B_{i,d}`; the backward pass recomputes it from x.

    Args:
        like: name or expression of the activation to start at.
        degree: d, from 1 to 5.
        intervals: K, from 2 to 64; there are K + d coefficients.
        bound: half of the width of the interval that the coefficients act on, positive.

    References:
        A Practical Guide to Splines, C. de Boor, 1978, https://link.springer.com/book/9780387953663
        Learning Activation Functions in Deep (Spline) Neural Networks, P. Bohra, J. Campos, H.
        Gupta, S. Aziznejad and M. Unser, 2020, https://doi.org/10.1109/OJSP.2020.3039379

    """

    name = "bspline"
    formula = "sum(c[i]*B[i, d](x))"
    arguments: ClassVar = {
        "like": Option("silu"),
        "degree": Option(3, symbol="d"),
        "intervals": Option(8, symbol="K"),
        "bound": Option(4.0),
    }

    blend: Tensor

    def __init__(self, /, **options: Any) -> None:
        super().__init__(**options)
        degree: Any = self.values.get("degree", 1)
        self.register_buffer("blend", blending(degree), persistent=False)

    def start(self) -> Tensor:
        """Return the fitted coefficients."""
        degree = whole("degree", self.values.get("degree", 1), 1, 5)
        intervals = whole("intervals", self.values["intervals"], 2, 64)
        return fitted_spline(
            self.values["like"], degree, intervals, positive("bound", self.values["bound"])
        )

    def function(
        self,
        x: Tensor,
        coefficients: Tensor,
        intervals: int,
        bound: float,
        degree: int = 1,
        **options: Any,
    ) -> Tensor:
        """Return the polynomial of the interval that each element falls into."""
        table = polynomials(coefficients, self.blend)
        step = 2 * bound / intervals
        # In steps from the left end of the first polynomial's interval.
        t = (x + (bound + (degree - 1) * step)) / step
        return evaluate_in_place(PIECEWISE, t, table)

    @classmethod
    def declare(cls, degree: int = 1, **values: Any) -> dict[str, Any]:
        """Return the smoothness.

        It holds for every value of the coefficients but those at which pieces happen to fit.
        """
        return {"smoothness": degree - 1}


@register
class PiecewiseLinear(BSpline):
    r"""Piecewise linear function with learned values at even knots.

    .. math:: \varphi(x) = c_i + (c_{i+1} - c_i) \frac{x - x_i}{x_{i+1} - x_i}
        \text{ for } x_i \le x < x_{i+1}

    The first and the last piece go on to infinity. It is the B-spline of degree 1: the coefficients
    are the values at the knots. They start at the least-squares fit of a named activation, exact
    for ReLU with an even number of intervals.

    Args:
        like: name or expression of the activation to start at.
        intervals: K, from 2 to 64; there are K + 1 knots, K pieces.
        bound: the outermost knots are at -bound and bound.

    References:
        Learning Activation Functions to Improve Deep Neural Networks, F. Agostinelli, M. Hoffman,
        P. Sadowski and P. Baldi, 2014, https://arxiv.org/abs/1412.6830

    """

    name = "piecewise_linear"
    formula = "interpolate(x, *knots)"
    arguments: ClassVar = {
        "like": Option("relu"),
        "intervals": Option(8, symbol="K"),
        "bound": Option(4.0),
    }


def blending(degree: int) -> Tensor:
    """Return d! times the d + 1 B-splines on one interval of unit length.

    Each is its row times (1, u, u², …). By the recursion of Cox and de Boor on even knots,
    d b_r = (u + d - r) b_{r-1} + (r + 1 - u) b_r. They are whole numbers, which every dtype holds
    exactly.
    """
    rows = torch.ones(1, 1, dtype=torch.float64)
    for d in range(1, degree + 1):
        lower = torch.zeros(d + 2, d + 1, dtype=torch.float64)
        lower[1 : d + 1, :d] = rows
        r = torch.arange(d + 1, dtype=torch.float64)[:, None]
        left, right = lower[: d + 1], lower[1:]
        rows = (d - r) * left + left.roll(1, 1) + (r + 1) * right - right.roll(1, 1)
    return rows


def polynomials(coefficients: Tensor, blend: Tensor) -> Tensor:
    """Return the coefficients of the polynomial on each interval, lowest power first.

    ``blend`` is that of the degree.

    Shapes:
        ``coefficients`` :math:`(n, *)`; result :math:`(d + 1, n + d - 2, *)`, the first and the
        last polynomial linear.
    """
    degree = len(blend) - 1
    if degree > 1:
        beyond = torch.arange(1, degree, device=coefficients.device, dtype=coefficients.dtype)
        beyond = beyond.view(-1, *[1] * (coefficients.ndim - 1))
        left = coefficients[:1] - beyond.flip(0) * (coefficients[1:2] - coefficients[:1])
        right = coefficients[-1:] + beyond * (coefficients[-1:] - coefficients[-2:-1])
        coefficients = torch.cat([left, coefficients, right])
    pieces = len(coefficients) - degree
    windows = torch.stack([coefficients[r : r + pieces] for r in range(degree + 1)], -1)
    table = (windows @ (blend.to(coefficients) / factorial(degree))).movedim(-1, 0)
    # The end pieces are linear in exact arithmetic; rounding must not leave a higher power, which
    # would grow.
    linear = torch.ones(table.shape[:2], device=table.device, dtype=table.dtype)
    linear[2:, 0] = linear[2:, -1] = 0
    return table * linear.view(*linear.shape, *[1] * (table.ndim - 2))


def _locate(t: Tensor, pieces: int) -> tuple[Tensor, Tensor]:
    """Return each element's piece and its position from the piece's left end.

    NaN stays in the position.
    """
    floor = t.detach().floor().clamp(0, pieces - 1)
    return floor.nan_to_num(0.0).long(), t - floor


def piecewise(t: Tensor, table: Tensor) -> Tensor:
    """Return the polynomial of the piece that each element falls into, by Horner's rule."""
    index, u = _locate(t, table.shape[1])
    value = pick(table[-1], index)
    if len(table) == 2:
        # A second derivative that is zero, as that of torch's own kinks, and is not absent.
        value = value + 0 * u
    for row in table.flip(0)[1:]:
        value = value * u + pick(row, index)
    return value


def _piecewise_in_place(t: Tensor, table: Tensor) -> Tensor:
    index, u = _locate(t, table.shape[1])
    value = pick(table[-1], index)
    for row in table.flip(0)[1:]:
        value.mul_(u).add_(pick(row, index))
    return value


def _piecewise_gradients(
    gradient: Tensor, inputs: tuple[Tensor, ...], needed: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    t, table = inputs
    index, u = _locate(t, table.shape[1])
    for_t = None
    if needed[0]:
        for_t = pick(table[-1], index).mul_(len(table) - 1)
        for power in range(len(table) - 2, 0, -1):
            for_t.mul_(u).add_(pick(table[power], index), alpha=power)
        for_t.mul_(gradient)
    return for_t, _collect(gradient, u, index, table) if needed[1] else None


PIECEWISE = InPlaceRule(piecewise, _piecewise_in_place, _piecewise_gradients)


def _collect(g: Tensor, u: Tensor, index: Tensor, table: Tensor) -> Tensor:
    """Return the sums of g uᵏ over the elements of each piece, for every power k."""
    pieces = table.shape[1]
    flat = index
    if table.ndim > 2:
        channels = torch.arange(table[0, 0].numel(), device=table.device).view(table.shape[2:])
        flat = index + channels * pieces
    flat = flat.flatten()
    # Many elements fall into one sum; on a CPU, double precision costs nothing here.
    weight = g.to(torch.float64 if g.device.type == "cpu" else g.dtype).expand(index.shape).clone()
    sums = []
    for power in range(len(table)):
        if power:
            weight.mul_(u)
        total = weight.new_zeros(table[0].numel()).scatter_add_(0, flat, weight.flatten())
        sums.append(total.view(-1, pieces).T.reshape(table.shape[1:]))
    return torch.stack(sums).to(table.dtype)


@cache
def fitted_spline(like: str, degree: int, intervals: int, bound: float) -> Tensor:
    """Return the coefficients nearest to a named activation in the mean square.

    The mean is over all x up to where φ becomes a line.
    """
    reach = bound + (degree - 1) * 2 * bound / intervals
    x = torch.linspace(-reach, reach, 64 * intervals + 1, dtype=torch.float64)
    target = activation(like).plain()(x).detach()
    step = 2 * bound / intervals
    t = (x + (bound + (degree - 1) * step)) / step
    units, blend = torch.eye(intervals + degree, dtype=torch.float64), blending(degree)
    design = torch.stack([piecewise(t, polynomials(unit, blend)) for unit in units], 1)
    solution: Tensor = torch.linalg.lstsq(design, target[:, None], driver="gelsd").solution
    return solution[:, 0]
