"""A module's forward pass as a list of tensor operations, what is constant in it computed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import prod
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.fx.node import map_arg

from actsearch.errors import ExportError

aten = torch.ops.aten
WRITTEN_WHOLE = (
    aten.linear.default,
    aten.gelu.default,
    aten.silu.default,
    aten.mish.default,
    aten.softplus.default,
    aten.log_sigmoid_forward.default,
    aten.elu.default,
    aten.leaky_relu.default,
    aten.hardtanh.default,
    aten.hardshrink.default,
    aten.softshrink.default,
    aten.threshold.default,
)
"""Operations that are written as a whole, where their parts would lose digits or time."""

TAKEN_APART = (
    aten.native_layer_norm.default,
    aten.native_group_norm.default,
    aten._softmax.default,
    aten._log_softmax.default,
    aten.addmm.default,
    aten.log_sigmoid.default,
)
"""Operations that are written by their parts, though torch keeps them whole."""

FILLED: Mapping[Any, float] = MappingProxyType(
    {aten.zeros_like.default: 0, aten.ones_like.default: 1, aten.full_like.default: 0}
)
"""Operations that take a shape alone, and what they fill it with."""


@dataclass(frozen=True)
class TracedStep:
    """One operation.

    Args:
        node: in torch's graph; ``node.meta["val"]`` has its shape and dtype.
        place: path of the module that it belongs to; empty for the model's own.
    """

    node: Node
    place: str


@dataclass(frozen=True)
class Traced:
    """A forward pass of one sample.

    Args:
        inputs: the nodes that are given.
        constants: values of nodes that depend on none of them.
        steps: operations on what depends on the inputs, in order.
        outputs: the nodes that are returned.
    """

    inputs: tuple[Node, ...]
    constants: dict[Node, Tensor]
    steps: tuple[TracedStep, ...]
    outputs: tuple[Node, ...]


class _Forward(nn.Module):
    """A model without what Lightning adds to it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Any:
        return self.model(*inputs)


@contextmanager
def exportable(model: nn.Module) -> Iterator[nn.Module]:
    """Yield a model as torch's exporters take it: in evaluation mode, on its own, quietly.

    Raises:
        ExportError: they fail; the reason is the first line of theirs.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export")]
    levels = [logger.level for logger in loggers]
    modes = [(part, part.training) for part in model.modules()]
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters, about themselves
        try:
            model.eval()
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield _Forward(model)
        except ExportError:
            raise
        except Exception as error:  # the model's own code, seen by torch
            cause = error.__cause__ or error
            reason = next(iter(str(cause).strip().splitlines()), "no reason given")
            raise ExportError(
                "forward must be a fixed sequence of tensor operations to be exported, but got"
                f" {type(cause).__name__}: {reason}"
            ) from error
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            for part, training in modes:
                part.training = training


def trace(model: nn.Module, inputs: Sequence[Tensor]) -> Traced:
    """Return the operations of a model in evaluation mode on one sample.

    Args:
        model: any module.
        inputs: of its forward, each with one sample ``(1, *)``.

    Raises:
        ExportError: its forward is no fixed sequence of operations.
    """
    with exportable(model) as forward:
        program = torch.export.export(forward, tuple(inputs), strict=False)
        return _folded(program.run_decompositions(dict(_decompositions())))


@cache
def _decompositions() -> Mapping[Any, Any]:
    table = torch.export.default_decompositions()
    for kept in WRITTEN_WHOLE:
        table.pop(kept, None)
    taken_apart = torch._decomp.get_decompositions(TAKEN_APART)
    own = {
        aten._native_batch_norm_legit_no_training.default: _batch_norm,
        aten.var_mean.correction: _variance_and_mean,
        aten._safe_softmax.default: lambda x, dim, dtype=None: torch.softmax(x, dim, dtype),
        aten.var.correction: lambda *args, **options: _variance_and_mean(*args, **options)[0],
    }
    return {**table, **taken_apart, **own}


def _batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor,
    momentum: float, eps: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """One multiplication and one addition: what is measured in training is constant here."""
    scale = torch.rsqrt(variance + eps) if weight is None else weight * torch.rsqrt(variance + eps)
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (1, -1, *[1] * (x.ndim - 2))
    return x * scale.view(shape) + shift.view(shape), mean.new_empty(0), mean.new_empty(0)


def _variance_and_mean(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float = 1, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    dims = list(range(x.ndim)) if dim is None else list(dim)
    count = prod(x.shape[one] for one in dims)
    mean = x.mean(dims, keepdim=True)
    total = (x - mean).square().sum(dims, keepdim=keepdim)
    return total / (count - correction), mean if keepdim else mean.squeeze(dims)


def _folded(program: torch.export.ExportedProgram) -> Traced:
    signature = program.graph_signature
    held = {**program.state_dict, **program.constants}
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    given: list[Node] = []
    constants: dict[Node, Any] = {}
    steps: list[TracedStep] = []
    outputs: tuple[Node, ...] = ()
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if node.name in names:
                constants[node] = held[names[node.name]].detach()
            else:
                given.append(node)
        elif node.op == "output":
            outputs = tuple(one for one in node.args[0] if isinstance(one, Node))
        elif node.op == "call_function" and node.target is aten._assert_tensor_metadata.default:
            continue  # checked by tracing
        elif node.target in FILLED:
            like = node.meta["val"]
            fill: Any = FILLED[node.target] if len(node.args) < 2 else node.args[1]
            constants[node] = torch.full(tuple(like.shape), fill, dtype=like.dtype)
        elif all(one in constants for one in node.all_input_nodes):
            constants[node] = _value(node, constants)
        else:
            steps.append(TracedStep(node, _place(node)))
    own = outputs[len(outputs) - len(signature.user_outputs) :]  # before them: changed buffers
    return Traced(tuple(given), constants, tuple(steps), own)


def _value(node: Node, constants: dict[Node, Any]) -> Any:
    found: Any = map_arg((node.args, dict(node.kwargs)), constants.__getitem__)
    args, kwargs = found
    if node.target is aten._to_copy.default and args[0].dtype == torch.int8:
        return args[0]  # kept in its bytes: C converts as it reads
    return node.target(*args, **kwargs)  # type: ignore[operator]  # the operation itself


def _place(node: Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path: str = stack[-1][0] if stack else ""
    return path.removeprefix("L['self'].").removeprefix("model").lstrip(".")
