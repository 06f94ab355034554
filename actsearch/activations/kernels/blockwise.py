"""A function of x and one parameter with gradients in closed form: little memory, few passes.

A large input on a processor is worked on in blocks by kernels of torch, so that temporaries stay
small and in its cache. Elsewhere, and where second derivatives are wanted, the same is written in
differentiable operations.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import Function

from actsearch.activations.base import Value

LARGE = 1 << 16  # elements from which on blocks are used
BLOCK = 1 << 18  # elements; smaller blocks cost more in calls than they save in traffic of memory


class Fused(Function):
    """A function φ of x and one parameter θ.

    A subclass states it twice. ``value(x, θ)`` and ``gradients(g, x, θ)`` are made of
    differentiable operations; the latter returns the gradient for x, and two factors whose product,
    summed, is the gradient for θ. ``fill`` and ``fill_gradient`` do the same to one block, into
    memory that is there, with θ a number.

    ``keeps_output`` tells whether ``fill_gradient`` reads φ(x). Where that was overwritten,
    ``gradients`` serves.
    """

    generate_vmap_rule = True
    keeps_output: ClassVar[bool] = False

    @staticmethod
    def value(x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; θ)."""
        raise NotImplementedError

    @staticmethod
    def gradients(gradient: Tensor, x: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return g φ'(x), and a and b with Σ ab the gradient for θ."""
        raise NotImplementedError

    @staticmethod
    def fill(out: Tensor, x: Tensor, parameter: float) -> None:
        """Write φ(x; θ)."""
        raise NotImplementedError

    @staticmethod
    def fill_gradient(
        out: Tensor, g: Tensor, x: Tensor, y: Tensor, parameter: float, learned: bool
    ) -> Tensor | float:
        """Write g φ'(x), given y = φ(x) where it is kept, and return the gradient for θ, which counts where it is learned."""
        raise NotImplementedError

    @staticmethod
    def number(parameter: Tensor) -> float:
        """Return θ as the kernels take it."""
        return parameter.item()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep the input and the parameter.

        Not the output, so that what follows may work in place.
        """
        ctx.save_for_backward(*inputs)

    def __init_subclass__(cls) -> None:
        """Give every rule its two passes, as static functions of its own: torch.compile takes no class methods here."""
        super().__init_subclass__()

        def forward(x: Tensor, parameter: Tensor) -> Tensor:
            return cls.value(x, parameter)

        def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
            x, parameter = ctx.saved_tensors
            for_x, a, b = cls.gradients(gradient, x, parameter)
            return for_x, contract(a, b, parameter) if ctx.needs_input_grad[1] else None

        cls.forward, cls.backward = staticmethod(forward), staticmethod(backward)  # type: ignore[method-assign]


class Blockwise(Function):
    """A rule by its kernels, block by block."""

    @staticmethod
    def forward(ctx: Any, rule: type[Fused], x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; θ)."""
        output, ctx.rule, ctx.θ = torch.empty_like(x), rule, rule.number(parameter)
        for out, block in zip(blocks(output), blocks(x), strict=True):
            rule.fill(out, block, ctx.θ)
        ctx.save_for_backward(x, parameter)
        # Not saved as torch saves it, which would forbid what follows to work in place.
        kept = (
            rule.keeps_output and not output.is_inference()
        )  # a tensor of inference mode has no version
        ctx.y, ctx.version = (output.detach(), output._version) if kept else (None, 0)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor | None]:
        """Return the gradients for x and, where it is learned, for θ."""
        x, parameter = ctx.saved_tensors
        learned, kept = ctx.needs_input_grad[2], x if ctx.y is None else ctx.y
        overwritten = ctx.y is not None and ctx.y._version != ctx.version
        if overwritten or torch.is_grad_enabled() or not gradient.is_contiguous():
            for_x, a, b = ctx.rule.gradients(gradient, x, parameter)
            return None, for_x, contract(a, b, parameter) if learned else None
        for_x, total = torch.empty_like(x), 0.0
        for out, g, block, y in zip(*map(blocks, (for_x, gradient, x, kept)), strict=True):
            total += float(ctx.rule.fill_gradient(out, g, block, y, ctx.θ, learned))
        return None, for_x, torch.full_like(parameter, total) if learned else None


def quick(x: Tensor, parameter: Tensor) -> bool:
    """Whether to work in blocks: a large input in one piece on a processor, one parameter for all of it, nothing traced."""
    large = x.numel() > LARGE and parameter.numel() == 1 and x.device.type == "cpu"
    plain = large and x.is_contiguous() and x.dtype in (torch.float32, torch.float64)
    return (
        plain
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )


def blocks(x: Tensor) -> tuple[Tensor, ...]:
    """Return views of the elements in order, ``BLOCK`` each."""
    parts: tuple[Tensor, ...] = x.view(-1).split(BLOCK)
    return parts


def contract(a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    """Return Σ ab over the dimensions along which ``like`` is broadcast."""
    if like.numel() > 1:
        return (a * b).sum_to_size(like.shape)
    if b.numel() == 1:
        return (a.sum() * b).reshape(like.shape)
    return torch.dot(a.reshape(-1), b.reshape(-1)).reshape(like.shape)


def apply(rule: type[Fused], x: Tensor, parameter: Value) -> Tensor:
    """Evaluate a rule; a parameter that is a number is not learned."""
    if not isinstance(parameter, Tensor):
        parameter = torch.full((), parameter, dtype=x.dtype, device=x.device)
    function, given = (Blockwise, (rule,)) if quick(x, parameter) else (rule, ())
    result: Tensor = function.apply(*given, x, parameter)  # type: ignore[no-untyped-call]  # torch has no types here
    return result
