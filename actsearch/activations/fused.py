"""Activations with one parameter, by rules of :mod:`actsearch.activations.blockwise`: value, gradients, and torch's kernels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from actsearch.activations.blockwise import Fused, contract, dot, not_zero, positive_sum
from actsearch.activations.blockwise import apply as apply

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

    @classmethod
    def quick_value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; a)."""
        return F.leaky_relu(x, parameter.item())

    @classmethod
    def quick_gradients(cls, gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool) -> tuple[Tensor, Tensor]:
        """Return the gradients."""
        for_x = aten.leaky_relu_backward(gradient, x, parameter.item(), False)
        return for_x, dot(gradient, x, lambda block: block.clamp_max(0), parameter) if learned else parameter


class Exponential(Fused):
    """max(0, x) + α min(0, eˣ - 1)."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; α)."""
        return torch.addcmul(F.relu(x), parameter, torch.expm1(x.clamp_max(0)))

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂α = min(0, eˣ - 1)."""
        positive = aten.threshold_backward(gradient, x, 0)
        e = _exp_of_negative(x.clamp_max(0))
        return torch.addcmul(positive, parameter * e, gradient - positive), gradient, e - 1

    @classmethod
    def quick_value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; α)."""
        return F.elu(x, parameter.item())

    @classmethod
    def quick_gradients(cls, gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool) -> tuple[Tensor, Tensor]:
        """Return the gradients; for negative x, ∂φ/∂α = φ'/α - 1."""
        alpha = parameter.item()
        for_x = aten.elu_backward(gradient, alpha, 1, 1, False, x)
        if not learned:
            return for_x, parameter
        positive = positive_sum(gradient, x)
        return for_x, ((for_x.sum() - positive) / alpha - (gradient.sum() - positive)).reshape(parameter.shape)


class ScaledExponential(Fused):
    """max(0, x) + min(0, α (eˣᐟᵅ - 1))."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; α)."""
        return torch.addcmul(F.relu(x), parameter, torch.expm1(x.clamp_max(0) / parameter))

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂α = e - 1 - e x/α for negative x, with e = eˣᐟᵅ."""
        positive = aten.threshold_backward(gradient, x, 0)
        u = x.clamp_max(0) / parameter
        e = _exp_of_negative(u)
        return torch.addcmul(positive, e, gradient - positive), gradient, e * (1 - u) - 1

    @classmethod
    def quick_value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; α)."""
        return F.celu(x, parameter.item())

    @classmethod
    def quick_gradients(cls, gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool) -> tuple[Tensor, Tensor]:
        """Return the gradients; for negative x, ∂φ/∂α = φ' - 1 - φ' x/α."""
        alpha = parameter.item()
        for_x = aten.elu_backward(gradient, alpha, 1, 1 / alpha, False, x)
        if not learned:
            return for_x, parameter
        slopes = contract(for_x, x, parameter) - dot(gradient, x, F.relu, parameter)
        return for_x, for_x.sum() - gradient.sum() - slopes / alpha


class Symmetric(Fused):
    """min(max(x, -c), c)."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; c); min(max()) of tensors trips ONNX's optimizer where a model has it twice."""
        return x.sign() * torch.minimum(x.abs(), parameter)

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂c = ±1 beyond ±c."""
        inside = aten.threshold_backward(gradient, parameter - x.abs(), 0)
        return inside, gradient - inside, x.sign()

    @classmethod
    def quick_value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; c)."""
        return F.hardtanh(x, -parameter.item(), parameter.item())

    @classmethod
    def quick_gradients(cls, gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool) -> tuple[Tensor, Tensor]:
        """Return the gradients."""
        for_x = aten.hardtanh_backward(gradient, x, -parameter.item(), parameter.item())
        if not learned:
            return for_x, parameter
        return for_x, dot(gradient, x, torch.sign, parameter) - dot(for_x, x, torch.sign, parameter)


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

    @classmethod
    def quick_value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; λ)."""
        return F.softshrink(x, parameter.item())

    @classmethod
    def quick_gradients(cls, gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool) -> tuple[Tensor, Tensor]:
        """Return the gradients."""
        for_x = aten.softshrink_backward(gradient, x, parameter.item())
        return for_x, -dot(for_x, x, torch.sign, parameter) if learned else parameter


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

    @classmethod
    def quick_value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; c)."""
        return F.hardtanh(x, 0.0, parameter.item())

    @classmethod
    def quick_gradients(cls, gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool) -> tuple[Tensor, Tensor]:
        """Return the gradients."""
        c = parameter.item()
        for_x = aten.hardtanh_backward(gradient, x, 0.0, c)
        return for_x, positive_sum(gradient, x, c).reshape(parameter.shape) if learned else parameter


