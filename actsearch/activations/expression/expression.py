"""Expressions in x as activations: parsed by allow-list, run as a list of torch calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.activations.base import Activation, Parameter, arguments_of
from actsearch.activations.expression.grammar import CONSTANT, Node, parse, value_of
from actsearch.activations.expression.grammar import ExpressionError as ExpressionError
from actsearch.activations.expression.vocabulary import BINARY, LEARNABLE, UNARY, Operand

Step = tuple[Callable[..., Operand], tuple[int | float, ...]]
"""A torch function and its operands: the place of an earlier value (``int``), or a number."""


def is_expression(text: str) -> bool:
    """Whether a text is meant as an expression rather than as a name."""
    return "(" in text or text.strip() == "x"


class Expression(Activation):
    r"""An activation written as an expression.

    .. math:: \varphi(x) = \text{expression in } x, a, b, c

    Numerics: each word means its torch function, in value and in derivative. At a kink the
    derivative is torch's (0 for ``abs`` and ``relu`` at 0), that of ``sqrtabs`` at 0 is NaN, and
    outside of a domain (``log``, ``sqrt``, ``arctanh``, ``pow`` of a negative number with a
    fractional exponent) the value is NaN. A part that occurs twice is computed once.

    Shapes:
        input ``(*)``, output ``(*)``; with ``share="channel"`` the size of ``channel_dim`` must be
        ``channels``.

    Args:
        text: the expression, as :func:`actsearch.activations.expression.grammar.parse` reads it.
        **values: start values of the learnable constants ``a``, ``b``, ``c`` that occur (each 1
            unless given, any real number, learned unless ``learn`` says otherwise), and ``learn``,
            ``share``, ``channels``, ``channel_dim``.

    Raises:
        ExpressionError: text outside of the grammar; the message says where.
        UnknownNameError: a value for a constant that does not occur.

    References:
        Searching for Activation Functions, P. Ramachandran, B. Zoph and Q. V. Le, 2017,
        https://arxiv.org/abs/1710.05941
        Discovering Parametric Activation Functions, G. Bingham and R. Miikkulainen, 2022,
        https://arxiv.org/abs/2006.03179

    >>> Expression("mul(sigmoid(x),x)")(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7311])

    """

    name = "expression"

    def __init__(self, text: str, /, **values: Any) -> None:
        tree = parse(text)
        constants = [key for key in LEARNABLE if any(node.name == key for node in tree.walk())]
        self.text = str(tree)
        self.name = self.formula = self.text  # type: ignore[misc]  # an expression is its own name
        # Its constants are its own as well.
        self.arguments = {key: Parameter(1.0, learn=True, symbol=key) for key in constants}  # type: ignore[misc]
        super().__init__(**values)
        self.steps, self.result = compiled(tree, constants)

    @property
    def tree(self) -> Node:
        """The parsed expression."""
        return parse(self.text)

    def function(self, x: Tensor, **values: Any) -> Tensor:
        """Run the compiled list of torch calls."""
        places: list[Any] = [x]
        for key in self.arguments:
            value = values[key]
            # A number becomes a tensor, so that every function takes it.
            fixed = not isinstance(value, Tensor)
            places.append(torch.full((), value, dtype=x.dtype, device=x.device) if fixed else value)
        for function, operands in self.steps:
            places.append(function(*[places[o] if isinstance(o, int) else o for o in operands]))
        result: Tensor = places[self.result]
        return result

    @override
    def rebuilt(self, **changes: Any) -> Self:
        return type(self)(self.text, **arguments_of(self.spec()) | changes)

    def extra_repr(self) -> str:
        """Show the expression and its constants the way they are passed."""
        return ", ".join(part for part in (repr(self.text), super().extra_repr()) if part)


def compiled(tree: Node, constants: list[str]) -> tuple[tuple[Step, ...], int]:
    """Return the torch calls that evaluate a tree, and the place of the result.

    Each distinct part is computed once.

    Places 0 to ``len(constants)`` hold x and the learnable constants; every call adds one place.
    """
    places: dict[Node, int] = {Node("x"): 0} | {Node(key): 1 + i for i, key in enumerate(constants)}
    steps: list[Step] = []

    def operand(node: Node) -> int | float:
        if node in places:
            return places[node]
        if all(n.name != "x" and n.name not in LEARNABLE for n in node.walk()):
            return node.value if node.name == CONSTANT else value_of(node)
        operands = tuple(operand(argument) for argument in node.arguments)
        if node.name == "identity":
            place = operands[0]
        else:
            steps.append((UNARY.get(node.name) or BINARY[node.name], operands))
            place = len(constants) + len(steps)
        assert isinstance(place, int), "a part that depends on x has a place"
        places[node] = place
        return place

    result = operand(tree)
    assert isinstance(result, int), "an expression contains x"
    return tuple(steps), result
