"""Activations f(x.

Β) = φ(βx)/β, whose gradient for β follows from that for x: ∂f/∂β = (x f' - f)/β, Euler's relation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from actsearch.activations.kernels.blockwise import Fused

aten = torch.ops.aten


class Scaled(Fused):
    """A function φ(βx)/β.

    A subclass states ``phi(u)`` and ``slope(g, u)``, the product g φ'(u), of differentiable
    operations; and for blocks ``fill``, and ``fill_slope(out, g, x, β)``, which writes g φ'(βx).
    """

    keeps_output = True

    @staticmethod
    def phi(u: Tensor) -> Tensor:
        """Return φ(u)."""
        raise NotImplementedError

    @staticmethod
    def slope(gradient: Tensor, u: Tensor) -> Tensor:
        """Return g φ'(u)."""
        raise NotImplementedError

    @staticmethod
    def fill_slope(out: Tensor, g: Tensor, x: Tensor, parameter: float) -> None:
        """Write g φ'(βx)."""
        raise NotImplementedError

    @staticmethod
    def number(parameter: Tensor) -> float:
        """Return β, by which one can divide."""
        return not_zero(parameter).item()

    @classmethod
    def value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return f(x; β)."""
        β = not_zero(parameter)
        return cls.phi(β * x) / β

    @classmethod
    def gradients(
        cls, gradient: Tensor, x: Tensor, parameter: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients."""
        β = not_zero(parameter)
        u = β * x
        for_x = cls.slope(gradient, u)
        return (
            for_x,
            torch.addcmul(for_x * u, gradient, cls.phi(u), value=-1),
            β.square().reciprocal(),
        )

    @classmethod
    def fill_gradient(
        cls, out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for β."""
        cls.fill_slope(out, g, x, parameter)
        return (torch.dot(out, x) - torch.dot(g, y)) / parameter if learned else 0.0


class Swish(Scaled):
    """x σ(βx)."""

    @staticmethod
    def phi(u: Tensor) -> Tensor:
        """Return u σ(u)."""
        return F.silu(u)

    @staticmethod
    def slope(gradient: Tensor, u: Tensor) -> Tensor:
        """Return g (s + u s (1 - s)), s = σ(u)."""
        s = torch.sigmoid(u)
        slope: Tensor = s + aten.sigmoid_backward(u, s)
        return gradient * slope

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write f(x; β)."""
        aten.silu_(torch.mul(x, parameter, out=out)).mul_(1 / parameter)

    @staticmethod
    def fill_slope(out: Tensor, g: Tensor, x: Tensor, parameter: float) -> None:
        """Write g φ'(βx)."""
        aten.silu_backward.grad_input(g, x * parameter, grad_input=out)


class GELU(Scaled):
    """x Φ(βx)."""

    @staticmethod
    def phi(u: Tensor) -> Tensor:
        """Return u Φ(u)."""
        return F.gelu(u)

    @staticmethod
    def slope(gradient: Tensor, u: Tensor) -> Tensor:
        """Return g (Φ(u) + u Φ'(u))."""
        slope: Tensor = aten.gelu_backward(gradient, u)
        return slope

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write f(x; β)."""
        aten.gelu.out(x * parameter, out=out).mul_(1 / parameter)

    @staticmethod
    def fill_slope(out: Tensor, g: Tensor, x: Tensor, parameter: float) -> None:
        """Write g φ'(βx)."""
        aten.gelu_backward.grad_input(g, torch.mul(x, parameter, out=out), grad_input=out)


class Softplus(Scaled):
    """log(1 + eᵝˣ)/β."""

    @staticmethod
    def phi(u: Tensor) -> Tensor:
        """Return log(1 + eᵘ)."""
        return softplus(u)

    @staticmethod
    def slope(gradient: Tensor, u: Tensor) -> Tensor:
        """Return g σ(u)."""
        return gradient * torch.sigmoid(u)

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write f(x; β)."""
        aten.softplus.out(x, parameter, THRESHOLD, out=out)

    @staticmethod
    def fill_slope(out: Tensor, g: Tensor, x: Tensor, parameter: float) -> None:
        """Write g φ'(βx)."""
        aten.softplus_backward.grad_input(g, x, parameter, THRESHOLD, grad_input=out)


class Mish(Scaled):
    """x tanh(log(1 + eᵝˣ)).

    With s = σ(βx) and h = s - s²/2, the gate tanh(…) is h/(1 - h): one transcendental function.
    """

    @staticmethod
    def phi(u: Tensor) -> Tensor:
        """Return u h/(1 - h)."""
        return u * _gate(torch.sigmoid(u))

    @staticmethod
    def slope(gradient: Tensor, u: Tensor) -> Tensor:
        """Return g (t + u t'), with the gate t and t' = s (1 - t²)."""
        s = torch.sigmoid(u)
        t = _gate(s)
        slope: Tensor = t + aten.tanh_backward(s * u, t)
        return gradient * slope

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write f(x; β)."""
        _gate(torch.mul(x, parameter, out=out).sigmoid_(), out).mul_(x)

    @staticmethod
    def fill_slope(out: Tensor, g: Tensor, x: Tensor, parameter: float) -> None:
        """Write g φ'(βx)."""
        s = (x * parameter).sigmoid_()
        t = _gate(s, out)
        bend = aten.tanh_backward.grad_input(s.mul_(x), t, grad_input=s)
        t.add_(bend, alpha=parameter).mul_(g)


class Snake(Scaled):
    """x + sin²(ax)/a."""

    @staticmethod
    def phi(u: Tensor) -> Tensor:
        """Return u + sin² u."""
        return u + torch.sin(u).square()

    @staticmethod
    def slope(gradient: Tensor, u: Tensor) -> Tensor:
        """Return g (1 + sin 2u)."""
        return torch.addcmul(gradient, gradient, torch.sin(2 * u))

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write f(x; a)."""
        torch.mul(x, parameter, out=out).sin_()
        torch.addcmul(x, out, out, value=1 / parameter, out=out)

    @staticmethod
    def fill_slope(out: Tensor, g: Tensor, x: Tensor, parameter: float) -> None:
        """Write g φ'(ax)."""
        torch.addcmul(g, g, torch.mul(x, 2 * parameter, out=out).sin_(), out=out)


THRESHOLD = 40.0  # torch's own, 20, beyond which softplus is the identity, would leave an error of 2e-9, which float64 sees


def softplus(u: Tensor, beta: float = 1.0) -> Tensor:
    """Return log(1 + eᵝᵘ)/β."""
    return F.softplus(u, beta, THRESHOLD)


def not_zero(parameter: Tensor) -> Tensor:
    """Return the parameter, or where it has come down to 0 the smallest normal number, by which one can divide."""
    return parameter.clamp_min(torch.finfo(parameter.dtype).tiny)


def _gate(s: Tensor, out: Tensor | None = None) -> Tensor:
    """Return tanh(log(1 + eᵘ)) as h/(1 - h), h = s - s²/2, from s = σ(u)."""
    h = torch.addcmul(s, s, s, value=-0.5)
    return torch.div(h, 1 - h, out=out)
