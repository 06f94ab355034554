"""What one forward pass did, as a graph: every operation, what it read, what activations did.

Both tracers write it: :mod:`torch.fx` has a graph of its own, which a run under a function mode has
not.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, fx, nn

from actsearch.placement.tracing.call_site import CallSite


@dataclasses.dataclass(eq=False)
class Operation:
    """One operation.

    Args:
        name: its name without underscores: ``conv2d``, ``relu``, ``mul``; of a site what stands
            there.
        owner: path of the innermost module that called it.
        inputs: the operations whose results it read.
        weights: identities of the parameters it read.
        is_layer: whether it holds weights over its whole input.
        shape: of its result, where known.
        width: channels of its result, where the layer itself says so.
        call: the site, where it is one.
        consumers: the operations that read its result.
        fed: whether it depends on the model's input.
        order: number in the order of the pass.
        depth: layers on the longest way from the input to it, itself included.
    """

    name: str
    owner: str = ""
    inputs: list[Operation] = dataclasses.field(default_factory=list)
    weights: tuple[Hashable, ...] = ()
    is_layer: bool = False
    shape: tuple[int, ...] | None = None
    width: int | None = None
    call: Call | None = None
    consumers: list[Operation] = dataclasses.field(default_factory=list)
    fed: bool = False
    order: int = 0
    depth: int = 0


@dataclasses.dataclass(eq=False)
class Call:
    """One call of a nonlinearity.

    Args:
        owner: path of the module that made the call.
        key: path of the module called, or the name of the function.
        functional: whether it is a function call.
        execution: number of the owner's execution that it belongs to.
        call_site: where in the owner's code it stands; empty inside of torch's own layers.
        name: what stands there.
        parameters: of the function that stands there.
        inplace: whether it overwrites its input.
        operation: it as an operation of the graph.
        elements: of its input.
        aliased: whether the input that it overwrites is read later.
        checkpointed: whether it is inside a checkpointed function.
    """

    owner: str
    key: str
    functional: bool
    execution: int
    call_site: CallSite
    name: str
    parameters: Mapping[str, Any]
    inplace: bool
    operation: Operation
    elements: int | None = None
    aliased: bool = False
    checkpointed: bool = False


class Graph:
    """The operations of a forward pass in their order.

    Attributes:
        operations: all of them.
        calls: the calls of nonlinearities among them.
        outputs: those whose results the pass returned.
        whole: whether it is all of the model; else only a part, whose result goes on to what was
            not traced.
        guessed: whether a branch was taken without knowing its condition.
        unseen: nonlinearities inside fused operations, each with the reason.
        constants: identities of the buffers: known, and no signal.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.calls: list[Call] = []
        self.outputs: set[Operation] = set()
        self.whole = True
        self.guessed = False
        self.unseen: list[tuple[str, str]] = []
        self.constants: set[int] = set()
        self._maker: dict[int, tuple[Any, Operation]] = {}
        self._overwritten: dict[int, tuple[Any, Call]] = {}

    def add(self, operation: Operation, reads: Iterable[Any], result: Any) -> Operation:
        """Add an operation that read these tensors (or fx nodes) and returned that."""
        for value in reads:
            self._read(operation, value)
        depth = max((source.depth for source in operation.inputs), default=0)
        operation.depth = depth + operation.is_layer
        operation.order = len(self.operations)
        self.operations.append(operation)
        values = list(leaves(result))
        parts = len(values) > 1 and operation.name != "input"
        for value in values:
            maker = _part(operation) if parts else operation
            self._maker[id(value)] = (_reference(value), maker)
            if operation.shape is None and isinstance(value, Tensor):
                operation.shape = tuple(value.shape)
        return operation

    def _read(self, operation: Operation, value: Any) -> None:
        source = self.maker(value)
        if source is None:
            # Made where no one listens, such as in an autograd function: a signal until proved
            # otherwise.
            strange = isinstance(value, Tensor) and not isinstance(value, nn.Parameter)
            operation.fed |= strange and id(value) not in self.constants
        elif source not in operation.inputs:
            operation.inputs.append(source)
            source.consumers.append(operation)
            operation.fed |= source.fed

    def feed(self, inputs: Any) -> None:
        """Name what the model was given."""
        self.add(Operation("input", fed=True), (), inputs)

    def finish(self, result: Any) -> None:
        """Name what the model returned."""
        makers = (self.maker(value) for value in leaves(result))
        self.outputs = {maker for maker in makers if maker is not None}

    def maker(self, value: Any) -> Operation | None:
        """Return the operation that made a tensor or is behind an fx node.

        A read of what a call has overwritten is marked at that call.
        """
        overwritten = self._overwritten.get(id(value))
        if overwritten is not None and _target(overwritten[0]) is value:
            overwritten[1].aliased = True
        entry = self._maker.get(id(value))
        return entry[1] if entry is not None and _target(entry[0]) is value else None

    def overwrite(self, value: Any, call: Call) -> None:
        """Say that the call overwrites this tensor, so that a later read of it is seen."""
        self._overwritten[id(value)] = (_reference(value), call)


def _part(operation: Operation) -> Operation:
    """Return one part of a result of several, such as a chunk: parts are different signals."""
    part = Operation(
        "getitem", operation.owner, [operation],
        fed=operation.fed, order=operation.order, depth=operation.depth,
    )  # fmt: skip
    operation.consumers.append(part)
    return part


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
