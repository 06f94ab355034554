"""Tell a gate from an activation: by what its result multiplies, and by what comes after it."""

from __future__ import annotations

from collections.abc import Iterator

from actsearch.placement.discovery.torch_functions import NORMALISED, SQUASHING
from actsearch.placement.tracing.graph import Call, Graph, Operation
from actsearch.placement.tracing.operations import AFFINE, FORMULA_STEPS, MOVING, NORMS

BY_HAND = "part of an activation written out by hand"
MULTIPLIES = "gate: multiplies another signal"
_PARTS = {"sigmoid", "hardsigmoid", "relu6", "tanh", "erf", "softplus", "hardtanh"}
_PRODUCTS = ("matmul", "bmm", "einsum", "baddbmm")


def is_arithmetic(call: Call) -> bool:
    """Return whether a sine or an error function is mere arithmetic: no layer feeds it.

    Such as a position, or a density.
    """
    return (
        call.functional
        and call.name in ("sin", "erf")
        and not any(source.is_layer for source in _sources(call.operation))
    )


def reason(call: Call, graph: Graph) -> str:
    """Return why a call is a gate and so left alone; empty where it is an ordinary site."""
    return next((why for rule in _RULES if (why := rule(call, graph))), "")


def requirement(gate: str) -> str:
    """Return what a gate requires once it is opened, by the reason why it is one.

    What lets a share of another signal pass, as in an LSTM, must not let more and more of it.
    """
    return "bounded" if gate == MULTIPLIES else ""


def _sums_to_one(call: Call, graph: Graph) -> str:
    if call.name not in NORMALISED:
        return ""
    if _is_returned(call, graph):
        return f"output head: {call.name} after the last layer"
    return f"{call.name}: weights that sum to one"


def _off_the_signal(call: Call, graph: Graph) -> str:
    return "" if call.operation.fed else "acts on parameters or constants, not on the signal"


def _written_by_hand(call: Call, graph: Graph) -> str:
    """Return what the call is part of where an activation is written out: ``x * sigmoid(x)``."""
    if call.name not in _PARTS:
        return ""
    origins = set(_back(call.operation))
    for carrier in _forward(call.operation):
        for consumer in carrier.consumers:
            if consumer.name == "mul":
                factors = [other for other in consumer.inputs if other is not carrier and other.fed]
                if any(origins & set(_peeled(other)) for other in factors):
                    return f"{BY_HAND}: x * {call.name}(x)"
    return ""


def _multiplies(call: Call, graph: Graph) -> str:
    for product, other in _products(call.operation):
        if call.name in SQUASHING:
            return MULTIPLIES
        if _is_gated_linear(call.operation, product, other):
            return "gated product: multiplies a linear branch, as in GLU and SwiGLU"
    return ""


def _is_head(call: Call, graph: Graph) -> str:
    if not _is_returned(call, graph):
        return ""
    if call.name in (*SQUASHING, "softplus"):
        return f"output head: {call.name} after the last layer"
    bounded = call.name in ("tanh", "hardtanh") and len(graph.outputs) == 1
    if bounded and graph.outputs & set(_through(call.operation)):
        return f"output head: {call.name} gives the model's output its range"
    return ""


def _of_unknown_use(call: Call, graph: Graph) -> str:
    if not graph.whole and call.name in SQUASHING and _is_last(call.operation):
        return f"a {call.name} whose use is not known without an example input"
    return ""


# The first that gives a reason counts.
_RULES = (
    _sums_to_one, _off_the_signal, _written_by_hand, _multiplies, _is_head, _of_unknown_use,
)  # fmt: skip


def _is_last(operation: Operation) -> bool:
    """Return whether no layer comes after it."""
    return not any(other.is_layer or other.name in _PRODUCTS for other in _downstream(operation))


def _is_returned(call: Call, graph: Graph) -> bool:
    """Return whether the model returns what comes of it, with no layer between."""
    if not graph.whole or not _is_last(call.operation):
        return False
    return not graph.outputs.isdisjoint((call.operation, *_downstream(call.operation)))


