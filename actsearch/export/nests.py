"""From torch's operations to loops over arrays: what is elementwise goes into one loop."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from actsearch.errors import ExportError
from actsearch.export.c_text import counted
from actsearch.export.elementwise import expression, is_elementwise, number
from actsearch.export.layers import LOOPS_OF, VIEW_NAMES, strided, view_of
from actsearch.export.loops import Loops, contiguous, shape_of
from actsearch.export.traced import Traced, TracedStep

ARRAY = re.compile(r"@(\w+)@")
"""An array in a line of C, by the name of torch's node."""

LOOKED_UP = ("index_select", "embedding")
"""Operations that read a table."""


@dataclass
class LoopNest:
    """Loops that write arrays from others.

    Args:
        title: the layers' places and operations.
        writes: nodes whose arrays are written.
        loops: with their reading.
        flat: arrays that are read element by element, each before its like is written.
    """

    title: str
    writes: list[Node]
    loops: Loops
    flat: set[Node] = field(default_factory=set)

    @property
    def reads(self) -> set[str]:
        """Names of the arrays in its lines, those that are written too."""
        return set(ARRAY.findall("\n".join(self.loops.lines)))


class NestWriter:
    """Turns steps into loops: each layer one, elementwise steps together as far as they go."""

    def __init__(self, traced: Traced) -> None:
        self.traced = traced
        self.nests: list[LoopNest] = []
        self.roots: dict[Node, Node] = {}  # views that need no copy
        self.group: list[tuple[TracedStep, str]] = []
        self.flat: set[Node] = set()
        for step in traced.steps:
            self._take(step)
        self._close()
        written = set[Node]()
        for node in traced.outputs:
            root = self.root(node)
            if root in traced.constants or root in traced.inputs or root in written:
                self.roots.pop(node, None)
                size = prod(shape_of(node))
                copy = [f"for (int i = 0; i < {size}; i++) @{node}@[i] = @{root}@[i];"]
                self._add([], [node], Loops(copy))
            written.add(self.root(node))

    def root(self, node: Node) -> Node:
        """Return the array that a node's value stands in."""
        return self.roots.get(node, node)

    def _take(self, step: TracedStep) -> None:
        node, name = step.node, _name(step.node)
        value = node.meta.get("val")
        if isinstance(value, Tensor) and value.dtype in (torch.float64, torch.complex64):
            raise ExportError(f"a model must be float32 to be written in C, but got {value.dtype}.")
        if name == "getitem" and _name(_first(node)) not in VIEW_NAMES:
            self._getitem(node)
        elif name in VIEW_NAMES or name == "getitem":
            self._view(step)
        elif name == "_to_copy":
            self._cast(step)
        elif is_elementwise(name):
            self._element(step)
        elif name in LOOPS_OF:
            self._close()
            try:
                loops = LOOPS_OF[name](node, *node.args, **node.kwargs)
            except TypeError as error:
                raise _refused(step, f" with {error}") from None
            self._add([step], [node], loops)
        else:
            raise _refused(step)

    def _getitem(self, node: Node) -> None:
        if node.args[1] != 0:
            raise ExportError(f"only the first result of {_first(node)} can be written in C.")
        self.roots[node] = self.root(_first(node))

    def _view(self, step: TracedStep) -> None:
        node, source = step.node, _first(step.node)
        if _name(node) == "getitem":
            view, source = view_of(source)[node.args[1]], _first(source)
        else:
            view = view_of(node)
        if isinstance(view, (tuple, list)):
            return  # its parts are taken by getitem
        same = view.numel() == prod(shape_of(source))
        if same and view.is_contiguous() and not view.storage_offset():
            self.roots[node] = self.root(source)
            return
        self._close()
        self._add([step], [node], strided(node, source, view))

    def _cast(self, step: TracedStep) -> None:
        before, after = _first(step.node).meta["val"].dtype, step.node.meta["val"].dtype
        if _c_type(before) == _c_type(after):
            self.roots[step.node] = self.root(_first(step.node))
        else:
            self._element(step)

    def _element(self, step: TracedStep) -> None:
        node = step.node
        shape = shape_of(node)
        if self.group and prod(shape_of(self.group[0][0].node)) != prod(shape):
            self._close()
        for one in node.all_input_nodes:
            grouped = any(member.node is self.root(one) for member, _ in self.group)
            if grouped and prod(shape_of(one)) != prod(shape):
                self._close()
        self.group.append((step, self._expression(step, shape)))

    def _expression(self, step: TracedStep, shape: tuple[int, ...]) -> str:
        node = step.node
        real = node.meta["val"]
        real = real[0] if isinstance(real, tuple) else real
        floats = real.is_floating_point() or any(
            one.meta["val"].is_floating_point() for one in node.all_input_nodes
        )
        name = _name(node)
        if name.startswith("bitwise") and real.dtype != torch.bool:
            raise _refused(step, " of whole numbers")
        operands: list[Any] = []
        for place, argument in enumerate(node.args):
            if name in LOOKED_UP and place == 0:
                if argument not in self.traced.constants:
                    raise _refused(step, " in a table that is no constant")
                operands.append(f"@{argument}@")
            elif isinstance(argument, Node):
                text = self._operand(argument, shape)
                whole = not argument.meta["val"].is_floating_point()
                cast = whole and floats and name not in ("where", *LOOKED_UP)
                operands.append(f"(float){text}" if cast else text)
            elif isinstance(argument, (int, float)):
                operands.append(number(argument) if floats else str(int(argument)))
            else:
                operands.append(argument)
        if name == "_to_copy":
            return f"({_c_type(real.dtype)}){operands[0]}"
        try:
            return expression(name, *operands, **node.kwargs)
        except ExportError as error:
            raise ExportError(f"{error} It is at {step.place or 'the top'}.") from None

    def _operand(self, node: Node, shape: tuple[int, ...]) -> str:
        known = self.traced.constants.get(node)
        if known is not None:
            same = known.flatten()[:1]
            if bool((known == same).all()):
                return number(float(same)) if known.is_floating_point() else str(int(same))
        root = self.root(node)
        if any(member.node is root for member, _ in self.group):
            return f"t_{root}"
        if known is None and prod(shape_of(node)) == prod(shape):
            self.flat.add(root)
        return f"@{root}@[{_broadcast(shape_of(node), shape)}]"

    def _close(self) -> None:
        """End a group of elementwise steps: what others read is written to arrays."""
        if not self.group:
            return
        steps, members = [step for step, _ in self.group], {step.node for step, _ in self.group}
        writes = [step.node for step in steps if self._leaves(step.node, members)]
        size = prod(shape_of(steps[0].node))
        lines, counts = [], Counter[str]()
        for step, text in self.group:
            value = step.node.meta["val"]
            kind = _c_type((value[0] if isinstance(value, tuple) else value).dtype)
            lines.append(f"const {kind} t_{step.node} = {text};")
            counts.update({key: size * times for key, times in counted(text).items()})
        lines += [f"@{node}@[i] = t_{node};" for node in writes]
        head = f"for (int i = 0; i < {size}; i++) {{"
        loops = Loops([head, *(f"    {line}" for line in lines), "}"], counts)
        self._add(steps, writes, loops)
        self.group, self.flat = [], set()

    def _add(self, steps: Sequence[TracedStep], writes: list[Node], loops: Loops) -> None:
        roots = {view.name: root.name for view, root in self.roots.items()}
        lines = [
            ARRAY.sub(lambda found: f"@{roots.get(found[1], found[1])}@", line)
            for line in loops.lines
        ]
        nest = LoopNest(_title(steps), writes, Loops(lines, loops.counts), self.flat)
        self.nests.append(nest)

    def _leaves(self, node: Node, members: set[Node]) -> bool:
        """Whether an array must hold a value, read by a later nest or returned."""
        same = [node, *(view for view, root in self.roots.items() if root is node)]
        return any(
            user.op == "output" or (user not in members and self.root(user) is not node)
            for one in same
            for user in one.users
        )


