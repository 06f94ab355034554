"""Runs a rule: a function of x and one parameter, with its gradients in closed form.

A large input on a processor is worked on in blocks by kernels of torch, so that temporaries stay
small and in its cache. Elsewhere, and where second derivatives are wanted, the same is done by
differentiable operations.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import Function

from actsearch.activations.base import Value
from actsearch.activations.kernels.recomputed import derivative_along, is_jit_traced

LARGE = 1 << 16
"""Elements from which on blocks are used."""

BLOCK = 1 << 18
"""Elements of a block; smaller ones cost more in calls than they save in traffic of memory."""


class Rule:
    """A function φ of x and one parameter θ, and its gradients.

    A rule states both twice. ``value(x, θ)`` and ``gradients(g, x, θ)`` are made of differentiable
    operations. ``fill`` and ``fill_gradient`` do the same to one block, into memory that is there,
    with θ a number.

    ``keeps_output`` tells whether ``fill_gradient`` reads φ(x). Where that was overwritten,
    ``gradients`` serves.
    """

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
        """Write g φ'(x), and return the gradient for θ, which counts where it is learned.

        y is φ(x) where that is kept.
        """
        raise NotImplementedError

    @staticmethod
    def number(parameter: Tensor) -> float:
        """Return θ as the kernels take it."""
        return parameter.item()


class Formula(Function):
    """Evaluates a rule by its differentiable operations."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rule: type[Rule], x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; θ)."""
        return rule.value(x, parameter)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep the input and the parameter.

        Not the output, so that what follows may work in place.
        """
        ctx.rule, x, parameter = inputs
        ctx.save_for_backward(x, parameter)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor | None]:
        """Return the gradients for x and, where it is learned, for θ."""
        x, parameter = ctx.saved_tensors
        return _gradients(ctx.rule, gradient, x, parameter, ctx.needs_input_grad[2])


class FormulaEitherMode(Formula):
    """The same in forward mode as well, which ``torch.compile`` does not trace."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep the input and the parameter for either mode."""
        Formula.setup_context(ctx, inputs, output)
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensor:
        """Return the derivative in a direction."""
        return derivative_along(ctx.rule.value, ctx.saved_tensors, tangents)


class Blockwise(Function):
    """Evaluates a rule by its kernels, block by block."""

    @staticmethod
    def forward(ctx: Any, rule: type[Rule], x: Tensor, parameter: Tensor) -> Tensor:
        """Return φ(x; θ)."""
        output, ctx.rule, ctx.θ = torch.empty_like(x), rule, rule.number(parameter)
        for out, block in zip(blocks(output), blocks(x), strict=True):
            rule.fill(out, block, ctx.θ)
        ctx.save_for_backward(x, parameter)
        ctx.y = None
        if rule.keeps_output and not output.is_inference():
            # Not saved as torch saves it, which would forbid what follows to work in place. Torch
            # counts the writes to a tensor; a count that has grown says that y is not φ(x) any
            # more. A tensor of inference mode has no count, and no backward pass.
            ctx.y, ctx.writes = output.detach(), output._version
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor | None]:
        """Return the gradients for x and, where it is learned, for θ."""
        x, parameter = ctx.saved_tensors
        learned = ctx.needs_input_grad[2]
        overwritten = ctx.y is not None and ctx.y._version != ctx.writes
        if overwritten or torch.is_grad_enabled() or not gradient.is_contiguous():
            return _gradients(ctx.rule, gradient, x, parameter, learned)
        kept = x if ctx.y is None else ctx.y  # where y is not kept, the rule does not read it
        for_x, total = torch.empty_like(x), 0.0
        for out, g, block, y in zip(*map(blocks, (for_x, gradient, x, kept)), strict=True):
            total += float(ctx.rule.fill_gradient(out, g, block, y, ctx.θ, learned))
        return None, for_x, torch.full_like(parameter, total) if learned else None


def evaluate_rule(rule: type[Rule], x: Tensor, parameter: Value) -> Tensor:
    """Return φ(x; θ) by a rule; a parameter that is a number is not learned."""
    if not isinstance(parameter, Tensor):
        parameter = torch.full((), parameter, dtype=x.dtype, device=x.device)
    if is_jit_traced():
        return rule.value(x, parameter)
    either = Formula if torch.compiler.is_compiling() else FormulaEitherMode
    way = Blockwise if works_in_blocks(x, parameter) else either
    result: Tensor = way.apply(rule, x, parameter)  # type: ignore[no-untyped-call]  # torch's own
    return result


def works_in_blocks(x: Tensor, parameter: Tensor) -> bool:
    """Whether to work in blocks.

    A large input in one piece on a processor, one parameter for all of it, nothing traced.
    """
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


def _gradients(
    rule: type[Rule], gradient: Tensor, x: Tensor, parameter: Tensor, learned: bool
) -> tuple[None, Tensor, Tensor | None]:
    """Return what a backward pass returns for the rule, x and θ, by differentiable operations."""
    for_x, a, b = rule.gradients(gradient, x, parameter)
    return None, for_x, _contract(a, b, parameter) if learned else None


def _contract(a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    """Return Σ ab over the dimensions along which ``like`` is broadcast."""
    if like.numel() > 1:
        return (a * b).sum_to_size(like.shape)
    if b.numel() == 1:
        return (a.sum() * b).reshape(like.shape)
    return torch.dot(a.reshape(-1), b.reshape(-1)).reshape(like.shape)
