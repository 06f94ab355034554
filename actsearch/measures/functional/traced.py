"""The graph of a model's forward pass, and what kinds of operation stand in it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from typing_extensions import override

from actsearch.errors import InvalidValueError

KEPT = {
    "contiguous",
    "flatten",
    "mean",
    "neg",
    "permute",
    "reshape",
    "squeeze",
    "transpose",
    "unsqueeze",
    "view",
}
"""Linear operations under which no distance grows."""

SUMS = {"add", "iadd", "sub", "isub"}

SHAPE_QUERIES = {"dim", "getattr", "numel", "size"}
"""Operations whose results do not depend on values."""

KEEPING = (
    nn.Flatten,
    nn.Identity,
    nn.Unflatten,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
)
"""Layers that in evaluation are linear, and under which no distance grows."""

AVERAGE_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class _Tracer(fx.Tracer):
    def __init__(self, leaves: Collection[str]) -> None:
        super().__init__()
        self.leaves = leaves

    @override
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.leaves or super().is_leaf_module(
            m, module_qualified_name
        )


def traced(model: nn.Module, leaves: Collection[str], example: Any, what: str) -> fx.Graph:
    """Return the graph of a forward pass, with the shape of each result.

    Args:
        model: in evaluation mode.
        leaves: paths of the modules that are not looked into.
        example: one input of the model, or a tuple of several arguments.
        what: needs the graph; begins the message.

    Raises:
        InvalidValueError: a forward that does not trace.
    """
    try:
        graph = _Tracer(leaves).trace(model)
        arguments = example if isinstance(example, tuple) else (example,)
        with torch.no_grad():
            ShapeProp(fx.GraphModule(model, graph)).propagate(*arguments)
    except Exception as error:  # control flow on values, or anything that a model's code raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InvalidValueError(
            f"{what} must have a forward that torch.fx traces, but got {reason}"
        ) from None
    return graph


def operation(node: fx.Node) -> str:
    """Return the plain name of a function or method that a node calls."""
    target: Any = node.target
    return (target if isinstance(target, str) else target.__name__).strip("_")
