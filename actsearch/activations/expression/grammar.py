"""The grammar of expressions: from text to a tree by an allow-list, and back."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import torch

from actsearch.activations.expression.vocabulary import (
    ALIASES,
    BINARY,
    COMMUTATIVE,
    LEARNABLE,
    UNARY,
)
from actsearch.errors import InvalidValueError

MAX_CHARACTERS = 512
MAX_NODES = 64
MOST_NESTED = 16
MAX_CONSTANT = 1e6

CONSTANT = "constant"
WORDS = frozenset({"x", *LEARNABLE, *UNARY, *BINARY, *ALIASES})

_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


class ExpressionError(InvalidValueError):
    """Text outside of the expression grammar; the message, and ``column`` (from 1), say where."""

    def __init__(self, message: str, column: int = 1) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True)
class Node:
    """A node of an expression: ``x``, a learnable constant, a number, or a function of nodes.

    The ``name`` of a number is ``"constant"``.

    Equal trees compare and hash equal; the hash is computed once, so that a node is a cheap key of
    a dictionary.
    """

    name: str
    arguments: tuple[Node, ...] = ()
    value: float = 0.0
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.name, self.arguments, self.value)))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        if self.name == CONSTANT:
            return str(int(self.value)) if self.value == int(self.value) else repr(self.value)
        return f"{self.name}({','.join(map(str, self.arguments))})" if self.arguments else self.name

    def walk(self) -> Iterator[Node]:
        """Yield this node and every node below it, parents first."""
        yield self
        for argument in self.arguments:
            yield from argument.walk()

    @property
    def depth(self) -> int:
        """Functions on the longest path: 0 for ``x``, 1 for ``tanh(x)``."""
        return 1 + max(argument.depth for argument in self.arguments) if self.arguments else 0


X = Node("x")


def constant(value: float) -> Node:
    """Return the node of a number; -0 is 0."""
    return Node(CONSTANT, (), float(value) + 0.0)


def parse(text: str) -> Node:
    """Read an expression.

    That is ``x``, a number, ``a``, ``b``, ``c``, ``unary(expression)`` or
    ``binary(expression,expression)``.

    A word is looked up in a closed table and nothing else is done with it. Spaces are ignored.
    ``swish`` is ``silu``.

    Args:
        text: at most 512 characters, 64 nodes, 16 functions deep; numbers at most 10⁶ in size; the
            exponent of ``pow`` is a number; ``x`` must occur.

    Raises:
        ExpressionError: anything else; the message says at which column, counted from 1.

    >>> str(parse("min( abs(x), cos(x) )"))
    'min(abs(x),cos(x))'
    >>> parse("add(x,foo(x))")
    Traceback (most recent call last):
    actsearch...ExpressionError: expression must use known words, but got 'foo' at column 7. ...

    """
    if not isinstance(text, str):
        raise ExpressionError(f"expression must be text, but got {text!r}.")
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(
            f"expression must have at most {MAX_CHARACTERS} characters, but got {len(text)}: "
            f"cut it at column {MAX_CHARACTERS + 1}.",
            MAX_CHARACTERS + 1,
        )
    return _Parser(text).whole()


def checked(node: Node) -> Node:
    """Return a tree built by hand if the grammar's limits hold for it.

    :class:`ExpressionError` where they do not.
    """
    return parse(str(node))


class _Parser:
    """Recursive descent; ``at`` is the position of the next unread character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.nodes = 0

    def whole(self) -> Node:
        node = self.expression(0)
        self.space()
        if self.at < len(self.text):
            self.refuse(
                "end after one expression",
                self.here(),
                "Join two by a function, as in add(x,tanh(x)).",
            )
        if all(n.name != "x" for n in node.walk()):
            self.at = 0  # the whole text is at fault
            self.refuse("contain x", self.text, "A constant is no activation.")
        if len(str(node)) > MAX_CHARACTERS:
            # 1e6 is printed as 1000000: what is read must be readable again once printed.
            self.at = 0
            self.refuse(f"have at most {MAX_CHARACTERS} characters as printed", self.text)
        return node

    def expression(self, depth: int) -> Node:
        self.space()
        start = self.at
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.refuse(f"have at most {MAX_NODES} nodes", self.here())
        if number := _NUMBER.match(self.text, self.at):
            value = float(number.group())
            if not abs(value) <= MAX_CONSTANT:
                self.refuse(f"have numbers of at most {MAX_CONSTANT:g} in size", number.group())
            self.at = number.end()
            return constant(value)
        match = _WORD.match(self.text, self.at)
        if match is None:
            self.refuse("have x, a number, a, b, c or a function here", self.here())
        word = ALIASES.get(match.group(), match.group())
        if word == "x" or word in LEARNABLE:
            self.at = match.end()
            return Node(word)
        arity = 1 if word in UNARY else 2
        if word not in UNARY and word not in BINARY:
            nearest = difflib.get_close_matches(word, sorted(WORDS), n=3, cutoff=0.5)
            self.refuse("use known words", word, f"Nearest: {', '.join(nearest or ['x'])}.")
        if depth == MOST_NESTED:
            self.refuse(f"be at most {MOST_NESTED} functions deep", word)
        self.at = match.end()
        self.take("(", f"{word} takes {arity} argument{'s' * (arity > 1)} in parentheses.")
        arguments = [self.expression(depth + 1)]
        if arity == 2:
            self.take(",", f"{word} takes 2 arguments.")
            self.space()
            second = self.at
            arguments.append(self.expression(depth + 1))
            if word == "pow" and arguments[1].name != CONSTANT:
                self.at = second
                self.refuse("have a number as the exponent of pow", str(arguments[1]))
        self.take(")", f"{word} at column {start + 1} takes {arity} argument{'s' * (arity > 1)}.")
        return Node(word, tuple(arguments))

    def space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def take(self, sign: str, way_out: str) -> None:
        self.space()
        if not self.text.startswith(sign, self.at):
            self.refuse(f"have {sign!r} here", self.here(), way_out)
        self.at += 1

    def here(self) -> str:
        return self.text[self.at : self.at + 20] or "the end"

    def refuse(self, rule: str, value: str, way_out: str = "") -> NoReturn:
        shown = value if len(value) <= 40 else value[:37] + "..."
        text = f"expression must {rule}, but got {shown!r} at column {self.at + 1}."
        raise ExpressionError(f"{text} {way_out}" if way_out else text, self.at + 1)


