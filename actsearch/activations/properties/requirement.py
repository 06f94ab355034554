"""What a site may require of an activation, such as ``"smoothness >= 2 and bounded"``."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from actsearch.activations.properties.properties import FACTS, Properties
from actsearch.errors import InvalidValueError, UnknownNameError

_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], bool]]] = {
    ast.GtE: (">=", operator.ge),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.Lt: ("<", operator.lt),
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
}
MAX_LENGTH = 200


@dataclass(frozen=True)
class Requirement:
    """A condition on :class:`Properties`, read without evaluating anything.

    Facts by name, compared with numbers, are joined by and, or, not, and parentheses.

    Args:
        text: the condition; empty requires nothing.

    Raises:
        InvalidValueError: text outside of this small language, or longer than 200 characters.
        UnknownNameError: a fact that does not exist.

    >>> from actsearch.activations.properties.estimate import properties
    >>> Requirement("bounded and bijective").refusal(properties("tanh"))
    >>> Requirement("smoothness >= 2").refusal(properties("relu"))
    'smoothness is 0, but the site requires smoothness >= 2'
    """

    text: str = ""

    def __post_init__(self) -> None:
        if self.text.strip():
            _check(self._tree)

    @cached_property
    def _tree(self) -> ast.expr:
        if len(self.text) > MAX_LENGTH:
            raise InvalidValueError(
                f"a requirement must have at most {MAX_LENGTH} characters, but got"
                f" {len(self.text)}."
            )
        try:
            return ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise _outside(self.text) from error

    def refusal(self, facts: Properties) -> str | None:
        """Return why ``facts`` do not meet the requirement, or ``None`` where they do."""
        if not self.text.strip() or _holds(self._tree, facts):
            return None
        names = dict.fromkeys(
            node.id
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Name) and node.id in FACTS
        )
        state = ", ".join(f"{name} is {_show(facts.fact(name))}" for name in names)
        return f"{state}, but the site requires {self.text.strip()}"

    def allows(self, facts: Properties) -> bool:
        """Whether ``facts`` meet the requirement."""
        return self.refusal(facts) is None


def _outside(text: str) -> InvalidValueError:
    return InvalidValueError(
        "a requirement must join facts like 'bounded' or 'smoothness >= 2' by and, or, not, but"
        f" got {text!r}. Facts: {', '.join(FACTS)}."
    )


def _check(node: ast.expr) -> None:
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                _check(value)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check(operand)
        case ast.Compare(left=ast.Name() as name, ops=[comparison], comparators=[right]) if (
            type(comparison) in _COMPARISONS
        ):
            _check(name)
            _number(right)
        case ast.Name(id=name):
            if name not in FACTS:
                raise UnknownNameError.among("fact of an activation", name, FACTS)
        case _:
            raise _outside(ast.unparse(node))


def _number(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=value) if isinstance(value, (int, float)):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand)
        case ast.Name(id="inf"):
            return float("inf")
        case _:
            raise _outside(ast.unparse(node))


def _holds(node: ast.expr, facts: Properties) -> bool:
    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_holds(value, facts) for value in values)
        case ast.BoolOp(values=values):
            return any(_holds(value, facts) for value in values)
        case ast.UnaryOp(operand=operand):
            return not _holds(operand, facts)
        case ast.Compare(left=ast.Name(id=name), ops=[comparison], comparators=[right]):
            value = facts.fact(name)
            return value is not None and _COMPARISONS[type(comparison)][1](value, _number(right))
        case ast.Name(id=name):
            return bool(facts.fact(name))
        case _:
            raise _outside(ast.unparse(node))


def _show(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
