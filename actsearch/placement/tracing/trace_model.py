"""See what a model computes: which tracer, on what, in which mode."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from actsearch.errors import PlacementError
from actsearch.placement.discovery.candidates import SiteCandidate, find_candidates, unshare
from actsearch.placement.torch_internals import has_own_forward, unwrap
from actsearch.placement.tracing.function_mode import run_on_example, run_on_meta
from actsearch.placement.tracing.fx import symbolic, symbolic_parts
from actsearch.placement.tracing.graph import Graph, leaves
from actsearch.placement.tracing.preserve import preserved

# Past these a pass of shapes alone is cheaper than a run.
COSTLY_PARAMETERS = 100_000_000
COSTLY_INPUT_ELEMENTS = 1_000_000

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass
class Trace:
    """What was seen of a model.

    Args:
        graphs: what it does, the most telling first.
        method: how it was seen, as :attr:`Sites.method` says it.
        unseen: what was not seen, each with the reason.
    """

    graphs: list[Graph] = field(default_factory=list)
    method: str = "modules"
    unseen: list[tuple[str, str]] = field(default_factory=list)


def trace_model(model: nn.Module, candidates: dict[str, SiteCandidate], example: Any) -> Trace:
    """Trace a model by every way that adds something, and leave it as it was.

    Args:
        model: the model.
        candidates: what may be a site, by path.
        example: one input; without one, only what :mod:`torch.fx` traces is seen.

    Raises:
        PlacementError: the model cannot run on the example.
    """
    with preserved(model):
        unshare(model, candidates)
        if not has_own_forward(model):
            return _trace_parts(model, candidates)
        arguments = _arguments(model, example) if example is not None else None
        given = _by_name(model, *arguments) if arguments else None
        modes = [symbolic(model.train(mode), candidates, given) for mode in (False, True)]
        graphs = [graph for graph in modes if graph is not None]
        if arguments is not None:
            traces_training = modes[True] is not None
            return _trace_on_example(model, candidates, arguments, graphs, traces_training)
        return Trace(graphs, "fx") if graphs else _trace_parts(model, candidates)


def _trace_on_example(
    model: nn.Module,
    candidates: dict[str, SiteCandidate],
    arguments: Arguments,
    graphs: list[Graph],
    traces_training: bool,
) -> Trace:
    """Add to what was traced symbolically what the model does with an example."""
    trace = Trace(list(graphs), "fx" if graphs else "function mode")
    try:
        shapes = (
            run_on_meta(model.eval(), candidates, *arguments)
            if graphs and _is_costly(model, arguments)
            else None
        )
        trace.graphs.insert(0, shapes or _run_or_explain(model.eval(), candidates, arguments))
    except PlacementError:
        if not any(p.is_meta for p in model.parameters()):
            raise
        # The model reads values, which meta tensors do not have: what traces has to do.
        trace.method = "fx"
    incomplete = not called_paths(trace.graphs).issuperset(candidates)
    if incomplete and not traces_training and not has_steps(model):
        _trace_training(model, candidates, arguments, trace)
    if trace.graphs:
        return trace
    return _trace_parts(model, candidates)


def _trace_training(
    model: nn.Module, candidates: dict[str, SiteCandidate], arguments: Arguments, trace: Trace
) -> None:
    """Add what forward calls while training alone."""
    try:
        trace.graphs.append(run_on_example(model.train(), candidates, *arguments))
    except Exception as error:
        # An example of one item, say, does not do for batch normalisation: it is told, not raised.
        name = type(model).__name__
        trace.unseen.append((name, f"not seen while training: its forward raised {_told(error)}"))


def _trace_parts(model: nn.Module, candidates: dict[str, SiteCandidate]) -> Trace:
    """Trace the parts of a model that trace alone, and say what those are that do not."""
    graphs, failed = symbolic_parts(model.eval(), candidates)
    names = list(dict.fromkeys([type(model).__name__, *failed]))
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    why = f"not traced without an example_input: functional calls in {shown} are not seen"
    return Trace(graphs, "fx in parts" if graphs else "modules", [(names[0], why)])


def trace_whole(model: nn.Module, example_input: Any = None) -> Graph:
    """Return one forward pass of the whole model as a graph.

    By :mod:`torch.fx`, else by running the example.

    Raises:
        PlacementError: the model does not trace, and there is no example to run.
    """
    model = unwrap(model)
    candidates = find_candidates(model)
    with preserved(model):
        unshare(model, candidates)
        arguments = _arguments(model, example_input) if example_input is not None else None
        given = _by_name(model, *arguments) if arguments else None
        graph = symbolic(model.eval(), candidates, given)
        if graph is None and arguments is not None:
            graph = _run_or_explain(model, candidates, arguments)
    if graph is not None:
        return graph
    raise PlacementError(
        f"{type(model).__name__} must be run to see what feeds what, because it does not trace,"
        f" but got example_input={example_input!r}. Pass an input."
    )


def has_steps(model: nn.Module) -> bool:
    """Return whether a model is a LightningModule.

    Its training step may call parts that forward does not.
    """
    return any(kind.__name__ == "LightningModule" for kind in type(model).__mro__)


def called_paths(graphs: Iterable[Graph]) -> set[str]:
    """Return the paths of the modules and attributes that were called."""
    return {call.key for graph in graphs for call in graph.calls if not call.functional}


def _run_or_explain(
    model: nn.Module, candidates: dict[str, SiteCandidate], arguments: Arguments
) -> Graph:
    try:
        return run_on_example(model, candidates, *arguments, guess=True)
    except Exception as error:  # the model's own code: told with its cause
        raise PlacementError(
            f"example_input must be an input that {type(model).__name__} runs on, but it raised"
            f" {_told(error)}. Pass one tensor, a tuple of arguments, or a mapping of keyword"
            " arguments."
        ) from error


def _told(error: Exception) -> str:
    """Return an error of a model's own code in one line."""
    return next(iter(f"{type(error).__name__}: {error}".splitlines())).rstrip(".")


def _is_costly(model: nn.Module, arguments: Arguments) -> bool:
    elements = sum(value.numel() for value in leaves(arguments))
    parameters = sum(p.numel() for p in model.parameters())
    return parameters > COSTLY_PARAMETERS or elements > COSTLY_INPUT_ELEMENTS


def _arguments(model: nn.Module, example: Any) -> Arguments:
    """Return the example as arguments, on the model's device and in its precision."""
    like = next((p for p in model.parameters() if p.is_floating_point()), None)

    def fit(value: Any) -> Any:
        if isinstance(value, Tensor):
            if like is None:
                return value.detach()
            precision = like.dtype if value.is_floating_point() else value.dtype
            return value.detach().to(device=like.device, dtype=precision)
        if isinstance(value, Mapping):
            return {key: fit(item) for key, item in value.items()}
        return type(value)(fit(item) for item in value) if type(value) in (list, tuple) else value

    example = fit(example)
    if isinstance(example, Mapping):
        return (), dict(example)
    return (tuple(example), {}) if isinstance(example, (tuple, list)) else ((example,), {})


def _by_name(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    try:
        return dict(inspect.signature(model.forward).bind(*args, **kwargs).arguments)
    except TypeError:  # it does not fit: told when it is run
        return None
