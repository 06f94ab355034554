"""Loops of C99; ``@name@`` in their lines stands for the array of torch's node of that name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from torch import Tensor
from torch.fx import Node


@dataclass(frozen=True)
class Loops:
    """What computes one array.

    Args:
        lines: of C.
        counts: how often each operation is done for one sample.
    """

    lines: list[str]
    counts: Counter[str] = field(default_factory=Counter)


def shape_of(node: Node) -> tuple[int, ...]:
    """Return the shape of a node's value; of several values the first one's."""
    value = node.meta["val"]
    first: Tensor = value[0] if isinstance(value, (tuple, list)) else value
    return tuple(int(size) for size in first.shape)


def nest(sizes: Sequence[int], body: Sequence[str], letter: str = "i") -> list[str]:
    """Return loops around lines, over ``i0``, ``i1``, ... of these sizes.

    >>> nest([2], ["y[i0] = 0.0f;"])
    ['for (int i0 = 0; i0 < 2; i0++) {', '    y[i0] = 0.0f;', '}']
    """
    lines = list(body)
    for level in reversed(range(len(sizes))):
        head = f"for (int {letter}{level} = 0; {letter}{level} < {sizes[level]}; {letter}{level}++)"
        lines = [f"{head} {{", *(f"    {line}" for line in lines), "}"]
    return lines


def index(strides: Sequence[int], offset: int = 0, letter: str = "i") -> str:
    """Return where an element stands, by the loops' variables.

    >>> index([4, 1], 2)
    '4 * i0 + i1 + 2'
    """
    terms = [
        f"{letter}{level}" if stride == 1 else f"{stride} * {letter}{level}"
        for level, stride in enumerate(strides)
        if stride
    ]
    return " + ".join([*terms, *([str(offset)] if offset or not terms else [])])


def contiguous(shape: Sequence[int]) -> list[int]:
    """Return the strides of an array without gaps.

    >>> contiguous([2, 3, 4])
    [12, 4, 1]
    """
    return [prod(shape[level + 1 :]) for level in range(len(shape))]
