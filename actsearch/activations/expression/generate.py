"""Random expressions: generation by depth, mutation, crossover, and pools that do not repeat."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from random import Random

from actsearch.activations.expression.equivalence import fingerprints
from actsearch.activations.expression.grammar import (
    CONSTANT,
    MOST_NESTED,
    ExpressionError,
    Node,
    X,
    canonical,
    checked,
    constant,
    parse,
)
from actsearch.activations.expression.vocabulary import BINARY, LEARNABLE, UNARY
from actsearch.activations.trainability import usable
from actsearch.errors import InvalidValueError

_UNARY = tuple(word for word in UNARY if word != "identity")
_BINARY = tuple(BINARY)
FRUITLESS_BATCHES = 30
"""Batches in a row without a new function after which a pool is taken to be exhausted."""


def random_expression(rng: Random, depth: int, *, learnable: bool = False) -> str:
    """Return a random expression of at most ``depth`` functions on a path, at least one.

    Args:
        rng: the source of randomness; one seed, one sequence.
        depth: from 1 to 16.
        learnable: whether ``a``, ``b`` and ``c`` may occur beside numbers.

    Raises:
        InvalidValueError: a depth out of range.

    >>> random_expression(Random(3), 2) == random_expression(Random(3), 2)
    True

    """
    _check_depth(depth)
    while True:
        try:
            return str(checked(_grow(rng, depth, learnable, root=True)))
        except ExpressionError:  # too many nodes, or no x: drawn again
            continue


def mutate(text: str, rng: Random, *, learnable: bool = False) -> str:
    """Return a neighbour of an expression.

    One part is replaced, wrapped or unwrapped, a word exchanged, or a number moved.

    >>> mutate("add(x,tanh(x))", Random(1)) != "add(x,tanh(x))"
    True
    """
    tree = parse(text)
    while True:
        moves = (_replace, _wrap, _unwrap, _exchange, _move_number)
        changed = rng.choice(moves)(tree, rng, learnable)
        try:
            if changed != tree:
                return str(checked(changed))
        except ExpressionError:  # over a limit, or x lost: drawn again
            continue


def cross(first: str, second: str, rng: Random) -> str:
    """Return ``first`` with one of its parts replaced by a part of ``second``.

    >>> cross("tanh(x)", "x", Random(0)) in ("tanh(x)", "x")
    True
    """
    tree, donor = parse(first), parse(second)
    while True:
        place, part = rng.randrange(_size(tree)), rng.choice(list(donor.walk()))
        try:
            return str(checked(_put(tree, place, part)))
        except ExpressionError:  # over a limit, or x lost: drawn again
            continue


def pool(count: int, depth: int, seed: int, *, learnable: bool = False) -> list[str]:
    """Return ``count`` usable expressions, no two of them the same function.

    What usable is, :func:`actsearch.activations.trainability.usable` says.

    Args:
        count: how many, at least 1.
        depth: functions on a path at most, from 1 to 16.
        seed: one seed, one pool.
        learnable: whether ``a``, ``b`` and ``c`` may occur.

    Raises:
        InvalidValueError: a depth out of range, or one that holds fewer functions than asked for.

    """
    return list(_pool(count, depth, seed, learnable))


@lru_cache(maxsize=16)  # a search reads its space several times
def _pool(count: int, depth: int, seed: int, learnable: bool) -> tuple[str, ...]:
    _check_depth(depth)
    if count < 1:
        raise InvalidValueError(f"count must be at least 1, but got {count!r}.")
    rng = Random(seed)  # noqa: S311  # reproducible draws, no secret
    found: dict[str, str] = {}
    seen: set[str] = set()
    fruitless = 0
    while len(found) < count:
        drawn = dict.fromkeys(
            random_expression(rng, depth, learnable=learnable) for _ in range(max(64, count // 2))
        )
        texts = dict.fromkeys(str(canonical(parse(text))) for text in drawn)
        fresh = usable([text for text in texts if text not in seen])
        seen.update(texts)
        before = len(found)
        for key, text in zip(fingerprints(fresh), fresh, strict=True):
            found.setdefault(key, text)
        fruitless = 0 if len(found) > before else fruitless + 1
        if fruitless == FRUITLESS_BATCHES:
            raise InvalidValueError(
                f"count must be at most {len(found)} at depth {depth}, but got {count!r}."
            )
    return tuple(found.values())[:count]


def _check_depth(depth: int) -> None:
    if not 1 <= depth <= MOST_NESTED:
        raise InvalidValueError(f"depth must be from 1 to {MOST_NESTED}, but got {depth!r}.")


def _leaf(rng: Random, learnable: bool) -> Node:
    if rng.random() < 0.75:
        return X
    return Node(rng.choice(LEARNABLE)) if learnable and rng.random() < 0.5 else _random_number(rng)


def _random_number(rng: Random) -> Node:
    return constant(rng.choice((-2.0, -1.0, -0.5, 0.1, 0.5, 1.0, 2.0, 3.0)))


def _grow(rng: Random, depth: int, learnable: bool, *, root: bool = False) -> Node:
    if depth == 0 or (not root and rng.random() < 0.25):
        return _leaf(rng, learnable)
    if rng.random() < 0.5:
        node = Node(rng.choice(_UNARY), (_grow(rng, depth - 1, learnable),))
    else:
        word = rng.choice(_BINARY)
        second = _random_number(rng) if word == "pow" else _grow(rng, depth - 1, learnable)
        node = Node(word, (_grow(rng, depth - 1, learnable), second))
    # A function of numbers alone is a number: a leaf says it shorter.
    return (
        node
        if root or any(n.name == "x" or n.name in LEARNABLE for n in node.walk())
        else _random_number(rng)
    )


def _size(node: Node) -> int:
    return sum(1 for _ in node.walk())


def _put(node: Node, place: int, part: Node) -> Node:
    """Return the tree with the node at a place replaced."""
    return _at(node, place, lambda _: part)


def _at(node: Node, place: int, change: Callable[[Node], Node]) -> Node:
    """Return the tree with ``change`` applied to the node at a place in the order of ``walk``."""
    if place == 0:
        return change(node)
    place -= 1
    arguments = list(node.arguments)
    for i, argument in enumerate(arguments):
        if place < _size(argument):
            arguments[i] = _at(argument, place, change)
            break
        place -= _size(argument)
    return Node(node.name, tuple(arguments), node.value)


def _replace(tree: Node, rng: Random, learnable: bool) -> Node:
    return _at(tree, rng.randrange(_size(tree)), lambda _: _grow(rng, rng.randint(0, 2), learnable))


def _wrap(tree: Node, rng: Random, learnable: bool) -> Node:
    def wrapped(node: Node) -> Node:
        if rng.random() < 0.5:
            return Node(rng.choice(_UNARY), (node,))
        word = rng.choice(_BINARY)
        return Node(
            word, (node, _random_number(rng) if word == "pow" else _grow(rng, 1, learnable))
        )

    return _at(tree, rng.randrange(_size(tree)), wrapped)


def _unwrap(tree: Node, rng: Random, learnable: bool) -> Node:
    return _at(
        tree,
        rng.randrange(_size(tree)),
        lambda node: rng.choice(node.arguments) if node.arguments else node,
    )


def _exchange(tree: Node, rng: Random, learnable: bool) -> Node:
    def exchanged(node: Node) -> Node:
        words = {1: _UNARY, 2: tuple(word for word in _BINARY if word != "pow")}.get(
            len(node.arguments)
        )
        return Node(rng.choice(words), node.arguments) if words else node

    return _at(tree, rng.randrange(_size(tree)), exchanged)


def _move_number(tree: Node, rng: Random, learnable: bool) -> Node:
    places = [place for place, node in enumerate(tree.walk()) if node.name == CONSTANT]
    if not places:
        return tree
    return _at(
        tree,
        rng.choice(places),
        lambda node: constant(round(node.value * rng.uniform(0.5, 2.0), 4)),
    )
