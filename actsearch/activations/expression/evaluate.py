"""Value and derivative of many activations on one grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from actsearch.activations.base import Activation
from actsearch.activations.expression.grammar import CONSTANT, Node, parse, value_of
from actsearch.activations.expression.vocabulary import BINARY, LEARNABLE, UNARY, Operand
from actsearch.activations.registry import canonical_name, catalogue

TREES_AT_ONCE = 512
"""Trees that share their parts.

Between chunks the parts are forgotten, so that memory stays bounded.
"""

STARTS: Mapping[str, float] = MappingProxyType(dict.fromkeys(LEARNABLE, 1.0))


def evaluate(
    candidates: Sequence[str | Node | Activation],
    grid: Tensor,
    constants: Mapping[str, float] = STARTS,
) -> tuple[Tensor, Tensor]:
    r"""Return values and derivatives of candidates at the points of a grid, in float64.

    .. math:: V_{ij} = \varphi_i(x_j), \quad D_{ij} = \varphi_i'(x_j)

    Numerics: expressions are differentiated in forward mode, a part that several of them have is
    computed once; other activations are differentiated in reverse mode at their start values.
    Points outside of a domain give NaN.

    Shapes:
        ``grid`` :math:`(N)`; both results :math:`(C, N)` for :math:`C` candidates.

    Args:
        candidates: names of the catalogue, expressions (as text or parsed), or activations, in any
            mixture.
        grid: the points :math:`x_j`.
        constants: values of ``a``, ``b``, ``c`` in expressions given as text or parsed.

    Raises:
        ExpressionError: a text that is neither a name of the catalogue nor an expression.

    >>> values, slopes = evaluate(["square(x)", "relu"], torch.tensor([-1.0, 3.0]))
    >>> values.tolist(), slopes.tolist()
    ([[1.0, 9.0], [0.0, 3.0]], [[-2.0, 6.0], [0.0, 1.0]])

    """
    grid = grid.detach().to(torch.float64)
    values = torch.empty(len(candidates), grid.numel(), dtype=torch.float64)
    slopes = torch.zeros_like(values)
    trees: list[tuple[int, Node]] = []
    for row, candidate in enumerate(candidates):
        if isinstance(candidate, str) and (name := canonical_name(candidate)) is not None:
            candidate = catalogue()[name]()
        if isinstance(candidate, Activation):
            value, slope = _apply(candidate.plain(), [(grid, torch.ones_like(grid))])
            values[row] = value
            if slope is not None:
                slopes[row] = slope
        else:
            trees.append((row, parse(candidate) if isinstance(candidate, str) else candidate))
    for start in range(0, len(trees), TREES_AT_ONCE):
        _evaluate_trees(trees[start : start + TREES_AT_ONCE], grid, constants, values, slopes)
    return values, slopes


Dual = tuple[Tensor, Tensor | None]
"""A value and its derivative in x; ``None`` where x does not occur."""


def _evaluate_trees(
    trees: Sequence[tuple[int, Node]],
    grid: Tensor,
    constants: Mapping[str, float],
    values: Tensor,
    slopes: Tensor,
) -> None:
    known: dict[Node, Dual] = {Node("x"): (grid, torch.ones_like(grid))}
    known |= {Node(key): (torch.full_like(grid, value), None) for key, value in constants.items()}

    def of(node: Node) -> Dual | float:
        if node not in known:
            if node.name == CONSTANT:
                return node.value
            if all(n.name == CONSTANT or n.arguments for n in node.walk()):
                return value_of(node)
            known[node] = _apply(
                UNARY.get(node.name) or BINARY[node.name],
                [of(argument) for argument in node.arguments],
            )
        return known[node]

    for row, node in trees:
        dual = of(node)
        assert isinstance(dual, tuple), "an expression contains x"
        values[row] = dual[0]
        if dual[1] is not None:
            slopes[row] = dual[1]


def _apply(function: Callable[..., Operand], operands: Sequence[Dual | float]) -> Dual:
    """Return f(u, v) and f_u u' + f_v v'.

    Autograd gives the partial derivatives, so that no table of them is kept.
    """
    inner = [
        (o[0].detach().requires_grad_(o[1] is not None), o[1]) if isinstance(o, tuple) else None
        for o in operands
    ]
    arguments = [o[0] if o else number for o, number in zip(inner, operands, strict=True)]
    moving = [(u, slope) for u, slope in filter(None, inner) if slope is not None]
    with torch.enable_grad():
        value = torch.as_tensor(function(*arguments))
    if not value.requires_grad:
        return value, None
    partials = torch.autograd.grad(
        value, [u for u, _ in moving], torch.ones_like(value), materialize_grads=True
    )
    terms = [partial * slope for partial, (_, slope) in zip(partials, moving, strict=True)]
    return value.detach(), sum(terms, torch.zeros_like(value))
