"""A bound on the Lipschitz constant of a network, layer by layer."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from typing_extensions import TypeIs

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.operator_norm import ConvolutionLayer, operator_norm
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

_ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, *AVERAGE_POOLS)


def lipschitz(model: nn.Module, slopes: Mapping[str, float], example: Any) -> float:
    r"""Return a bound on the Lipschitz constant of a model's output in its first input.

    .. math:: L(g \circ f) \le L(g) \, L(f), \quad L(f + g) \le L(f) + L(g)

    in the Euclidean norm: of dense layers and convolutions the :func:`.operator_norm`; of batch
    normalisation, by its running statistics, the largest scale, or what it makes of the norm of the
    layer before it.

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
    bounds, output = _walk(model, slopes, example)
    return bounds[output]


def pairwise_lipschitz(model: nn.Module, slopes: Mapping[str, float], example: Any) -> Tensor:
    r"""Return bounds on the Lipschitz constants of all differences of two outputs, ``(C, C)``.

    .. math:: L_{ij} = \|w_i - w_j\|_2 \, L_{<}

    with the rows w of a dense layer that comes last, and the bound :math:`L_<` before it; else
    :math:`\sqrt 2 \, L`, which is never smaller.

    Args:
        model: as for :func:`lipschitz`; its output is ``(N, C)``.
        slopes: as for :func:`lipschitz`.
        example: as for :func:`lipschitz`.

    Raises:
        InvalidValueError: as for :func:`lipschitz`.

    References:
        Globally-Robust Neural Networks, K. Leino, Z. Wang and M. Fredrikson, 2021,
        https://arxiv.org/abs/2102.08452
    """
    bounds, output = _walk(model, slopes, example)
    last = model.get_submodule(str(output.target)) if output.op == "call_module" else None
    if _is_dense(last):
        rows = last.weight.detach().double().cpu()
        lengths: Tensor = torch.linalg.vector_norm(rows[:, None] - rows, dim=-1)
        return bounds[output.all_input_nodes[0]] * lengths
    apart = 1 - torch.eye(_shape(output)[-1], dtype=torch.float64)
    return math.sqrt(2) * bounds[output] * apart


def _walk(
    model: nn.Module, slopes: Mapping[str, float], example: Any
) -> tuple[dict[fx.Node, float], fx.Node]:
    """Return the bound after each operation, and the one that gives the output."""
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
    return bounds, output


def _of_node(
    node: fx.Node, model: nn.Module, slopes: Mapping[str, float], bounds: Mapping[fx.Node, float]
) -> float:
    """Return the bound after an operation that depends on the input."""
    inputs: list[float] = []  # of one that is taken twice, twice
    fx.map_arg((node.args, node.kwargs), lambda source: inputs.append(bounds[source]))
    if node.op == "call_module":
        path = str(node.target)
        if path in slopes:
            return slopes[path] * inputs[0]
        layer = model.get_submodule(path)
        if isinstance(layer, BATCH_NORMS) and layer.running_var is not None:
            return _normalised(node, layer, model, bounds)
        return _of_layer(layer, path, _shape(node.all_input_nodes[0]), _shape(node)) * inputs[0]
    name = operation(node)
    if name in SHAPE_QUERIES:
        return 0.0
    if name in KEPT or (name == "getitem" and _is_plain(node.args[1])):
        return inputs[0]
    if name in SUMS and "alpha" not in node.kwargs and _same_shapes(node, bounds):
        return sum(inputs)
    if name in ("cat", "concat", "stack"):
        return math.hypot(*inputs)
    numbers = [a for a in node.args if isinstance(a, (int, float))]
    if name == "mul" and numbers:
        return inputs[0] * abs(numbers[0])
    if name == "truediv" and numbers == [node.args[1]]:
        return inputs[0] / abs(numbers[0])
    raise _unknown(name, node.name)


def _is_plain(index: Any) -> bool:
    """Whether an index takes no entry twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or isinstance(part, (int, slice, type(...))) for part in parts)


def _same_shapes(node: fx.Node, bounds: Mapping[fx.Node, float]) -> bool:
    """Whether nothing that depends on the input is spread over a larger result."""
    results = [node, *(source for source in node.all_input_nodes if bounds[source])]
    return len({result.meta["tensor_meta"].shape for result in results}) == 1


def _normalised(
    node: fx.Node, norm: Any, model: nn.Module, bounds: Mapping[fx.Node, float]
) -> float:
    """Return the bound after batch normalisation, joined with a weighted layer before it."""
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.detach()
    (before,) = node.all_input_nodes
    apart = bounds[before] * float(scale.abs().max())
    if before.op != "call_module":
        return apart
    layer, (source,) = model.get_submodule(str(before.target)), before.all_input_nodes
    channels_last = _is_dense(layer) and len(_shape(before)) > 1
    if channels_last or not (_is_dense(layer) or _is_convolution(layer)):
        return apart
    return min(apart, bounds[source] * operator_norm(layer, _shape(source), scale))


def _of_layer(layer: nn.Module, path: str, shape: Sequence[int], result: Sequence[int]) -> float:
    """Return the Lipschitz constant of a layer on inputs of a shape, or a bound on it."""
    repeats = isinstance(layer, _ADAPTIVE) and any(map(operator.gt, result, shape))
    if isinstance(layer, KEEPING) and not repeats:
        return 1.0
    if isinstance(layer, _POOLS) and _is_disjoint(layer):
        return 1.0
    if _is_dense(layer) or _is_convolution(layer):
        return operator_norm(layer, shape)
    raise _unknown(type(layer).__name__, path)


def _is_dense(layer: nn.Module | None) -> TypeIs[nn.Linear]:
    return isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward


def _is_convolution(layer: nn.Module) -> TypeIs[ConvolutionLayer]:
    return isinstance(layer, CONVOLUTIONS) and layer.padding_mode == "zeros"


def _shape(node: fx.Node) -> Sequence[int]:
    """Return the shape of one sample of a result."""
    shape: Sequence[int] = node.meta["tensor_meta"].shape[1:]
    return shape


def _is_disjoint(pool: Any) -> bool:
    """Whether the windows of a pooling share no entry."""
    whole = pool.kernel_size == pool.stride and getattr(pool, "divisor_override", None) is None
    return whole and getattr(pool, "dilation", 1) == 1


def _unknown(what: str, where: str) -> InvalidValueError:
    return InvalidValueError(
        f"a certificate must have layers of known Lipschitz constant, but got {what} at {where!r}."
        " Choose another model."
    )
