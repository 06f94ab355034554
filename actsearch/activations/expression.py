"""Expressions in x: parsed by allow-list, never evaluated as code."""

from __future__ import annotations

from actsearch.activations.base import Activation
from actsearch.errors import InvalidValueError


class ExpressionError(InvalidValueError):
    """Text outside of the expression grammar; the message says where."""


def is_expression(text: str) -> bool:
    """Whether a text is meant as an expression rather than as a name."""
    return "(" in text or text.strip() == "x"


class Expression(Activation):
    """An activation written as an expression."""

    name = "expression"
