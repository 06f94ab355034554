"""Activations with one learned parameter, with gradients in closed form: few passes over memory, one saved input."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

aten = torch.ops.aten


class Fused(Function):
    """A function of x and one parameter; saves x, the parameter and the output, which the next layer holds anyway.

    A subclass states ``forward(x, parameter)`` and ``backward(ctx, gradient)``. The backward pass is made of
    differentiable operations only, so that second derivatives exist.
    """

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs, output)


def contract(a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    """Return Σ ab over the dimensions along which ``like`` is broadcast; without the product in memory for a scalar."""
    if like.numel() == 1:
        return torch.dot(a.reshape(-1), b.reshape(-1)).reshape(like.shape)
    return (a * b).sum_to_size(like.shape)


class _Leaky(Fused):
    """max(0, x) + a min(0, x)."""

    @staticmethod
    def forward(x: Tensor, slope: Tensor) -> Tensor:
        return torch.addcmul(F.relu(x), slope, x.clamp_max(0))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, slope, _ = ctx.saved_tensors
        positive = aten.threshold_backward(gradient, x, 0)
        for_slope = contract(gradient, x.clamp_max(0), slope) if ctx.needs_input_grad[1] else None
        return torch.addcmul(positive, slope, gradient - positive), for_slope


class _Exponential(Fused):
    """max(0, x) + α min(0, eˣ - 1), for α > 0."""

    @staticmethod
    def forward(x: Tensor, alpha: Tensor) -> Tensor:
        return torch.addcmul(F.relu(x), alpha, torch.expm1(x.clamp_max(0)))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, alpha, output = ctx.saved_tensors
        positive = aten.threshold_backward(gradient, x, 0)
        below = output.clamp_max(0)  # α (eˣ - 1) left of zero; αeˣ is that plus α
        for_alpha = contract(gradient, below, alpha) / alpha if ctx.needs_input_grad[1] else None
        return torch.addcmul(positive, below + alpha, gradient - positive), for_alpha


class _Symmetric(Fused):
    """min(max(x, -c), c)."""

    @staticmethod
    def forward(x: Tensor, bound: Tensor) -> Tensor:
        return x.sign() * torch.minimum(x.abs(), bound)  # min(max()) of tensors trips ONNX's optimizer where it occurs twice

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, bound, _ = ctx.saved_tensors
        inside = aten.threshold_backward(gradient, bound - x.abs(), 0)
        return inside, contract(gradient - inside, x.sign(), bound) if ctx.needs_input_grad[1] else None


class _Swish(Fused):
    """silu(βx)/β."""

    @staticmethod
    def forward(x: Tensor, beta: Tensor) -> Tensor:
        return F.silu(beta * x).div_(beta)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, beta, output = ctx.saved_tensors
        return _scaled(ctx, _silu_backward(gradient, beta * x), gradient, x, beta, output)


class _ScaledGELU(Fused):
    """gelu(βx)/β."""

    @staticmethod
    def forward(x: Tensor, beta: Tensor) -> Tensor:
        return F.gelu(beta * x).div_(beta)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, beta, output = ctx.saved_tensors
        return _scaled(ctx, aten.gelu_backward(gradient, beta * x), gradient, x, beta, output)


class _ScaledMish(Fused):
    """mish(βx)/β, as x s(2 - s)/(1 + (1 - s)²) with s = σ(βx): the sigmoid is the one transcendental function."""

    @staticmethod
    def forward(x: Tensor, beta: Tensor) -> Tensor:
        s = torch.sigmoid(beta * x)
        r = 1 - s
        return x * (s * (1 + r) / torch.addcmul(torch.ones((), dtype=x.dtype, device=x.device), r, r))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, beta, _ = ctx.saved_tensors
        s = torch.sigmoid(beta * x)
        r = 1 - s
        inverse = 1 / torch.addcmul(torch.ones((), dtype=x.dtype, device=x.device), r, r)
        gate = s * (1 + r) * inverse
        bend = 4 * x * s * (r * inverse).square()  # x ∂gate/∂(βx)
        for_beta = contract(gradient * x, bend, beta) if ctx.needs_input_grad[1] else None
        return gradient * torch.addcmul(gate, beta, bend), for_beta


class _ScaledSoftplus(Fused):
    """softplus(βx)/β."""

    @staticmethod
    def forward(x: Tensor, beta: Tensor) -> Tensor:
        return softplus(beta * x).div_(beta)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, beta, output = ctx.saved_tensors
        return _scaled(ctx, gradient * torch.sigmoid(beta * x), gradient, x, beta, output)


class _Softsign(Fused):
    """x/(a + |x|)."""

    @staticmethod
    def forward(x: Tensor, width: Tensor) -> Tensor:
        return x / (width + x.abs())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, width, _ = ctx.saved_tensors
        shared = gradient / (width + x.abs()).square()
        return width * shared, -contract(shared, x, width) if ctx.needs_input_grad[1] else None


class _Periodic(Fused):
    """x + sin²(ax)/a."""

    @staticmethod
    def forward(x: Tensor, frequency: Tensor) -> Tensor:
        return torch.addcdiv(x, torch.sin(frequency * x).square_(), frequency)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, frequency, output = ctx.saved_tensors
        for_x = torch.addcmul(gradient, gradient, torch.sin(2 * frequency * x))
        if not ctx.needs_input_grad[1]:
            return for_x, None
        waves = contract(for_x - gradient, x, frequency) - contract(gradient, output - x, frequency)
        return for_x, waves / frequency


def _apply(rule: type[Fused], x: Tensor, parameter: Tensor) -> Tensor:
    result: Tensor = rule.apply(x, parameter)  # type: ignore[no-untyped-call]  # torch has no types here
    return result


def leaky(x: Tensor, slope: Tensor) -> Tensor:
    """Return max(0, x) + a min(0, x)."""
    return _apply(_Leaky, x, slope)


def exponential(x: Tensor, alpha: Tensor) -> Tensor:
    """Return max(0, x) + α min(0, eˣ - 1), for α > 0."""
    return _apply(_Exponential, x, alpha)


def symmetric_clip(x: Tensor, bound: Tensor) -> Tensor:
    """Return min(max(x, -c), c)."""
    return _apply(_Symmetric, x, bound)


def swish(x: Tensor, beta: Tensor) -> Tensor:
    """Return silu(βx)/β."""
    return _apply(_Swish, x, beta)


def scaled_gelu(x: Tensor, beta: Tensor) -> Tensor:
    """Return gelu(βx)/β."""
    return _apply(_ScaledGELU, x, beta)


def scaled_mish(x: Tensor, beta: Tensor) -> Tensor:
    """Return mish(βx)/β, as x s(2 - s)/(1 + (1 - s)²) with s = σ(βx): the sigmoid is the one transcendental function."""
    return _apply(_ScaledMish, x, beta)


def scaled_softplus(x: Tensor, beta: Tensor) -> Tensor:
    """Return softplus(βx)/β."""
    return _apply(_ScaledSoftplus, x, beta)


def softsign(x: Tensor, width: Tensor) -> Tensor:
    """Return x/(a + |x|)."""
    return _apply(_Softsign, x, width)


def snake(x: Tensor, frequency: Tensor) -> Tensor:
    """Return x + sin²(ax)/a."""
    return _apply(_Periodic, x, frequency)


def softplus(u: Tensor, beta: float = 1.0) -> Tensor:
    """Return log(1 + eᵝᵘ)/β; torch's own threshold of 20 would leave an error of 2e-9, which float64 sees."""
    return F.softplus(u, beta, threshold=40.0)


def _silu_backward(gradient: Tensor, u: Tensor) -> Tensor:
    """Return the gradient times silu'(u); torch's kernel has no derivative of its own, so formulas where one is wanted."""
    if not torch.is_grad_enabled():
        return aten.silu_backward(gradient, u)
    s = torch.sigmoid(u)
    return gradient * s * (1 + u * (1 - s))


def _scaled(
    ctx: Any, for_x: Tensor, gradient: Tensor, x: Tensor, beta: Tensor, output: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Return both gradients of φ(βx)/β: ∂/∂β is (x φ'(βx) - φ(βx)/β)/β."""
    if not ctx.needs_input_grad[1]:
        return for_x, None
    return for_x, (contract(for_x, x, beta) - contract(gradient, output, beta)) / beta
