"""From calls to sites: name them, measure them, and say which were missed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actsearch.activations import from_spec
from actsearch.activations.base import Activation
from actsearch.placement.discovery import gates
from actsearch.placement.discovery.candidates import Candidate, Held
from actsearch.placement.discovery.naming import block_of, stage_of
from actsearch.placement.discovery.torch_functions import specification
from actsearch.placement.replacement.dispatch import Route
from actsearch.placement.site import FoundSite, Kind, Site
from actsearch.placement.tracing.graph import Call, Graph, Node
from actsearch.placement.tracing.recorder import FUSED


@dataclass
class Place:
    """Where a site is in the code: what surgery needs to know beside what the user is told.

    Args:
        site: what the user is told.
        owner: path of the module that makes the call.
        key: path of the module or attribute called, or the name of the function.
        functional: whether it is a function call.
        index: which of the sites of that owner and key it is.
        write_back: whether the result must be written into the input.
        standing: what stands there now, as a module, where it is one; else ``parameters`` of the
            function.
    """

    site: FoundSite
    owner: str
    key: str
    functional: bool = False
    index: int = 0
    write_back: bool = False
    standing: nn.Module | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def function(self) -> Callable[[Tensor], Any] | None:
        """Return what stands at the site as a function of one tensor.

        ``None`` where it cannot be evaluated alone.
        """
        standing: Any = (
            self.standing.activation if isinstance(self.standing, Site) else self.standing
        )
        if isinstance(standing, Held):
            standing = standing.function
        if standing is None and self.functional:
            standing = functools.partial(
                getattr(F, self.key, None) or getattr(torch, self.key), **self.parameters
            )
        try:
            with torch.no_grad():
                own = next(standing.parameters(), None) if isinstance(standing, nn.Module) else None
                y = standing(torch.zeros(3) if own is None else torch.zeros(3).to(own))
        except (
            RuntimeError,
            ValueError,
            TypeError,
            NotImplementedError,
        ):  # it needs its own shape, such as channels
            return None
        return None if not isinstance(y, Tensor) or y.is_meta or y.shape != (3,) else standing

    def holds(self, module: Activation) -> bool:
        """Return whether what stands there is this activation already, its learned values included."""
        if (
            not self.site.specification
            or from_spec(self.site.specification).spec() != module.spec()
        ):
            return False
        standing = self.standing.activation if isinstance(self.standing, Site) else self.standing
        if not isinstance(standing, Activation):
            return True  # a function of torch at these parameters
        now, then = standing.state_dict(), module.state_dict()
        return all(torch.equal(now[key].to(then[key]), then[key]) for key in then)


NEVER_CALLED = "never called: left alone"


class Collector:
    """Turn calls into sites: name them, measure them, and tell gates apart.

    Args:
        model: the model.
        candidates: its modules and callable attributes that may be sites, by path.
        originals: what stood at these paths before they were separated.
        graphs: what ran, the most telling first.
        include_gates: make gates open sites.
        called: paths of modules that ran elsewhere; where not given and a model has steps of its
            own beside forward, what forward does not call is not known to be unused.
    """

    def __init__(
        self,
        model: nn.Module,
        candidates: dict[str, Candidate],
        originals: dict[str, nn.Module],
        graphs: list[Graph],
        include_gates: bool,
        called: Collection[str] | None = None,
    ) -> None:
        self.model = model
        self.candidates = candidates
        self.originals = originals
        self.graphs = graphs
        self.include_gates = include_gates
        self.called = called
        self.sequences: dict[tuple[str, str], tuple[int, ...]] = {}
        self.refused: list[tuple[str, str]] = []
        self.modules = dict(model.named_modules())

    def places(self) -> list[Place]:
        """Return every site, in the order of the forward pass; what never ran comes last."""
        found: dict[str, Place] = {}
        for graph in self.graphs:
            for place in self._of_graph(graph):
                if place.site.name not in found:
                    found[place.site.name] = place
        called = {place.key for place in found.values() if not place.functional}
        ran = any(graph.whole for graph in self.graphs)
        unused = self._unused(ran)
        for path, candidate in self.candidates.items():
            known = (
                path in called
                or candidate.site_name in found
                or any(twin in called for twin in candidate.twins)
            )
            if not known:
                found[candidate.site_name] = self._never_ran(candidate, ran, path in unused)
        if ran:
            return list(found.values())
        order = {
            path: number for number, path in enumerate(self.modules)
        }  # parts do not say which runs first
        return sorted(
            found.values(), key=lambda place: order.get(place.key, order.get(place.owner, 0))
        )

    def _unused(self, ran: bool) -> set[str]:
        """Return the paths of the candidates that are known not to be called."""
        if self.called is None and (
            not ran or has_steps(self.model) or any(graph.guessed for graph in self.graphs)
        ):
            return set()
        seen = keys(self.graphs).union(self.called or ())
        unused = {
            path
            for path, c in self.candidates.items()
            if c.kind != "site" and seen.isdisjoint((path, *c.twins))
        }
        if self.called is None:
            return unused
        # No hook sees a call of an attribute; that its owner ran is all that can be known.
        owners = {
            path: path.rpartition(".")[0]
            for path in unused
            if self.candidates[path].kind == "attribute"
        }
        return {
            path
            for path in unused
            if path not in owners or (owners[path] and owners[path] not in seen)
        }

    def _of_graph(self, graph: Graph) -> list[Place]:
        grouped: dict[tuple[str, str, bool], dict[int, list[Call]]] = {}
        for call in graph.calls:
            if gates.is_formula(call):
                continue
            key, functional = self._key(call)
            grouped.setdefault((call.owner, key, functional), {}).setdefault(
                call.execution, []
            ).append(call)
        places = []
        for (owner, key, functional), executions in grouped.items():
            indices = {number: _indices(calls) for number, calls in executions.items()}
            longest = max(indices.values(), key=len)
            if len(longest) > len(self.sequences.get((owner, key), ())):
                self.sequences[owner, key] = tuple(longest)
            members: dict[int, list[Call]] = {}
            for number, calls in executions.items():
                for index, call in zip(indices[number], calls, strict=True):
                    members.setdefault(index, []).append(call)
            for index, calls in members.items():
                places.append(
                    (
                        calls[0].node.order,
                        self._place(owner, key, functional, index, calls, graph, len(members)),
                    )
                )
        return [place for _, place in sorted(places, key=lambda each: each[0]) if place is not None]

    def _key(self, call: Call) -> tuple[str, bool]:
        """Return the function that a call stands for where surgery has redirected it to a module, else its own key."""
        if call.functional:
            return call.key, True
        holder, _, name = call.key.rpartition(".")
        routes: Mapping[str, Route] = (
            vars(self.modules[holder]).get("_actsearch_routes", {}) if holder == call.owner else {}
        )
        for function, route in routes.items():
            if name in route.sites:
                return function, True
        switch = self._switch(call.key)
        return (switch, False) if switch else (call.key, False)

    def _switch(self, path: str) -> str:
        candidate = self.candidates.get(path)
        return (
            path.rpartition(".")[0] if candidate is not None and candidate.site_name != path else ""
        )

    def _place(
        self,
        owner: str,
        key: str,
        functional: bool,
        index: int,
        calls: list[Call],
        graph: Graph,
        count: int,
    ) -> Place | None:
        first = calls[0]
        candidate = None if first.functional else self.candidates[first.key]
        name = (
            self._functional_name(owner, key, index)
            if functional
            else key + (f"@{index + 1}" if index else "")
        )
        if candidate is not None and candidate.site_name not in (first.key, ""):
            name = candidate.site_name  # behind a switch
        if any(call.checkpointed for call in calls) or (functional and not self._can_hold(owner)):
            why = (
                "inside a checkpointed function"
                if first.checkpointed
                else "its owner runs its children in order"
            )
            self.refused.append((name, f"{why}, so its call cannot be redirected"))
            return None
        if candidate is None:
            label, spec = first.name, specification(first.name, first.parameters)
            kind: Kind = "functional"
        else:
            label, spec = candidate.name, candidate.specification
            shared = candidate.kind == "module" and (count > 1 or len(candidate.twins) > 1)
            kind = "functional" if functional else "shared" if shared else candidate.kind
        marked = candidate is not None and candidate.kind == "site"
        reasons = [] if marked else [gates.reason(call, graph) for call in calls]
        reason = next((each for each in reasons if each), "")
        if reason.startswith(gates.BY_HAND):
            self.refused.append((name, f"{reason}. Write it as one call, or as a Site"))
            return None
        channels, dim = _channels(first.node)
        elements = (
            sum(call.elements for call in calls if call.elements is not None)
            if first.elements is not None
            else None
        )
        block = block_of(self.model, name)
        site = FoundSite(
            name=name, kind="gate" if reason else kind, activation=label, specification=spec,
            requires=candidate.requires if candidate else "", block=block, stage=stage_of(block) if block else "",
            depth=first.node.depth, channels=channels, channel_dim=dim, elements=elements,
            protected=bool(reason) and not self.include_gates, reason=reason,
        )  # fmt: skip
        back = any(call.inplace and call.aliased for call in calls)
        standing = self.originals.get(first.key) if candidate is not None else None
        return Place(site, owner, key, functional, index, back, standing, first.parameters)

    def _can_hold(self, owner: str) -> bool:
        return not isinstance(self.modules[owner], (nn.Sequential, nn.ModuleList, nn.ModuleDict))

    def _functional_name(self, owner: str, function: str, index: int) -> str:
        module = self.modules[owner]
        routes: Mapping[str, Route] = vars(module).get("_actsearch_routes", {})
        taken = hasattr(module, function) and not any(
            function in route.sites for route in routes.values()
        )
        last = (f"{function}()" if taken else function) + (f"@{index + 1}" if index else "")
        return f"{owner}.{last}" if owner else last

    def _never_ran(self, candidate: Candidate, traced: bool, unused: bool) -> Place:
        path = candidate.path
        gate = ""
        if candidate.kind != "site" and not unused:
            gate = gates.without_graph(candidate.name, self._before_layer(path))
        channels, dim = self._channels_before(path)
        block = block_of(self.model, path)
        kind: Kind = "shared" if len(candidate.twins) > 1 else candidate.kind
        site = FoundSite(
            name=candidate.site_name or path, kind="gate" if gate else kind, activation=candidate.name,
            specification=candidate.specification, requires=candidate.requires, block=block,
            stage=stage_of(block) if block else "", channels=channels, channel_dim=dim, elements=0 if traced else None,
            protected=unused or (bool(gate) and not self.include_gates), reason=NEVER_CALLED if unused else gate,
        )  # fmt: skip
        return Place(
            site,
            path.rpartition(".")[0],
            path,
            write_back=candidate.inplace,
            standing=self.originals[path],
        )

    def _before_layer(self, path: str) -> bool:
        """Return whether a layer with weights follows in the same sequence."""
        parent = self.modules[path.rpartition(".")[0]]
        if not isinstance(parent, nn.Sequential):
            return False
        names = list(parent._modules)
        after = names[names.index(path.rpartition(".")[2]) + 1 :]
        return any(p.ndim >= 2 for name in after for p in parent.get_submodule(name).parameters())

    def _channels_before(self, path: str) -> tuple[int | None, int]:
        """Return the width of the last layer before a path in the module tree, and the dimension it runs over."""
        width, dim = None, 1
        for other, module in self.modules.items():
            if other == path:
                break
            found = getattr(module, "out_channels", None) or getattr(module, "out_features", None)
            if isinstance(found, int):
                width, dim = found, 1 if hasattr(module, "out_channels") else -1
        return width, dim


def has_steps(model: nn.Module) -> bool:
    """Return whether a model is a LightningModule, whose training step may call parts that forward does not."""
    return any(kind.__name__ == "LightningModule" for kind in type(model).__mro__)


def keys(graphs: Iterable[Graph]) -> set[str]:
    """Return the paths of the modules and attributes that were called."""
    return {call.key for graph in graphs for call in graph.calls if not call.functional}


def _indices(calls: list[Call]) -> list[int]:
    """Return the site of each call: one for each place in the code and each set of layers that feeds it there."""
    known: dict[Hashable, int] = {}
    result = []
    for number, call in enumerate(calls):
        feeders = frozenset(
            weight for layer in gates.producers(call.node) for weight in layer.weights
        )
        token: Hashable = (call.location, feeders) if call.location or feeders else number
        result.append(known.setdefault(token, len(known)))
    return result


_CONVOLUTIONS = (
    "conv",
    "batch_norm",
    "instance_norm",
    "group_norm",
    "batchnorm",
    "instancenorm",
    "groupnorm",
)


def _channels(node: Node) -> tuple[int | None, int]:
    """Return the size and the dimension of a site's channels, from the layer that feeds it."""
    shape = node.shape
    feeders = gates.producers(node)
    last = feeders[-1] if feeders else None
    if last is None:
        return (None, 1) if not shape else (shape[-1], -1) if len(shape) <= 3 else (shape[1], 1)
    dim = 1 if last.name.startswith(_CONVOLUTIONS) else -1
    width = last.width or (last.shape[dim] if last.shape and len(last.shape) >= 2 else None)
    if not shape or len(shape) < 2:
        return (shape[0], 0) if shape else (width, dim)
    if width is not None and shape[dim] != width:
        others = [d for d, size in enumerate(shape) if size == width and d > 0]
        dim = (others[0] if others[0] < len(shape) - 1 else -1) if len(others) == 1 else dim
    return shape[dim], dim


def missed_by(
    model: nn.Module, graphs: list[Graph], refused: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return the nonlinearities that run but cannot be replaced, each once."""
    missed: dict[tuple[str, str], None] = {}
    for name, module in model.named_modules():
        if isinstance(module, FUSED):
            inner = (
                "tanh"
                if isinstance(module, (nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell))
                else module.nonlinearity
            )
            kind = type(module).__name__
            missed[
                name,
                f"{inner} inside the fused nn.{kind}: actsearch.placement.recurrent has {kind} with"
                " a site",
            ] = None
        elif isinstance(module, torch.jit.ScriptModule):
            missed[name, "compiled by TorchScript: find and place before compiling"] = None
    for graph in graphs:
        missed.update(dict.fromkeys(graph.unseen))
    missed.update(dict.fromkeys(refused))
    return list(missed)
