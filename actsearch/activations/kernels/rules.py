"""Rules of activations with one parameter, for :mod:`actsearch.activations.kernels.blockwise`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from actsearch.activations.kernels.blockwise import Rule

aten = torch.ops.aten

SOFTPLUS_THRESHOLD = 40.0
"""βx from which on softplus is x; torch's own, 20, would leave an error of 2e-9."""


class LeakyRule(Rule):
    """max(0, x) + a min(0, x)."""

    @staticmethod
    @override
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        return torch.addcmul(F.relu(x), parameter, x.clamp_max(0))

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂a = min(0, x)."""
        positive = aten.threshold_backward(gradient, x, 0)
        return torch.addcmul(positive, parameter, gradient - positive), gradient, x.clamp_max(0)

    @staticmethod
    @override
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        aten.leaky_relu.out(x, parameter, out=out)

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for a."""
        aten.leaky_relu_backward.grad_input(g, x, parameter, False, grad_input=out)
        return torch.dot(g, x.clamp_max(0)) if learned else 0.0


class ELURule(Rule):
    """max(0, x) + α min(0, eˣ - 1)."""

    keeps_output = True

    @staticmethod
    @override
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        return torch.addcmul(F.relu(x), parameter, torch.expm1(x.clamp_max(0)))

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂α = min(0, eˣ - 1)."""
        positive = aten.threshold_backward(gradient, x, 0)
        bend = torch.expm1(x.clamp_max(0))
        return torch.addcmul(positive, parameter * (1 + bend), gradient - positive), gradient, bend

    @staticmethod
    @override
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        aten.elu.out(x, parameter, out=out)

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for α.

        For negative x, φ' = φ + α and ∂φ/∂α = φ/α.
        """
        aten.elu_backward.grad_input(g, parameter, 1, 1, True, y, grad_input=out)
        return torch.dot(g, y.clamp_max(0)) / parameter if learned else 0.0


class CELURule(Rule):
    """max(0, x) + min(0, α (eˣᐟᵅ - 1))."""

    keeps_output = True

    @staticmethod
    @override
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        return torch.addcmul(F.relu(x), parameter, torch.expm1(x.clamp_max(0) / parameter))

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂α = e - 1 - e x/α for negative x, with e = eˣᐟᵅ."""
        positive = aten.threshold_backward(gradient, x, 0)
        u = x.clamp_max(0) / parameter
        bend = torch.expm1(u)
        e = 1 + bend
        return torch.addcmul(positive, e, gradient - positive), gradient, bend - e * u

    @staticmethod
    @override
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        aten.elu.out(x, parameter, 1, 1 / parameter, out=out)

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for α.

        For negative x, φ' = φ/α + 1 and ∂φ/∂α = (φ - φ' x)/α.
        """
        aten.elu_backward.grad_input(g, parameter, 1, 1 / parameter, True, y, grad_input=out)
        return (torch.dot(g, y) - torch.dot(out, x)) / parameter if learned else 0.0


class ClipRule(Rule):
    """min(max(x, -c), c)."""

    @staticmethod
    @override
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        # min(max()) of tensors trips ONNX's optimizer where a model has it twice.
        return x.sign() * torch.minimum(x.abs(), parameter)

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂c = ±1 beyond ±c."""
        inside = aten.threshold_backward(gradient, parameter - x.abs(), 0)
        return inside, gradient - inside, x.sign()

    @staticmethod
    @override
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        torch.clamp(x, -parameter, parameter, out=out)

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for c."""
        aten.hardtanh_backward.grad_input(g, x, -parameter, parameter, grad_input=out)
        return torch.dot(g - out, x.sign()) if learned else 0.0


class SharpnessRule(Rule):
    """A function f(x; β) = φ(βx)/β.

    Its gradient for β follows from that for x: ∂f/∂β = (x f' - f)/β, Euler's relation. A subclass
    states ``phi(u)`` and ``slope(g, u)``, the product g φ'(u), of differentiable operations; and
    for blocks ``fill``, and ``fill_slope(out, g, x, β)``, which writes g φ'(βx).
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
    @override
    def value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        β = not_zero(parameter)
        return cls.phi(β * x) / β

    @classmethod
    @override
    def gradients(
        cls, gradient: Tensor, x: Tensor, parameter: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
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


class SwishRule(SharpnessRule):
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
    @override
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        aten.silu_(torch.mul(x, parameter, out=out)).mul_(1 / parameter)

    @staticmethod
    @override
    def fill_slope(out: Tensor, g: Tensor, x: Tensor, parameter: float) -> None:
        aten.silu_backward.grad_input(g, x * parameter, grad_input=out)


class GELURule(SharpnessRule):
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
    @override
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        aten.gelu.out(x * parameter, out=out).mul_(1 / parameter)

    @staticmethod
    @override
    def fill_slope(out: Tensor, g: Tensor, x: Tensor, parameter: float) -> None:
        aten.gelu_backward.grad_input(g, torch.mul(x, parameter, out=out), grad_input=out)


class SoftplusRule(SharpnessRule):
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
    @override
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        aten.softplus.out(x, parameter, SOFTPLUS_THRESHOLD, out=out)

    @staticmethod
    @override
    def fill_slope(out: Tensor, g: Tensor, x: Tensor, parameter: float) -> None:
        aten.softplus_backward.grad_input(g, x, parameter, SOFTPLUS_THRESHOLD, grad_input=out)


class MishRule(SharpnessRule):
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
    @override
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        _gate(torch.mul(x, parameter, out=out).sigmoid_(), out).mul_(x)

    @staticmethod
    @override
    def fill_slope(out: Tensor, g: Tensor, x: Tensor, parameter: float) -> None:
        s = (x * parameter).sigmoid_()
        t = _gate(s, out)
        bend = aten.tanh_backward.grad_input(s.mul_(x), t, grad_input=s)
        t.add_(bend, alpha=parameter).mul_(g)


def softplus(u: Tensor, beta: float = 1.0) -> Tensor:
    """Return log(1 + eᵝᵘ)/β."""
    return F.softplus(u, beta, SOFTPLUS_THRESHOLD)


def not_zero(parameter: Tensor) -> Tensor:
    """Return the parameter, by which one can divide.

    Where it has come down to 0, it is the smallest normal number.
    """
    return parameter.clamp_min(torch.finfo(parameter.dtype).tiny)


def _gate(s: Tensor, out: Tensor | None = None) -> Tensor:
    """Return tanh(log(1 + eᵘ)) as h/(1 - h), h = s - s²/2, from s = σ(u)."""
    h = torch.addcmul(s, s, s, value=-0.5)
    return torch.div(h, 1 - h, out=out)