def _title(steps: Sequence[TracedStep]) -> str:
    places = dict.fromkeys(step.place for step in steps if step.place)
    names = dict.fromkeys(_name(step.node).strip("_") for step in steps)
    return ": ".join(part for part in (", ".join(places), ", ".join(names)) if part)


def _broadcast(shape: Sequence[int], into: Sequence[int]) -> str:
    """Return where an operand's element stands, from the flat index ``i`` of the result."""
    if prod(shape) == prod(into):
        return "i"
    terms = []
    pairs = zip(
        [1] * (len(into) - len(shape)) + list(shape),
        [0] * (len(into) - len(shape)) + contiguous(shape),
        into,
        contiguous(into),
        strict=True,
    )
    for size, stride, whole, over in pairs:
        if size > 1:
            place = "i" if over == 1 else f"i / {over}"
            place = place if over * whole == prod(into) else f"({place}) % {whole}"
            terms.append(place if stride == 1 else f"({place}) * {stride}")
    return " + ".join(terms) or "0"


def _first(node: Node) -> Node:
    first = node.args[0]
    assert isinstance(first, Node), "an operation's first argument is a tensor"
    return first


def _name(node: Node) -> str:
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


def _c_type(dtype: torch.dtype) -> str:
    return "float" if dtype.is_floating_point else "int"


def _refused(step: TracedStep, why: str = "") -> ExportError:
    at = f" at {step.place}" if step.place else ""
    return ExportError(
        f"a layer must be one that can be written in C, but got {_name(step.node)}{at}{why}. Write"
        " ONNX instead: --to onnx."
    )