def _through(operation: Operation) -> Iterator[Operation]:
    """Yield it and what carries the same signal on, moved, copied, scaled or shifted."""
    pending, seen = [operation], {operation}
    while pending:
        current = pending.pop()
        yield current
        for consumer in current.consumers:
            carries = consumer.name in MOVING or (
                consumer.name in AFFINE and _signals(consumer) <= 1
            )
            if carries and consumer not in seen:
                seen.add(consumer)
                pending.append(consumer)


def _signals(operation: Operation) -> int:
    return sum(source.fed for source in operation.inputs)


def _products(operation: Operation) -> Iterator[tuple[Operation, Operation]]:
    """Yield the products that the signal enters, with the other factor."""
    for carrier in _through(operation):
        for consumer in carrier.consumers:
            if consumer.name == "mul" and _signals(consumer) > 1:
                for other in consumer.inputs:
                    if other is not carrier and other.fed:
                        yield consumer, other


def _is_gated_linear(operation: Operation, product: Operation, other: Operation) -> bool:
    """Return whether the other factor comes straight from a layer, and not from this site."""
    if any(source.call is not None for source in _sources(other, include=True)):
        return False
    straight = [source for source in _sources(other, include=True) if source.is_layer]
    return bool(straight) and not _upstream_has(other, operation)


def _sources(operation: Operation, include: bool = False) -> Iterator[Operation]:
    """Yield the nearest operations upstream that do more than move, scale or normalise.

    Layers, sites and inputs.
    """
    passing = MOVING | NORMS | AFFINE | {"cat"}
    pending, seen = ([operation] if include else list(operation.inputs)), set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.name in passing:
            pending += current.inputs
        else:
            yield current


def _back(operation: Operation) -> Iterator[Operation]:
    """Yield what it computes elementwise from, without passing a layer.

    The ``x`` of a formula, and its steps.
    """
    pending, seen = list(operation.inputs), set()
    while pending:
        current = pending.pop()
        if current in seen or not current.fed:
            continue
        seen.add(current)
        yield current
        if current.name in FORMULA_STEPS:
            pending += current.inputs


def _peeled(operation: Operation) -> Iterator[Operation]:
    """Yield it and what it scales or shifts: the ``x`` of ``0.5 * x``."""
    yield operation
    while operation.name in AFFINE and _signals(operation) == 1:
        operation = next(source for source in operation.inputs if source.fed)
        yield operation


def _forward(operation: Operation) -> Iterator[Operation]:
    pending, seen = [operation], {operation}
    while pending:
        current = pending.pop()
        yield current
        for consumer in current.consumers:
            if (
                consumer not in seen
                and consumer.name in {"add", "sub", "mul", "div", "tanh"}
                and _signals(consumer) <= 1
            ):
                seen.add(consumer)
                pending.append(consumer)


def _downstream(operation: Operation) -> Iterator[Operation]:
    pending, seen = [operation], {operation}
    while pending:
        for consumer in pending.pop().consumers:
            if consumer not in seen:
                seen.add(consumer)
                pending.append(consumer)
                yield consumer


def _upstream_has(operation: Operation, sought: Operation) -> bool:
    pending, seen = [operation], {operation}
    while pending:
        current = pending.pop()
        if current is sought:
            return True
        for source in current.inputs:
            if source not in seen and source.order >= sought.order:
                seen.add(source)
                pending.append(source)
    return False


def producers(operation: Operation) -> list[Operation]:
    """Return the nearest layers upstream of a site, in the order they ran: what feeds it."""
    pending, seen, found = list(operation.inputs), set(), []
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.is_layer:
            found.append(current)
        else:
            pending += current.inputs
    return sorted(found, key=lambda each: each.order)


def without_graph(name: str, next_is_layer: bool) -> str:
    """Return why a module is taken for a gate where nothing could be traced.

    From its name and its neighbours alone.
    """
    if name in NORMALISED:
        return f"{name}: weights that sum to one"
    if name in SQUASHING and not next_is_layer:
        return f"a {name} whose use is not known without an example input"
    return ""
