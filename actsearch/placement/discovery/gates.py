"""Tell a gate from an activation: by what its result is multiplied with, and by what comes after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from actsearch.placement.discovery.torch_functions import NORMALISED, SQUASHING
from actsearch.placement.tracing.graph import Call, Graph, Node

# Operations that only move or copy elements, or that act as the identity once trained.
MOVING = {
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "swapaxes", "contiguous", "squeeze", "unsqueeze",
    "expand", "expand_as", "repeat", "tile", "broadcast_to", "chunk", "split", "getitem", "unbind", "narrow", "select",
    "to", "type", "type_as", "float", "half", "bfloat16", "double", "clone", "detach", "dropout", "dropout1d",
    "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout", "interpolate", "upsample", "identity", "t", "movedim",
    "rearrange", "size", "getattr", "stochastic_depth", "droppath",
}  # fmt: skip
AFFINE = {
    "add",
    "sub",
    "mul",
    "div",
    "neg",
    "rsub",
}  # with a number or a parameter: the same signal, scaled and shifted
NORMS = {
    "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "batchnorm1d", "batchnorm2d", "batchnorm3d",
    "layernorm", "groupnorm", "instancenorm1d", "instancenorm2d", "instancenorm3d", "rmsnorm", "syncbatchnorm",
    "normalize",
}  # fmt: skip
BY_HAND = "part of an activation written out by hand"
_PARTS = {"sigmoid", "hardsigmoid", "relu6", "tanh", "erf", "softplus", "hardtanh"}


def is_formula(call: Call) -> bool:
    """Return whether a sine or an error function is mere arithmetic (a position, a density): no layer feeds it."""
    return (
        call.functional
        and call.name in ("sin", "erf")
        and not any(source.learned for source in _sources(call.node))
    )


def reason(call: Call, graph: Graph) -> str:
    """Return why a call is a gate and so left alone; empty where it is an ordinary site."""
    node = call.node
    outputs = graph.outputs if graph.whole else set()
    ends = not _reaches(
        node, lambda other: other.learned or other.name in ("matmul", "bmm", "einsum", "baddbmm")
    )
    returned = ends and bool(({node} | set(_downstream(node))) & outputs)
    if call.name in NORMALISED:
        return (
            f"output head: {call.name} after the last layer"
            if returned
            else f"{call.name}: weights that sum to one"
        )
    if not node.fed:
        return "acts on parameters or constants, not on the signal"
    if call.name in _PARTS and (by_hand := _written_by_hand(node)):
        return by_hand
    for product, other in _products(node):
        if call.name in SQUASHING:
            return "gate: multiplies another signal"
        if _is_gated_linear(node, product, other):
            return "gated product: multiplies a linear branch, as in GLU and SwiGLU"
    if returned and call.name in (*SQUASHING, "softplus"):
        return f"output head: {call.name} after the last layer"
    if (
        returned
        and call.name in ("tanh", "hardtanh")
        and len(outputs) == 1
        and set(_through(node)) & outputs
    ):
        return f"output head: {call.name} gives the model's output its range"
    if not graph.whole and call.name in SQUASHING and ends:
        return f"a {call.name} whose use is not known without an example input"
    return ""


def _through(node: Node, moving: bool = True) -> Iterator[Node]:
    """Yield the node and what carries the same signal on, moved, copied, scaled or shifted."""
    pending, seen = [node], {node}
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


def _signals(node: Node) -> int:
    return sum(source.fed for source in node.inputs)


def _products(node: Node) -> Iterator[tuple[Node, Node]]:
    """Yield the products that the signal enters, with the other factor."""
    for carrier in _through(node):
        for consumer in carrier.consumers:
            if consumer.name == "mul" and _signals(consumer) > 1:
                for other in consumer.inputs:
                    if other is not carrier and other.fed:
                        yield consumer, other


def _is_gated_linear(node: Node, product: Node, other: Node) -> bool:
    """Return whether the other factor comes straight from a layer that does not depend on this site."""
    if any(source.call is not None for source in _sources(other, include=True)):
        return False
    straight = [source for source in _sources(other, include=True) if source.learned]
    return bool(straight) and not _upstream_has(other, node)


def _sources(node: Node, include: bool = False) -> Iterator[Node]:
    """Yield the nearest operations upstream that do more than move, scale or normalise: layers, sites, inputs."""
    pending, seen = ([node] if include else list(node.inputs)), set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        if (
            current.name in MOVING
            or current.name in NORMS
            or current.name in AFFINE
            or current.name == "cat"
        ):
            pending += current.inputs
        else:
            yield current


def _written_by_hand(node: Node) -> str:
    """Return what the call is part of where an activation is written out, such as ``x * sigmoid(x)``."""
    origins = set(_back(node))
    for carrier in _forward(node):
        for consumer in carrier.consumers:
            if consumer.name == "mul":
                factors = [other for other in consumer.inputs if other is not carrier and other.fed]
                if any(origins & set(_peeled(other)) for other in factors):
                    return f"{BY_HAND}: x * {node.name}(x)"
    return ""


_ELEMENTWISE = AFFINE | {
    "pow",
    "square",
    "sqrt",
    "exp",
    "log",
    "log1p",
    "tanh",
    "softplus",
    "sigmoid",
    "erf",
    "relu6",
}


def _back(node: Node) -> Iterator[Node]:
    """Yield what the node computes elementwise from, without passing a layer: the ``x`` of a formula and its steps."""
    pending, seen = list(node.inputs), set()
    while pending:
        current = pending.pop()
        if current in seen or not current.fed:
            continue
        seen.add(current)
        yield current
        if current.name in _ELEMENTWISE:
            pending += current.inputs


def _peeled(node: Node) -> Iterator[Node]:
    """Yield the node and what it scales or shifts: the ``x`` of ``0.5 * x``."""
    yield node
    while node.name in AFFINE and _signals(node) == 1:
        node = next(source for source in node.inputs if source.fed)
        yield node


def _forward(node: Node) -> Iterator[Node]:
    pending, seen = [node], {node}
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


def _downstream(node: Node) -> Iterator[Node]:
    pending, seen = [node], {node}
    while pending:
        for consumer in pending.pop().consumers:
            if consumer not in seen:
                seen.add(consumer)
                pending.append(consumer)
                yield consumer


def _reaches(node: Node, test: Callable[[Node], bool]) -> bool:
    return any(test(other) for other in _downstream(node))


def _upstream_has(node: Node, sought: Node) -> bool:
    pending, seen = [node], {node}
    while pending:
        current = pending.pop()
        if current is sought:
            return True
        for source in current.inputs:
            if source not in seen and source.order >= sought.order:
                seen.add(source)
                pending.append(source)
    return False


def producers(node: Node) -> list[Node]:
    """Return the nearest layers upstream of a site, in the order they ran: what feeds it."""
    pending, seen, found = list(node.inputs), set(), []
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.learned:
            found.append(current)
        else:
            pending += current.inputs
    return sorted(found, key=lambda each: each.order)


def without_graph(name: str, next_is_layer: bool) -> str:
    """Return why a module is taken for a gate where nothing could be traced, from names and neighbours alone."""
    if name in NORMALISED:
        return f"{name}: weights that sum to one"
    if name in SQUASHING and not next_is_layer:
        return f"a {name} whose use is not known without an example input"
    return ""