def canonical(node: Node) -> Node:
    """Return a simpler tree of the same function.

    Arguments are in order, arithmetic on numbers is done, neutral terms are gone.

    Equal functions may still have different canonical forms;
    :mod:`actsearch.activations.expression.equivalence` compares values.

    >>> str(canonical(parse("add(tanh(x),mul(1,x))")))
    'add(tanh(x),x)'
    """
    arguments = tuple(canonical(argument) for argument in node.arguments)
    if node.name in COMMUTATIVE:
        arguments = tuple(sorted(arguments, key=str))
    node = Node(node.name, arguments, node.value)
    return _fold(node) or _neutral(node)


def value_of(node: Node) -> float:
    """Return the value of a tree of numbers alone, in float64.

    NaN or infinite outside of its domain.
    """
    if node.name == CONSTANT:
        return node.value
    tensors = [torch.tensor(value_of(argument), dtype=torch.float64) for argument in node.arguments]
    return float((UNARY.get(node.name) or BINARY[node.name])(*tensors))


def _fold(node: Node) -> Node | None:
    if not node.arguments or any(argument.name != CONSTANT for argument in node.arguments):
        return None
    value = value_of(node)
    return constant(value) if math.isfinite(value) and abs(value) <= MAX_CONSTANT else None


def _neutral(node: Node) -> Node:
    match node:
        case Node("identity", (e,)) | Node("negative", (Node("negative", (e,)),)):
            return e
        case Node(
            "abs", (Node("abs" | "square" | "exp" | "sigmoid" | "relu" | "cosh" | "gaussian") as e,)
        ):
            return e
        case Node(
            "relu",
            (Node("relu" | "abs" | "square" | "exp" | "sigmoid" | "cosh" | "gaussian") as e,),
        ):
            return e
        case Node("max" | "min", (e, f)) if e == f:
            return e
        case Node("add", (Node("constant", value=0.0), e)) | Node(
            "mul", (Node("constant", value=1.0), e)
        ):
            return e
        case Node("sub", (e, Node("constant", value=0.0))) | Node(
            "div" | "pow", (e, Node("constant", value=1.0))
        ):
            return e
        case Node("mul", (Node("constant", value=-1.0), e)) | Node(
            "sub", (Node("constant", value=0.0), e)
        ):
            return _neutral(Node("negative", (e,)))
        case Node("pow", (e, Node("constant", value=2.0))):
            return Node("square", (e,))
        case Node("pow", (e, Node("constant", value=3.0))):
            return Node("cube", (e,))
        case Node("mul", (e, f)) if e == f:
            return Node("square", (e,))
        case Node("div", (Node("constant", value=1.0), e)):
            return Node("reciprocal", (e,))
    return node
