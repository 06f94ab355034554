"""Which arrays share memory: one that is read no more makes room for the next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Any

from torch.fx import Node

from actsearch.export.loops import shape_of
from actsearch.export.nests import LoopNest
from actsearch.export.traced import Traced


def assign_buffers(
    traced: Traced, nests: Sequence[LoopNest], outputs: Sequence[Node]
) -> tuple[dict[str, str], list[int]]:
    """Return the name of each array in C, and the sizes of the buffers that they share.

    Args:
        traced: whose inputs and constants have names of their own.
        nests: in order.
        outputs: the nodes whose arrays are the caller's.
    """
    names = {node.name: _numbered("x", i, traced.inputs) for i, node in enumerate(traced.inputs)}
    names |= {node.name: _numbered("y", i, outputs) for i, node in enumerate(outputs)}
    names |= {node.name: _identifier(node.name) for node in traced.constants}
    last: dict[str, int] = {}
    for place, nest in enumerate(nests):
        for read in nest.reads:
            last[read] = place
    sizes: list[int] = []
    free: set[int] = set()
    held: dict[str, int] = {}
    for place, nest in enumerate(nests):
        ending = [name for name in held if last.get(name) == place]
        for node in nest.writes:
            if node.name in names:
                continue
            size = prod(shape_of(node))
            over = [one for one in ending if one in {flat.name for flat in nest.flat}]
            slot = next((held[one] for one in over if sizes[held[one]] >= size), None)
            if slot is not None:
                ending.remove(next(one for one in over if held[one] == slot))
            else:
                slot = _fitting(free, sizes, size)
            held[node.name] = slot
            names[node.name] = f"buffer_{slot}"
        for name in ending:
            free.add(held.pop(name))
    return names, sizes


def _fitting(free: set[int], sizes: list[int], size: int) -> int:
    """Take the smallest free buffer that is large enough, else let one grow, else a new one."""
    enough = sorted((slot for slot in free if sizes[slot] >= size), key=sizes.__getitem__)
    slot = (enough or sorted(free, key=sizes.__getitem__)[-1:] or [len(sizes)])[0]
    free.discard(slot)
    if slot == len(sizes):
        sizes.append(0)
    sizes[slot] = max(sizes[slot], size)
    return slot


def _numbered(letter: str, place: int, among: Sequence[Any]) -> str:
    return letter if len(among) == 1 else f"{letter}_{place}"


def _identifier(name: str) -> str:
    return "w_" + re.sub(r"\W", "_", re.sub("^[a-z]+_model_", "", name))