class Swish(Fused):
    """x σ(βx)."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; β)."""
        return x * torch.sigmoid(parameter * x)

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂β = x · x σ'(βx)."""
        s = torch.sigmoid(parameter * x)
        bend = aten.sigmoid_backward(x, s)
        return gradient * torch.addcmul(s, parameter, bend), gradient * x, bend

    @classmethod
    def quick_value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return silu(βx)/β in place of βx."""
        beta = not_zero(parameter, x)
        return F.silu(x * beta, inplace=True).mul_(1 / beta)

    @classmethod
    def quick_gradients(cls, gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool) -> tuple[Tensor, Tensor]:
        """Return the gradients; ∂φ/∂β = (x φ'(x) - φ(x))/β."""
        beta = not_zero(parameter, x)
        for_x = aten.silu_backward(gradient, x * beta)
        if not learned:
            return for_x, parameter
        values = dot(gradient, x, lambda block: F.silu(block * beta, inplace=True), parameter)
        return for_x, (contract(for_x, x, parameter) - values / beta) / beta


class ScaledGELU(Fused):
    """gelu(βx)/β."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; β)."""
        return F.gelu(parameter * x) / parameter

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂β = (x φ'(x) - φ(x))/β."""
        u = parameter * x
        for_x = aten.gelu_backward(gradient, u)
        return for_x, torch.addcmul(for_x * u, gradient, F.gelu(u), value=-1), parameter.square().reciprocal()

    @classmethod
    def quick_value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; β)."""
        beta = not_zero(parameter, x)
        return F.gelu(x * beta).mul_(1 / beta)

    @classmethod
    def quick_gradients(cls, gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool) -> tuple[Tensor, Tensor]:
        """Return the gradients; ∂φ/∂β = (x φ'(x) - φ(x))/β."""
        beta = not_zero(parameter, x)
        for_x = aten.gelu_backward(gradient, x * beta)
        if not learned:
            return for_x, parameter
        values = dot(gradient, x, lambda block: F.gelu(block * beta), parameter)
        return for_x, (contract(for_x, x, parameter) - values / beta) / beta


class ScaledMish(Fused):
    """mish(βx)/β, as x s(2 - s)/(1 + (1 - s)²) with s = σ(βx): the sigmoid is the one transcendental function."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; β)."""
        s = torch.sigmoid(parameter * x)
        r = 1 - s
        return x * s * (1 + r) / (1 + r.square())

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; with the gate t(u) of u = βx, φ = x t(u), φ' = t + u t', ∂φ/∂β = x² t'."""
        s = torch.sigmoid(parameter * x)
        r = 1 - s
        inverse = (1 + r.square()).reciprocal()
        gate = s * (1 + r) * inverse
        bend = 4 * x * s * (r * inverse).square()
        return gradient * torch.addcmul(gate, parameter, bend), gradient * x, bend


class ScaledSoftplus(Fused):
    """log(1 + eᵝˣ)/β."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; β)."""
        return softplus(parameter * x) / parameter

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; ∂φ/∂β = (x φ'(x) - φ(x))/β."""
        u = parameter * x
        s = torch.sigmoid(u)
        return gradient * s, gradient, (u * s - softplus(u)) / parameter.square()


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

    @classmethod
    def quick_value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; a) in place of its denominator."""
        output = x.abs().add_(parameter.item())
        return torch.div(x, output, out=output)

    @classmethod
    def quick_gradients(cls, gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool) -> tuple[Tensor, Tensor]:
        """Return the gradients, in place of the squared denominator."""
        for_x = x.abs().add_(parameter.item()).square_()
        torch.div(gradient, for_x, out=for_x)
        total = -contract(for_x, x, parameter) if learned else parameter
        return for_x.mul_(parameter.item()), total


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

    @classmethod
    def quick_value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; α) in place of its denominator."""
        return x.square().mul_(parameter.item()).add_(1).rsqrt_().mul_(x)

    @classmethod
    def quick_gradients(cls, gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool) -> tuple[Tensor, Tensor]:
        """Return the gradients; ∂φ/∂α = -φ' x³/2."""
        root = x.square().mul_(parameter.item()).add_(1).rsqrt_()
        for_x = (gradient * root).mul_(root.square_())
        return for_x, -0.5 * dot(for_x, x, lambda block: block * block * block, parameter) if learned else parameter


class Squareplus(Fused):
    """(x + √(x² + b))/2, as max(0, x) + (b/2)/(√(x² + b) + |x|), which cancels nowhere."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; b)."""
        return F.relu(x) + 0.5 * parameter / (torch.sqrt(x.square() + parameter) + x.abs())

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; with h = √(x² + b), φ' = φ/h, ∂φ/∂b = 1/(4h)."""
        h = torch.sqrt(x.square() + parameter)
        scaled = gradient / h
        return scaled * (F.relu(x) + 0.5 * parameter / (h + x.abs())), scaled, torch.full_like(parameter, 0.25)


class Snake(Fused):
    """x + sin²(ax)/a."""

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; a)."""
        return torch.addcdiv(x, torch.sin(parameter * x).square(), parameter)

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients; φ' = 1 + sin 2ax, ∂φ/∂a = (x sin 2ax - sin²(ax)/a)/a, and sin² = (1 - cos 2ax)/2."""
        double = 2 * parameter * x
        wave = torch.sin(double)
        for_x = torch.addcmul(gradient, gradient, wave)
        return for_x, gradient, (x * wave - (1 - torch.cos(double)) / (2 * parameter)) / parameter


def softplus(u: Tensor, beta: float = 1.0) -> Tensor:
    """Return log(1 + eᵝᵘ)/β; torch's own threshold of 20 would leave an error of 2e-9, which float64 sees."""
    return F.softplus(u, beta, threshold=40.0)


def _exp_of_negative(u: Tensor) -> Tensor:
    """Return eᵘ for u ≤ 0 as σ/(1 - σ), which torch evaluates in half the time."""
    s = torch.sigmoid(u)
    return s / (1 - s)
