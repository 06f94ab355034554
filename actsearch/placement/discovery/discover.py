"""Find every site of a model: candidates by its modules, what really runs by a trace, gates by what comes of it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from actsearch.errors import PlacementError
from actsearch.placement.discovery.candidates import Candidate, find_candidates, separate
from actsearch.placement.discovery.collect import Collector, Place, has_steps, keys, missed_by
from actsearch.placement.site import Sites
from actsearch.placement.tracing.function_mode import run, run_on_meta
from actsearch.placement.tracing.fx import symbolic, symbolic_parts
from actsearch.placement.tracing.graph import Graph, leaves
from actsearch.placement.tracing.recorder import preserved

COSTLY = (
    100_000_000,
    1_000_000,
)  # parameters, input elements: past these, shapes alone are cheaper than a run


@dataclass
class Discovery:
    """The sites of a model with their places, and the order in which each owner calls each of its own.

    Args:
        sites: what the user is told.
        places: by site name.
        sequences: by owner and key, the index of the site of each call in one execution of the
            owner.
    """

    sites: Sites
    places: dict[str, Place]
    sequences: dict[tuple[str, str], tuple[int, ...]]


def find_sites(
    model: nn.Module,
    example_input: Any = None,
    include_gates: bool = False,
    called: Collection[str] | None = None,
) -> Sites:
    """Find the places of a model where an activation acts.

    Modules, functional calls, callables held as attributes and shared instances (each call a site)
    are found by :mod:`torch.fx` where the model traces, by a function mode on the example where it
    does not, by those parts that trace and by the modules alone where neither can be;
    :attr:`Sites.method` says which. The model is left as it was.

    A module that forward never calls is protected, where all of forward was seen; not so in a
    LightningModule, whose training step may call it, unless ``called`` tells. A :class:`Site` stays
    open.

    Args:
        model: any module; what Lightning, ``torch.compile`` or DDP wrapped is looked into. ``meta``
            tensors will do.
        example_input: one input of the model, a tuple or a mapping of several; with it, elements
            and channels are measured. A LightningModule's ``example_input_array`` is taken where
            none is given.
        include_gates: make gates (squeeze-and-excitation, attention, GLU, output heads) open sites
            of kind ``"gate"``.
        called: paths of the modules that were seen running, in a training step, say: what is not
            among them, and is not called by forward either, is protected.

    Raises:
        PlacementError: the model cannot run on the example input.
    """
    return discover(model, example_input, include_gates, called=called).sites


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside ``torch.compile`` and (Distributed) DataParallel."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(
            model, (nn.DataParallel, nn.parallel.DistributedDataParallel)
        ):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def discover(
    model: nn.Module,
    example_input: Any = None,
    include_gates: bool = False,
    only: Collection[str] | None = None,
    called: Collection[str] | None = None,
) -> Discovery:
    """Find the sites with their places; :func:`find_sites` is the public face.

    Args:
        model: as for :func:`find_sites`.
        example_input: as there.
        include_gates: as there.
        only: names of the sites that are of interest; nothing is traced where the model marks all
            of them itself.
        called: as there.
    """
    model = unwrap(model)
    if example_input is None:
        example_input = getattr(model, "example_input_array", None)
    candidates = find_candidates(model)
    originals = {path: candidate.module for path, candidate in candidates.items()}
    marked = {path for path, candidate in candidates.items() if candidate.kind == "site"}
    needless = only is not None and example_input is None and marked.issuperset(only)
    graphs, method, failed = (
        ([], "modules", []) if needless else _trace(model, candidates, example_input)
    )
    found = Collector(model, candidates, originals, graphs, include_gates, called)
    places = found.places()
    sites = [place.site for place in places]
    missed = missed_by(model, graphs, found.refused)
    if failed:
        shown = ", ".join(failed[:4]) + (", ..." if len(failed) > 4 else "")
        missed.append(
            (
                failed[0],
                f"not traced without an example_input: functional calls in {shown} are not seen",
            )
        )
    return Discovery(
        Sites(sites, method, missed), {p.site.name: p for p in places}, found.sequences
    )


def _trace(
    model: nn.Module, candidates: dict[str, Candidate], example: Any
) -> tuple[list[Graph], str, list[str]]:
    """Return what was traced, the most telling first, the name of the method, and the classes that did not trace."""
    if not _defines_forward(model):
        example = None
    with preserved(model):
        separate(model, candidates)
        arguments = _arguments(model, example) if example is not None else None
        graphs: list[Graph] = []
        modes: list[Graph | None] = [None, None]
        if _defines_forward(model):
            given = _bound(model, *arguments) if arguments else None
            modes = [symbolic(model.train(mode), candidates, given) for mode in (False, True)]
            graphs += [graph for graph in modes if graph is not None]
        method = "fx" if graphs else "function mode"
        if arguments is not None:
            costly = (
                sum(p.numel() for p in model.parameters()) > COSTLY[0]
                or _elements(arguments) > COSTLY[1]
            )
            shapes = (
                run_on_meta(model.eval(), candidates, *arguments) if graphs and costly else None
            )
            try:
                graphs.insert(0, shapes or _run(model.eval(), candidates, *arguments))
            except PlacementError:
                if not any(p.is_meta for p in model.parameters()):
                    raise
                method = (  # the model reads values, which meta tensors do not have: what traces has to do
                    "fx"
                )
            if (
                modes[True] is None
                and not has_steps(model)
                and not keys(graphs).issuperset(candidates)
            ):
                # What forward calls while training alone. An example may not do for that, such as
                # one of a single item.
                with contextlib.suppress(Exception):
                    graphs.append(run(model.train(), candidates, *arguments))
        if graphs:
            return graphs, method, []
        graphs, failed = symbolic_parts(model.eval(), candidates)
        return graphs, "fx in parts" if graphs else "modules", failed


def _run(
    model: nn.Module,
    candidates: dict[str, Candidate],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Graph:
    try:
        return run(model, candidates, args, kwargs, guess=True)
    except Exception as error:  # the model's own code: told with its cause
        text = next(iter(f"{type(error).__name__}: {error}".splitlines())).rstrip(".")
        raise PlacementError(
            f"example_input must be an input that {type(model).__name__} runs on, but it raised"
            f" {text}. Pass one tensor, a tuple of arguments, or a mapping of keyword arguments."
        ) from error


def _elements(arguments: Any) -> int:
    return sum(value.numel() for value in leaves(arguments))


def trace(model: nn.Module, example_input: Any = None) -> Graph:
    """Return one forward pass of the whole model as a graph: by :mod:`torch.fx`, else by running the example.

    Raises:
        PlacementError: the model does not trace, and there is no example to run.
    """
    model = unwrap(model)
    candidates = find_candidates(model)
    with preserved(model):
        separate(model, candidates)
        arguments = _arguments(model, example_input) if example_input is not None else None
        given = _bound(model, *arguments) if arguments else None
        graph = symbolic(model.eval(), candidates, given)
        if graph is None and arguments is not None:
            graph = _run(model, candidates, *arguments)
    if graph is None:
        raise PlacementError(
            f"{type(model).__name__} must be run to see what feeds what, because it does not trace,"
            f" but got example_input={example_input!r}. Pass an input."
        )
    return graph


def _defines_forward(model: nn.Module) -> bool:
    home = getattr(type(model).forward, "__qualname__", "")
    return home != "_forward_unimplemented" and home != "LightningModule.forward"


def _arguments(model: nn.Module, example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the example as arguments, on the model's device and in its precision."""
    tensors = next((p for p in model.parameters() if p.is_floating_point()), None)

    def fit(value: Any) -> Any:
        if isinstance(value, Tensor):
            if tensors is None:
                return value.detach()
            precision = tensors.dtype if value.is_floating_point() else value.dtype
            return value.detach().to(device=tensors.device, dtype=precision)
        if isinstance(value, Mapping):
            return {key: fit(item) for key, item in value.items()}
        return type(value)(fit(item) for item in value) if type(value) in (list, tuple) else value

    example = fit(example)
    if isinstance(example, Mapping):
        return (), dict(example)
    return (tuple(example), {}) if isinstance(example, (tuple, list)) else ((example,), {})


def _bound(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    try:
        return dict(inspect.signature(model.forward).bind(*args, **kwargs).arguments)
    except TypeError:
        return None
