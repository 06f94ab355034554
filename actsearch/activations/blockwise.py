"""A function of x and one parameter with gradients in closed form: one saved input, little memory, few passes.

On a processor the passes run over blocks that stay in its cache, so that temporaries cost neither memory nor page faults.
Gradients are made of differentiable operations, so that second derivatives exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from actsearch.activations.base import Value

aten = torch.ops.aten
BLOCK = 1 << 16  # elements; a few of these blocks fit into a second-level cache


class Fused(Function):
    """A function of x and one parameter θ.

    A subclass states ``value(x, θ)``, and ``gradients(g, x, θ)``: the gradient for x, and two factors whose product,
    summed, is the gradient for θ. Where torch has a kernel for a θ that is a number, ``quick_value`` and
    ``quick_gradients`` use it, on a processor and where no second derivative is wanted.
    """

    generate_vmap_rule = True

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; θ)."""
        raise NotImplementedError

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return g φ'(x), and a and b with Σ ab the gradient for θ."""
        raise NotImplementedError

    @classmethod
    def quick_value(cls, x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; θ), block by block."""
        output = torch.empty_like(x)
        for block, part in zip(blocks(x), blocks(output), strict=True):
            part.copy_(cls.value(block, parameter))
        return output

    @classmethod
    def quick_gradients(cls, gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool) -> tuple[Tensor, Tensor]:
        """Return the gradients for x and, where it is learned, for θ, block by block."""
        for_x, total = torch.empty_like(x), torch.zeros_like(parameter)
        for g, block, part in zip(blocks(gradient), blocks(x), blocks(for_x), strict=True):
            here, a, b = cls.gradients(g, block, parameter)
            part.copy_(here)
            if learned:
                total += contract(a, b, parameter)
        return for_x, total

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep the input and the parameter; not the output, so that what follows may work in place."""
        ctx.save_for_backward(*inputs)

    def __init_subclass__(cls) -> None:
        """Give every rule its two passes, as static functions of its own: torch.compile takes no class methods here."""
        super().__init_subclass__()

        def forward(x: Tensor, parameter: Tensor) -> Tensor:
            return cls.quick_value(x, parameter) if quick(x, parameter) else cls.value(x, parameter)

        def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
            x, parameter = ctx.saved_tensors
            learned = ctx.needs_input_grad[1]
            if quick(x, parameter) and gradient.is_contiguous() and not torch.is_grad_enabled():
                for_x, total = cls.quick_gradients(gradient, x, parameter, learned)
                return for_x, total if learned else None
            for_x, a, b = cls.gradients(gradient, x, parameter)
            return for_x, contract(a, b, parameter) if learned else None

        cls.forward, cls.backward = staticmethod(forward), staticmethod(backward)  # type: ignore[method-assign]


def quick(x: Tensor, parameter: Tensor) -> bool:
    """Whether to work in blocks: a large input in one piece on a processor, one parameter for all of it, nothing traced."""
    large = x.numel() > BLOCK and parameter.numel() == 1 and x.device.type == "cpu"
    return large and x.is_contiguous() and not torch.compiler.is_compiling()


def blocks(x: Tensor) -> tuple[Tensor, ...]:
    """Return views of the elements in order, ``BLOCK`` each."""
    parts: tuple[Tensor, ...] = x.view(-1).split(BLOCK)
    return parts


def not_zero(parameter: Tensor, x: Tensor) -> float:
    """Return the parameter, or where it has come down to 0 the smallest normal number, by which one can divide."""
    return max(parameter.item(), torch.finfo(x.dtype).tiny)


def dot(gradient: Tensor, x: Tensor, factor: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """Return Σ g f(x), block by block."""
    total = torch.zeros_like(like)
    for g, block in zip(blocks(gradient), blocks(x), strict=True):
        total += contract(g, factor(block), like)
    return total


def positive_sum(gradient: Tensor, x: Tensor, threshold: float = 0.0) -> Tensor:
    """Return the sum of g over all x above a threshold."""
    parts = [
        aten.threshold_backward(g, block, threshold).sum() for g, block in zip(blocks(gradient), blocks(x), strict=True)
    ]
    return torch.stack(parts).sum()


def contract(a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    """Return Σ ab over the dimensions along which ``like`` is broadcast."""
    if like.numel() > 1:
        return (a * b).sum_to_size(like.shape)
    if b.numel() == 1:
        return (a.sum() * b).reshape(like.shape)
    return torch.dot(a.reshape(-1), b.reshape(-1)).reshape(like.shape)


def apply(rule: type[Fused], x: Tensor, parameter: Value) -> Tensor:
    """Evaluate a rule; a parameter that is a number is not learned."""
    parameter = (
        parameter if isinstance(parameter, Tensor) else torch.full((), parameter, dtype=x.dtype, device=x.device)
    )
    result: Tensor = rule.apply(x, parameter)  # type: ignore[no-untyped-call]  # torch has no types here
    return result
