"""A bound on the Lipschitz constant of a network, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
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

_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, *AVERAGE_POOLS)


def lipschitz(model: nn.Module, slopes: Mapping[str, float], example: Any) -> float:
    r"""Return a bound on the Lipschitz constant of a model's output in its first input.

    .. math:: L(g \circ f) \le L(g) \, L(f), \quad L(f + g) \le L(f) + L(g)

    in the Euclidean norm: of a linear layer the spectral norm; of a convolution that of its kernel
    as a matrix, times the root of the number of windows that share an entry; of batch
    normalisation, by its running statistics, the largest scale.

    Args:
        model: in evaluation mode; :mod:`torch.fx` must trace its forward.
        slopes: by path of each module that acts elementwise, :math:`\sup |\varphi'|`.
        example: one input of the model, by which shapes are known.

    Raises:
        InvalidValueError: a forward that does not trace; an operation whose constant is not known.

    >>> layers = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Tanh())
    >>> for layer in layers[::2]:
    ...     _ = nn.init.eye_(layer.weight).data.mul_(3)
    >>> lipschitz(layers, {"1": 1.0, "3": 1.0}, torch.zeros(1, 2))
    9.0
    """
    graph = traced(model, slopes, example, "a certificate")
    bounds: dict[fx.Node, float] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            bounds[node] = 0.0 if bounds else 1.0
        elif node.op == "output":
            break
        elif any(bounds[source] for source in node.all_input_nodes):
            bounds[node] = _of_node(node, model, slopes, bounds)
        else:  # it does not depend on the input
            bounds[node] = 0.0
    (output,) = node.args
    if not isinstance(output, fx.Node):
        raise InvalidValueError(f"a certificate must have one output, but got {output!r}.")
    return bounds[output]


def _of_node(
    node: fx.Node, model: nn.Module, slopes: Mapping[str, float], bounds: Mapping[fx.Node, float]
) -> float:
    """Return the bound after an operation that depends on the input."""
    inputs = [bounds[source] for source in node.all_input_nodes]
    if node.op == "call_module":
        path = str(node.target)
        own = slopes.get(path)
        factor = _of_layer(model.get_submodule(path), path) if own is None else own
        return factor * inputs[0]
    name = operation(node)
    if name in SHAPE_QUERIES:
        return 0.0
    if name in KEPT or (name == "getitem" and _is_plain(node.args[1])):
        return inputs[0]
    if name in SUMS and "alpha" not in node.kwargs and _same_shapes(node, bounds):
        return sum(inputs)
    if name in ("cat", "concat", "stack"):
        return math.hypot(*inputs)
    if name in ("mul", "truediv") and len(inputs) == 1:
        (number,) = (a for a in node.args if isinstance(a, (int, float)))
        return inputs[0] * (abs(number) if name == "mul" else 1 / abs(number))
    raise _unknown(name, node.name)


def _is_plain(index: Any) -> bool:
    """Whether an index takes no entry twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or isinstance(part, (int, slice, type(...))) for part in parts)


def _same_shapes(node: fx.Node, bounds: Mapping[fx.Node, float]) -> bool:
    """Whether nothing that depends on the input is spread over a larger result."""
    results = [node, *(source for source in node.all_input_nodes if bounds[source])]
    return len({result.meta["tensor_meta"].shape for result in results}) == 1


def _of_layer(layer: nn.Module, path: str) -> float:
    """Return the Lipschitz constant of a layer, or a bound on it."""
    if isinstance(layer, KEEPING):
        return 1.0
    if isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward:
        return float(torch.linalg.matrix_norm(layer.weight.detach().double(), 2))
    if isinstance(layer, BATCH_NORMS) and layer.running_var is not None:
        scale = (layer.running_var.double() + layer.eps).rsqrt()
        return float((scale if layer.weight is None else scale * layer.weight.detach()).abs().max())
    if isinstance(layer, CONVOLUTIONS) and layer.padding_mode == "zeros":
        return _of_convolution(layer)
    if isinstance(layer, _POOLS) and _is_disjoint(layer):
        return 1.0
    raise _unknown(type(layer).__name__, path)


def _is_disjoint(pool: Any) -> bool:
    """Whether the windows of a pooling share no entry."""
    whole = pool.kernel_size == pool.stride and getattr(pool, "divisor_override", None) is None
    return whole and getattr(pool, "dilation", 1) == 1


def _of_convolution(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> float:
    kernels = layer.weight.detach().double().view(layer.groups, -1, layer.weight[0].numel())
    windows = 1
    for size, stride, dilation in zip(layer.kernel_size, layer.stride, layer.dilation, strict=True):
        windows *= math.ceil(size / stride) if dilation == 1 else size
    return float(torch.linalg.matrix_norm(kernels, 2).max()) * math.sqrt(windows)


def _unknown(what: str, where: str) -> InvalidValueError:
    return InvalidValueError(
        f"a certificate must have layers of known Lipschitz constant, but got {what} at {where!r}."
        " Choose another model."
    )
