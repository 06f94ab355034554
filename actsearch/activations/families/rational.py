"""Rational activation: learned polynomials over one another. Input and output are ``(*)``."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.activations.base import Option
from actsearch.activations.flexible import Flexible, positive, whole
from actsearch.activations.kernels.recomputed import InPlaceRule, evaluate_in_place
from actsearch.activations.registry import activation, register


@register
class Rational(Flexible):
    r"""Padé activation unit: a rational function with a safe denominator.

    .. math:: \varphi(x) = \frac{\sum_{i=0}^{n} p_i x^i}{1 + \left|\sum_{j=1}^{m} q_j x^j\right|}

    The coefficients start at the least-squares fit of a named activation on [-bound, bound];
    ``start_error`` says how far the start is from it there. The derivative jumps where the sum
    below changes sign.

    Numerics: the coefficients' gradients are recomputed from x in the backward pass, which keeps no
    intermediate value. Half precision is evaluated in single. Single precision overflows for
    :math:`|x|^n` above 10³⁸.

    Args:
        like: name or expression of the activation to start at.
        numerator: degree n, from 1 to 8.
        denominator: degree m, from 1 to 8.
        bound: half of the width of the interval of the fit, positive.

    References:
        Padé Activation Units: End-to-end Learning of Flexible Activation Functions in Deep
        Networks, A. Molina, P. Schramowski and K. Kersting, 2020, https://arxiv.org/abs/1907.06732

    """

    name = "rational"
    formula = "sum(p[i]*x**i)/(1 + abs(sum(q[j]*x**j)))"
    arguments: ClassVar = {
        "like": Option("leaky_relu"),
        "numerator": Option(5, symbol="n"),
        "denominator": Option(4, symbol="m"),
        "bound": Option(5.0),
    }

    def start(self) -> Tensor:
        """Return the fitted coefficients: those of the numerator, then those of the denominator."""
        return fitted_rational(
            self.values["like"],
            whole("numerator", self.values["numerator"], 1, 8),
            whole("denominator", self.values["denominator"], 1, 8),
            positive("bound", self.values["bound"]),
        )

    @override
    def function(self, x: Tensor, coefficients: Tensor, numerator: int, **options: Any) -> Tensor:
        p, q = coefficients[: numerator + 1], coefficients[numerator + 1 :]
        return evaluate_in_place(QUOTIENT, x, p, q)

    @classmethod
    def declare(cls, **values: Any) -> dict[str, Any]:
        """Return nothing: every fact depends on the coefficients."""
        return {}


def quotient(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Return the formula by Horner's rule."""
    above = p[-1]
    for c in p.flip(0)[1:]:
        above = above * x + c
    below = q[-1] * x
    for c in q.flip(0)[1:]:
        below = (below + c) * x
    return above / (1 + below.abs())


def _quotient_in_place(x: Tensor, p: Tensor, q: Tensor) -> Tensor:
    above = x * p[-1]
    above += p[-2]
    for c in p.flip(0)[2:]:
        above.mul_(x).add_(c)
    below = x * q[-1]
    for c in q.flip(0)[1:]:
        below.add_(c).mul_(x)
    return above.div_(below.abs_().add_(1))


def _quotient_gradients(
    gradient: Tensor, inputs: tuple[Tensor, ...], needed: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    x, p, q = inputs
    above, above_slope = x * p[-1], p[-1].expand_as(x).clone()
    above += p[-2]
    for c in p.flip(0)[2:]:
        above_slope.mul_(x).add_(above)
        above.mul_(x).add_(c)
    # below = 1 + |s|; with s = x r the derivative of s is r + x r'.
    r, r_slope = q[-1].expand_as(x).clone(), torch.zeros_like(x)
    for c in q.flip(0)[1:]:
        r_slope.mul_(x).add_(r)
        r.mul_(x).add_(c)
    s = r * x
    r_slope.mul_(x).add_(r)
    weight = gradient / s.abs().add_(1)  # g / Q
    pull = above.div_(s.abs().add_(1)).mul_(s.sign_()).mul_(weight)  # g P sign(s) / Q²
    for_x = above_slope.mul_(weight).sub_(r_slope.mul_(pull)) if needed[0] else None
    return for_x, _moments(weight, x, p, first=0), _moments(pull, x, q, first=1).neg_()


QUOTIENT = InPlaceRule(quotient, _quotient_in_place, _quotient_gradients)


def _moments(weight: Tensor, x: Tensor, like: Tensor, first: int) -> Tensor:
    """Return the sums of ``weight`` xⁱ, i from ``first`` on, over all that shares a coefficient.

    Uses ``weight`` up.
    """
    sums = []
    for i in range(first, first + like.shape[0]):
        if i > 0:
            weight.mul_(x)
        sums.append(weight.sum_to_size(like.shape[1:]) if like.ndim > 1 else weight.sum())
    return torch.stack(sums)


@cache
def fitted_rational(like: str, numerator: int, denominator: int, bound: float) -> Tensor:
    r"""Return the coefficients nearest to a named activation in the mean square on [-bound, bound].

    .. math:: \min_{p, q} \sum_k \left(\frac{P(x_k)}{1 + |S(x_k)|} - f(x_k)\right)^2

    Gauss-Newton steps with damping (Levenberg and Marquardt), from several starts; the best is
    kept.
    """
    x = torch.linspace(-bound, bound, 1001, dtype=torch.float64)
    target = activation(like).plain()(x).detach()
    powers = torch.stack([(x / bound) ** i for i in range(max(numerator, denominator) + 1)], 1)
    top, bottom = powers[:, : numerator + 1], powers[:, 1 : denominator + 1]
    best, least = torch.zeros(numerator + 1 + denominator, dtype=torch.float64), float("inf")
    for curvature in (0.0, 1.0, -1.0, 10.0):
        q = torch.zeros(denominator, dtype=torch.float64)
        q[min(1, denominator - 1)] = curvature
        below = 1 + (bottom @ q).abs()
        p = torch.linalg.lstsq(top / below[:, None], target[:, None], driver="gelsd").solution[:, 0]
        c, loss = _descend(torch.cat([p, q]), top, bottom, target)
        if loss < least:
            best, least = c, loss
    scale = torch.tensor(
        [bound**i for i in (*range(numerator + 1), *range(1, denominator + 1))], dtype=torch.float64
    )
    return best / scale


def _descend(c: Tensor, top: Tensor, bottom: Tensor, target: Tensor) -> tuple[Tensor, float]:
    n, damping, loss = top.shape[1], 1e-3, float("inf")

    def residual(c: Tensor) -> tuple[Tensor, Tensor]:
        s = bottom @ c[n:]
        below = 1 + s.abs()
        value = top @ c[:n] / below
        slopes = torch.cat([top / below[:, None], bottom * (-value * s.sign() / below)[:, None]], 1)
        return value - target, slopes

    r, jacobian = residual(c)
    loss = float(r.square().sum())
    for _ in range(200):
        normal = jacobian.T @ jacobian
        step = torch.linalg.lstsq(
            normal + damping * torch.diag(normal.diagonal() + 1e-12), -jacobian.T @ r
        ).solution
        trial, trial_jacobian = residual(c + step)
        reached = float(trial.square().sum())
        if reached < loss:
            settled = loss - reached < 1e-12 * loss
            c, r, jacobian, loss, damping = (
                c + step,
                trial,
                trial_jacobian,
                reached,
                max(damping / 5, 1e-12),
            )
            if settled:
                break
        else:
            damping *= 4
            if damping > 1e12:
                break
    return c, loss
