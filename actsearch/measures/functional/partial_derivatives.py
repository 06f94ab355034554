"""Derivatives of a network by its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

NAMES = ("value", "first", "second")
"""What a derivative of order 0, 1 and 2 is logged as."""


def partial_derivatives(
    function: Callable[[Tensor], Tensor], x: Tensor, order: int
) -> tuple[Tensor, ...]:
    r"""Return a function's value and all its partial derivatives up to an order.

    .. math:: f_k, \quad \frac{\partial f_k}{\partial x_i}, \quad
              \frac{\partial^2 f_k}{\partial x_i \partial x_j}, \quad \ldots

    By reverse mode over reverse mode, so they can be trained; what does not depend on x, as the
    slope of a piecewise linear network, has derivative 0.

    Shapes:
        x ``(N, D)``, of a function of each row alone, with values ``(N, *)``; each order has one
        more dimension of length D.

    Args:
        function: of x; a model in evaluation mode.
        x: where.
        order: the highest, at least 0.

    >>> x = torch.tensor([[3.0]])
    >>> [float(d) for d in partial_derivatives(lambda x: x**3, x, 2)]
    [27.0, 27.0, 18.0]
    """

    def differentiated(lower: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
        def higher(x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            last, pull, earlier = cast(Any, torch.func.vjp(lower, x, has_aux=True))
            # Rows do not mix, so one backward pass serves all of them.
            units = torch.eye(last[0].numel(), dtype=last.dtype, device=last.device)
            gradients = [pull(unit.expand(len(last), -1).reshape(last.shape))[0] for unit in units]
            return torch.stack(gradients, 1).reshape(*last.shape, -1), (*earlier, last)

        return higher

    def of_order(x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return function(x), ()

    computed: Callable[[Tensor], Any] = of_order
    for _ in range(order):
        computed = differentiated(computed)
    last, earlier = computed(x)
    return (*earlier, last)
