"""Activations with one parameter, by rules of :mod:`actsearch.activations.kernels.blockwise`: formulas, and kernels of torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from actsearch.activations.kernels.blockwise import Fused
from actsearch.activations.kernels.blockwise import apply as apply

aten = torch.ops.aten


class Leaky(Fused):
    """max(0, x) + a min(0, x)."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; a)."""
        return torch.addcmul(F.relu(x), parameter, x.clamp_max(0))

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂a = min(0, x)."""
        positive = aten.threshold_backward(gradient, x, 0)
        return torch.addcmul(positive, parameter, gradient - positive), gradient, x.clamp_max(0)

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write φ(x; a)."""
        aten.leaky_relu.out(x, parameter, out=out)

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for a."""
        aten.leaky_relu_backward.grad_input(g, x, parameter, False, grad_input=out)
        return torch.dot(g, x.clamp_max(0)) if learned else 0.0


class Exponential(Fused):
    """max(0, x) + α min(0, eˣ - 1)."""

    keeps_output = True

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; α)."""
        return torch.addcmul(F.relu(x), parameter, torch.expm1(x.clamp_max(0)))

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂α = min(0, eˣ - 1)."""
        positive = aten.threshold_backward(gradient, x, 0)
        bend = torch.expm1(x.clamp_max(0))
        return torch.addcmul(positive, parameter * (1 + bend), gradient - positive), gradient, bend

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write φ(x; α)."""
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


class ScaledExponential(Fused):
    """max(0, x) + min(0, α (eˣᐟᵅ - 1))."""

    keeps_output = True

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; α)."""
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
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write φ(x; α)."""
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


class Symmetric(Fused):
    """min(max(x, -c), c)."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; c).

        Min(max()) of tensors trips ONNX's optimizer where a model has it twice.
        """
        return x.sign() * torch.minimum(x.abs(), parameter)

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂c = ±1 beyond ±c."""
        inside = aten.threshold_backward(gradient, parameter - x.abs(), 0)
        return inside, gradient - inside, x.sign()

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write φ(x; c)."""
        torch.clamp(x, -parameter, parameter, out=out)

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for c."""
        aten.hardtanh_backward.grad_input(g, x, -parameter, parameter, grad_input=out)
        return torch.dot(g - out, x.sign()) if learned else 0.0


class Shrink(Fused):
    """x - min(max(x, -λ), λ)."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; λ)."""
        return x - x.sign() * torch.minimum(x.abs(), parameter)

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂λ = ∓1 beyond ±λ."""
        outside = aten.threshold_backward(gradient, x.abs() - parameter, 0)
        return outside, outside, -x.sign()

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write φ(x; λ)."""
        aten.softshrink.out(x, parameter, out=out)

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for λ."""
        aten.softshrink_backward.grad_input(g, x, parameter, grad_input=out)
        return -torch.dot(out, x.sign()) if learned else 0.0


class Ceiling(Fused):
    """min(max(0, x), c)."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; c)."""
        return torch.minimum(F.relu(x), parameter)

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂c = 1 beyond c."""
        below = aten.threshold_backward(gradient, parameter - x, 0)
        return aten.threshold_backward(below, x, 0), gradient - below, torch.ones_like(parameter)

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write φ(x; c)."""
        torch.clamp(x, 0.0, parameter, out=out)

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for c."""
        aten.hardtanh_backward.grad_input(g, x, 0.0, parameter, grad_input=out)
        return aten.threshold_backward(g, x, parameter).sum() if learned else 0.0


class Softsign(Fused):
    """x/(a + |x|)."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; a)."""
        return x / (parameter + x.abs())

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; φ' = a/(a + |x|)², ∂φ/∂a = -x/(a + |x|)²."""
        shared = gradient / (parameter + x.abs()).square()
        return parameter * shared, shared, -x

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write φ(x; a) over its denominator."""
        torch.div(x, torch.abs(x, out=out).add_(parameter), out=out)

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x over the squared denominator, and return that for a."""
        torch.div(g, torch.abs(x, out=out).add_(parameter).square_(), out=out)
        total = -torch.dot(out, x) if learned else 0.0
        out.mul_(parameter)
        return total


class InverseSquareRoot(Fused):
    """x/√(1 + αx²)."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; α)."""
        return x * torch.rsqrt(1 + parameter * x.square())

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; with r = 1/√(1 + αx²), φ' = r³, ∂φ/∂α = -(xr)³/2."""
        r = torch.rsqrt(1 + parameter * x.square())
        y = x * r
        return gradient * r * r.square(), gradient * y, -0.5 * y.square()

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write φ(x; α) over its denominator."""
        _inverse_root(out, 1.0, x, parameter).mul_(x)

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for α, for which ∂φ/∂α = -φ' x³/2."""
        _inverse_root(out, 1.0, x, parameter).pow_(3).mul_(g)
        return -0.5 * torch.dot(out, x.pow(3)) if learned else 0.0


class Squareplus(Fused):
    """(x + √(x² + b))/2, as max(0, x) + (b/2)/(√(x² + b) + |x|), which cancels nowhere."""

    keeps_output = True

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; b)."""
        return F.relu(x) + 0.5 * parameter / (torch.sqrt(x.square() + parameter) + x.abs())

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; with h = √(x² + b), φ' = φ/h, ∂φ/∂b = 1/(4h)."""
        h = torch.sqrt(x.square() + parameter)
        scaled = gradient / h
        return (
            scaled * (F.relu(x) + 0.5 * parameter / (h + x.abs())),
            scaled,
            torch.full_like(parameter, 0.25),
        )

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write φ(x; b)."""
        h = _inverse_root(torch.empty_like(x), parameter, x, 1.0).reciprocal_()
        torch.addcdiv(
            torch.clamp_min(x, 0, out=out), x.new_tensor(0.5 * parameter), h.add_(x.abs()), out=out
        )

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for b; √(x² + b) is 2φ - x."""
        torch.div(g, torch.lerp(x, y, 2.0, out=out), out=out)
        total = 0.25 * out.sum() if learned else 0.0
        out.mul_(y)
        return total


class Tanh(Fused):
    """tanh(ax)."""

    keeps_output = True

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; a)."""
        return torch.tanh(parameter * x)

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; φ' = a (1 - φ²), ∂φ/∂a = x (1 - φ²)."""
        shared = aten.tanh_backward(gradient, torch.tanh(parameter * x))
        return parameter * shared, shared, x

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write φ(x; a); oneDNN's tanh is as exact as torch's own, in a fifth of the time."""
        torch.mul(x, parameter, out=out)
        if x.dtype == torch.float32 and torch.backends.mkldnn.is_available():
            out.copy_(torch.tanh_(out.to_mkldnn()).to_dense())
        else:
            out.tanh_()

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write the gradient for x, and return that for a."""
        aten.tanh_backward.grad_input(g, y, grad_input=out)
        total = torch.dot(out, x) if learned else 0.0
        out.mul_(parameter)
        return total


def _inverse_root(out: Tensor, constant: float, x: Tensor, factor: float) -> Tensor:
    """Write and return 1/√(constant + factor x²).

    ``pow`` takes less than half the time of ``rsqrt`` here.
    """
    return torch.addcmul(x.new_tensor(constant), x, x, value=factor, out=out).pow_(-0.5)
