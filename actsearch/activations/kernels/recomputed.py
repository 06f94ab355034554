"""A function of tensors whose backward pass recomputes, so that it keeps its inputs alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function


@dataclass(frozen=True)
class InPlaceRule:
    """A function of tensors, and its gradients, by operations that work in place.

    Args:
        formula: returns the value by differentiable operations, for second derivatives.
        value: returns the same by operations that work in place.
        gradients: from the gradient of the value, the inputs, and which of them need one, to the
            gradient for each; that of one not needed may be ``None``.
    """

    formula: Callable[..., Tensor]
    value: Callable[..., Tensor]
    gradients: Callable[[Tensor, tuple[Tensor, ...], tuple[bool, ...]], tuple[Tensor | None, ...]]


class Recomputed(Function):
    """Evaluates a rule."""

    generate_vmap_rule = True  # so that torch.func, per-sample gradients among it, passes through

    @staticmethod
    def forward(rule: InPlaceRule, *inputs: Tensor) -> Tensor:
        """Return the value."""
        return rule.value(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        """Keep the inputs."""
        ctx.rule, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients, by the formula where they are differentiated once more."""
        (gradient,) = gradients
        inputs, needed = ctx.saved_tensors, ctx.needs_input_grad[1:]
        if not torch.is_grad_enabled():
            return None, *ctx.rule.gradients(gradient, inputs, needed)
        # By torch.func, which also differentiates inside of a differentiation of its own.
        _, pull = cast(Any, torch.func.vjp(ctx.rule.formula, *inputs))
        found = pull(gradient)
        return None, *(each if need else None for each, need in zip(found, needed, strict=True))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensor:
        """Return the derivative in a direction, by the formula."""
        return derivative_along(ctx.rule.formula, ctx.saved_tensors, tangents)


def is_jit_traced() -> bool:
    """Whether ``torch.jit.trace`` watches, whose graphs cannot be saved with functions of Python.

    Nor are they the same with a gradient and without one, which its check compares.
    """
    if torch.compiler.is_compiling():
        return False
    return bool(torch.jit.is_tracing())  # type: ignore[no-untyped-call,attr-defined]  # torch's own


def derivative_along(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], tangents: Sequence[Tensor | None]
) -> Tensor:
    """Return the derivative of a function of tensors in a direction; ``None`` stands for 0."""
    given = tuple(
        torch.zeros_like(x) if tangent is None else tangent
        for x, tangent in zip(inputs, tangents, strict=True)
    )
    return cast(Tensor, torch.func.jvp(function, tuple(inputs), given)[1])


def evaluate_in_place(rule: InPlaceRule, *inputs: Tensor) -> Tensor:
    """Return the value by a rule.

    Under ``torch.compile``, under ``torch.jit.trace``, and where no gradient is wanted, by its
    formula.
    """
    traced = torch.compiler.is_compiling() or is_jit_traced()
    if traced or not torch.is_grad_enabled():
        return rule.formula(*inputs)
    result: Tensor = Recomputed.apply(rule, *inputs)  # type: ignore[no-untyped-call]  # torch's own
    return result
