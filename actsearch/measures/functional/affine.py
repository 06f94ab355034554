"""Whether a model is affine between places where elementwise functions act."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import fx, nn

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.traced import (
    AVERAGE_POOLS,
    BATCH_NORMS,
    CONVOLUTIONS,
    KEEPING,
    KEPT,
    SHAPE_QUERIES,
    SUMS,
    operation,
    traced,
)

_LINEAR = {*KEPT, *SUMS, "cat", "concat", "expand", "getitem", "stack", "sum"}
_LINEAR_IN_FIRST = {"avg_pool2d", "conv1d", "conv2d", "div", "linear", "matmul", "truediv"}
_LAYERS = (nn.Linear, *CONVOLUTIONS, *KEEPING, *AVERAGE_POOLS)


def check_affine(model: nn.Module, leaves: Collection[str], example: Any, what: str) -> None:
    """Raise where a model is not affine between the modules at ``leaves``.

    Args:
        model: in evaluation mode; :mod:`torch.fx` must trace its forward.
        leaves: paths of the modules that act elementwise.
        example: one input of the model.
        what: asks for it; begins the message.

    Raises:
        InvalidValueError: a forward that does not trace, or whose result is not one tensor; a layer
            or an operation that is not affine, with its place.

    >>> import torch
    >>> check_affine(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), ["1"], torch.zeros(1, 2), "a count")
    """
    depends: set[fx.Node] = set()  # on the input
    for node in traced(model, leaves, example, what).nodes:
        sources = [source for source in node.all_input_nodes if source in depends]
        if node.op == "placeholder":
            depends.add(node)
        elif node.op == "output":
            if not isinstance(node.args[0], fx.Node):
                raise InvalidValueError(f"{what} must have one output, but got {node.args[0]!r}.")
        elif sources and (node.op == "call_module" or operation(node) not in SHAPE_QUERIES):
            depends.add(node)
            _check_node(node, sources, model, leaves, what)


def _check_node(
    node: fx.Node, sources: list[fx.Node], model: nn.Module, leaves: Collection[str], what: str
) -> None:
    if node.op == "call_module":
        where = str(node.target)
        layer = model.get_submodule(where)
        affine, called = where in leaves or _is_affine_layer(layer), type(layer).__name__
    else:
        where, affine, called = node.name, _is_affine(node, sources), operation(node)
    if not affine:
        raise InvalidValueError(
            f"{what} must see piecewise linear activations at sites and affine layers between them,"
            f" but got {called} at {where!r}. Replace it, or choose another model."
        )


def _is_affine_layer(layer: nn.Module) -> bool:
    if isinstance(layer, BATCH_NORMS):
        return layer.running_var is not None
    return isinstance(layer, _LAYERS)


def _is_affine(node: fx.Node, sources: list[fx.Node]) -> bool:
    """Whether a called function or method is affine in what depends on the input."""
    name = operation(node)
    if name in ("mul", "imul"):
        return len(sources) == 1 and node.args[0] is not node.args[1]
    if name in _LINEAR_IN_FIRST:
        return sources == [node.args[0]]
    return name in _LINEAR
