"""Find every site of a model, and say what was seen but cannot be replaced.

Candidates come from its modules, what really runs from a trace, gates from what comes of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import nn

from actsearch.placement.discovery.candidates import find_candidates
from actsearch.placement.discovery.collect import Collector
from actsearch.placement.discovery.missed import missed_in
from actsearch.placement.discovery.place import Place
from actsearch.placement.site import Sites
from actsearch.placement.torch_internals import unwrap
from actsearch.placement.tracing.trace_model import Trace, trace_model


@dataclass
class Discovery:
    """The sites of a model with their places, and the order in which each owner calls its own.

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

    A functional call and a call of a shared instance is known by the module that makes it and by
    its number among that module's calls of the same function: ``layer1.0.relu@2``. A loop is one
    site, and where it runs longer than what was seen, its shortest repeating end goes on. Where a
    branch calls the function a different number of times, later calls are counted differently:
    mark such a place with a :class:`Site`, which is one site however often it is called.

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
    if only is not None and example_input is None and marked.issuperset(only):
        trace = Trace()
    else:
        trace = trace_model(model, candidates, example_input)
    collector = Collector(model, candidates, originals, trace.graphs, include_gates, called)
    places = {place.site.name: place for place in collector.places()}
    missed = [*missed_in(model, trace.graphs), *collector.refused, *trace.unseen]
    sites = Sites(
        [place.site for place in places.values()], trace.method, list(dict.fromkeys(missed))
    )
    return Discovery(sites, places, collector.sequences)
