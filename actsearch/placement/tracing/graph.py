"""What one forward pass did, as a graph: every operation, what it read, and each place where an activation acted."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, fx, nn

# Operations that hold weights over a whole input: what stands between two of them is where
# activations belong.
LEARNED = {
    "linear", "bilinear", "embedding", "embedding_bag", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh", "rnn_relu",
    "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
}  # fmt: skip
PRODUCTS = {
    "matmul",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "einsum",
    "tensordot",
    "mv",
}  # learned where a parameter takes part


@dataclasses.dataclass(eq=False)
class Node:
    """One operation.

    Args:
        name: its name without underscores: ``conv2d``, ``relu``, ``mul``; of a site what stands
            there.
        owner: path of the innermost module that called it.
        inputs: the operations whose results it read.
        weights: identities of the parameters it read.
        learned: whether it holds weights over its whole input.
        shape: of its result, where known.
        scalars: whether every other operand is a number or a parameter.
        call: the site, where it is one.
    """

    name: str
    owner: str = ""
    inputs: list[Node] = dataclasses.field(default_factory=list)
    weights: tuple[Hashable, ...] = ()
    learned: bool = False
    shape: tuple[int, ...] | None = None
    width: int | None = None
    call: Call | None = None
    consumers: list[Node] = dataclasses.field(default_factory=list)
    fed: bool = False  # depends on the model's input
    order: int = 0
    depth: int = 0  # learned operations on the longest way from the input


@dataclasses.dataclass(eq=False)
class Call:
    """One call of a nonlinearity.

    Args:
        owner: path of the module that made the call.
        key: path of the module called, or the name of the function.
        functional: whether it is a function call.
        execution: number of the owner's execution that it belongs to.
        location: where in the owner's code it stands.
        name: what stands there; ``parameters`` are its own.
        inplace: whether it overwrites its input, and ``aliased``: whether the overwritten input is
            read later.
        elements: of its input.
    """

    owner: str
    key: str
    functional: bool
    execution: int
    location: Hashable
    name: str
    parameters: Mapping[str, Any]
    inplace: bool
    node: Node
    elements: int | None = None
    aliased: bool = False
    checkpointed: bool = False


class Graph:
    """The operations in their order, the calls of nonlinearities among them, and what the pass returned."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.calls: list[Call] = []
        self.outputs: set[Node] = set()
        self.guessed = False  # whether a branch was taken without knowing its condition
        self.whole = (
            True  # or only a part of the model, whose result goes on to what was not traced
        )
        self.unseen: list[
            tuple[str, str]
        ] = []  # nonlinearities inside fused operations, with the reason
        self._node_of: dict[int, tuple[Any, Node]] = {}
        self._overwritten: dict[int, tuple[Any, Call]] = {}
        self.constants: set[int] = set()  # identities of buffers: known, and no signal

    def add(self, node: Node, reads: Iterable[Any], result: Any) -> Node:
        """Add an operation that read these tensors (or fx nodes) and returned that."""
        for value in reads:
            source = self.node_of(value)
            if (
                source is None
            ):  # made where no one listens, such as in an autograd function: signal until proved otherwise
                strange = isinstance(value, Tensor) and not isinstance(value, nn.Parameter)
                node.fed = node.fed or (strange and id(value) not in self.constants)
            if source is None or source in node.inputs:
                continue
            node.inputs.append(source)
            source.consumers.append(node)
            node.fed = node.fed or source.fed
        node.depth = max((source.depth for source in node.inputs), default=0) + node.learned
        node.order = len(self.nodes)
        self.nodes.append(node)
        values = list(leaves(result))
        for value in values:
            maker = node
            if (
                len(values) > 1 and node.name != "input"
            ):  # the parts of a chunk are different signals
                maker = Node(
                    "getitem", node.owner, [node], fed=node.fed, order=node.order, depth=node.depth
                )
                node.consumers.append(maker)
            self._node_of[id(value)] = (_reference(value), maker)
            if node.shape is None and isinstance(value, Tensor):
                node.shape = tuple(value.shape)
        return node

    def feed(self, inputs: Any) -> None:
        """Name what the model was given."""
        self.add(Node("input", fed=True), (), inputs)

    def finish(self, result: Any) -> None:
        """Name what the model returned."""
        self.outputs = {
            node for value in leaves(result) if (node := self.node_of(value)) is not None
        }

    def node_of(self, value: Any) -> Node | None:
        """Return the operation that made a tensor or is behind an fx node, marking a read of what was overwritten."""
        overwritten = self._overwritten.get(id(value))
        if overwritten is not None and _target(overwritten[0]) is value:
            overwritten[1].aliased = True
        entry = self._node_of.get(id(value))
        return entry[1] if entry is not None and _target(entry[0]) is value else None

    def overwrite(self, value: Any, call: Call) -> None:
        """Say that the call overwrites this tensor, so that a later read of it is seen."""
        self._overwritten[id(value)] = (_reference(value), call)


def _reference(value: Any) -> Any:
    return weakref.ref(value) if isinstance(value, Tensor) else value


def _target(reference: Any) -> Any:
    return reference() if isinstance(reference, weakref.ref) else reference


def leaves(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the tensors and fx nodes in nested tuples, lists, mappings and dataclasses."""
    if isinstance(value, (Tensor, fx.Node)):
        yield value
    elif isinstance(value, fx.Proxy):
        yield value.node
    elif depth > 6 or value is None or isinstance(value, (int, float, str, bool, nn.Module)):
        return
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from leaves(item, depth + 1)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from leaves(item, depth + 1)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for entry in dataclasses.fields(value):
            yield from leaves(getattr(value, entry.name, None), depth + 1)
