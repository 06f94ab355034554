"""What one evaluation costs: elementwise floating-point operations, counted as torch runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

FREE = [
    "view",
    "_unsafe_view",
    "reshape",
    "expand",
    "detach",
    "clone",
    "_to_copy",
    "alias",
    "unsqueeze",
    "squeeze",
    "t",
    "permute",
    "slice",
    "select",
    "unbind",
    "split",
    "empty",
    "zeros",
    "ones",
    "full",
    "zeros_like",
    "ones_like",
    "full_like",
    "empty_like",
    "scalar_tensor",
    "lift_fresh",
    "copy_",
]
"""Operations that compute nothing."""

DIVISIONS = ["div", "div_", "reciprocal", "sqrt", "rsqrt", "addcdiv", "remainder", "fmod"]
"""A division or a root takes about four additions' time on current processors."""

TRANSCENDENTAL = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "asin",
    "acos",
    "atan",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "erfc",
    "erfinv",
    "sinc",
    "pow",
]
"""A transcendental function takes about ten additions' time."""

COSTS = {
    **dict.fromkeys(FREE, 0),
    **dict.fromkeys(DIVISIONS, 4),
    **dict.fromkeys(TRANSCENDENTAL, 10),
    "sigmoid": 10 + 1 + 4,
    "silu": 10 + 1 + 4 + 1,
    "gelu": 10 + 4,
    "mish": 10 + 10 + 10 + 2,
    "softplus": 10 + 10 + 3,
    "log_sigmoid_forward": 10 + 10 + 3,
    "elu": 10 + 3,
    "celu": 10 + 3,
    "leaky_relu": 2,
    "hardsigmoid": 4,
    "hardswish": 5,
    "hardtanh": 2,
    "hardshrink": 3,
    "softshrink": 3,
}
"""Operations per element; what is not named counts one, a fused kernel the sum of its formula."""


class _Counter(TorchDispatchMode):
    """Adds up the cost of every operation on at least as many elements as the input."""

    def __init__(self, elements: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self.elements = elements
        self.total: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, tuple) else result
        if isinstance(first, Tensor) and first.numel() >= self.elements:
            name = func.overloadpacket.__name__
            self.total += COSTS.get(name, COSTS.get(name.removesuffix("_"), 1)) * (
                first.numel() // self.elements
            )
        return result


def cost(function: Callable[[Tensor], Tensor]) -> int:
    """Return the elementwise floating-point operations of one evaluation, per element.

    >>> cost(torch.relu), cost(torch.tanh)
    (1, 10)
    """
    x = torch.linspace(-2, 2, 1024)
    with torch.no_grad(), _Counter(x.numel()) as counter:
        function(x)
    total: int = counter.total
    return total
