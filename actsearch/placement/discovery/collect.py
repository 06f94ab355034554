"""From calls to sites: name them, measure them, tell gates apart, and say what is never called."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from actsearch.placement.discovery import gates
from actsearch.placement.discovery.candidates import SiteCandidate
from actsearch.placement.discovery.channels import channels_before, channels_of
from actsearch.placement.discovery.naming import block_of, stage_of
from actsearch.placement.discovery.place import Place
from actsearch.placement.discovery.torch_functions import specification
from actsearch.placement.replacement.dispatch import Route
from actsearch.placement.site import FoundSite, Kind
from actsearch.placement.tracing.graph import Call, Graph
from actsearch.placement.tracing.trace_model import called_paths, has_steps

NEVER_CALLED = "never called: left alone"


@dataclass(frozen=True)
class _SiteCalls:
    """The calls of one site in one graph.

    Args:
        owner: path of the module that makes them.
        key: path of the module called, or the name of the function.
        functional: whether it is a function.
        index: which of the sites of that owner and key it is.
        of: how many there are.
        calls: the calls.
        graph: theirs.
    """

    owner: str
    key: str
    functional: bool
    index: int
    of: int
    calls: list[Call]
    graph: Graph


class Collector:
    """Turn calls into sites.

    Args:
        model: the model.
        candidates: its modules and callable attributes that may be sites, by path.
        originals: what stood at these paths before the trace.
        graphs: what ran, the most telling first.
        include_gates: make gates open sites.
        called: paths of modules that ran elsewhere; where not given and a model has steps of its
            own beside forward, what forward does not call is not known to be unused.
    """

    def __init__(
        self,
        model: nn.Module,
        candidates: dict[str, SiteCandidate],
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
                found.setdefault(place.site.name, place)
        called = {place.key for place in found.values() if not place.functional}
        ran = any(graph.whole for graph in self.graphs)
        unused = self._unused(ran)
        for path, candidate in self.candidates.items():
            known = path in called or not called.isdisjoint(candidate.twins)
            if not known and candidate.site_name not in found:
                found[candidate.site_name] = self._never_ran(candidate, ran, path in unused)
        if ran:
            return list(found.values())
        # Parts do not say which runs first: by the module tree.
        order = {path: number for number, path in enumerate(self.modules)}
        return sorted(
            found.values(), key=lambda place: order.get(place.key, order.get(place.owner, 0))
        )

    # What was called

    def _of_graph(self, graph: Graph) -> list[Place]:
        found: list[tuple[int, Place]] = []
        for (owner, key, functional), executions in self._executions(graph).items():
            members: dict[int, list[Call]] = {}
            candidate = None if functional else self.candidates.get(key)
            marked = candidate is not None and candidate.kind == "site"
            for calls in executions.values():
                indices = [0] * len(calls) if marked else _site_indices(calls)
                if len(indices) > len(self.sequences.get((owner, key), ())):
                    self.sequences[owner, key] = tuple(indices)
                for index, call in zip(indices, calls, strict=True):
                    members.setdefault(index, []).append(call)
            for index, calls in members.items():
                place = self._place(
                    _SiteCalls(owner, key, functional, index, len(members), calls, graph)
                )
                if place is not None:
                    found.append((calls[0].operation.order, place))
        return [place for _, place in sorted(found, key=lambda each: each[0])]

    def _executions(self, graph: Graph) -> dict[tuple[str, str, bool], dict[int, list[Call]]]:
        """Return the calls by owner, key and kind, then by execution of the owner."""
        grouped: dict[tuple[str, str, bool], dict[int, list[Call]]] = {}
        for call in graph.calls:
            if not gates.is_arithmetic(call):
                executions = grouped.setdefault((call.owner, *self._key(call)), {})
                executions.setdefault(call.execution, []).append(call)
        return grouped

    def _key(self, call: Call) -> tuple[str, bool]:
        """Return what a call is one of, and whether that is a function.

        The call of a module that stands for a function, or behind a switch, is what it was before.
        """
        if call.functional:
            return call.key, True
        holder, _, name = call.key.rpartition(".")
        for function, route in self._routes(holder if holder == call.owner else None).items():
            if name in route.sites:
                return function, True
        behind_switch = self.candidates[call.key].site_name != call.key
        return holder if behind_switch else call.key, False

    def _routes(self, owner: str | None) -> Mapping[str, Route]:
        if owner is None:
            return {}
        routes: Mapping[str, Route] = vars(self.modules[owner]).get("_actsearch_routes", {})
        return routes

    def _place(self, found: _SiteCalls) -> Place | None:
        """Return the place of a site, or ``None`` where it is refused, with the reason noted."""
        first = found.calls[0]
        candidate = None if first.functional else self.candidates[first.key]
        name = self._name(found, candidate)
        obstacle = self._obstacle(found)
        if obstacle:
            self.refused.append((name, f"{obstacle}, so its call cannot be redirected"))
            return None
        gate = ""
        if candidate is None or candidate.kind != "site":
            gate = next(filter(None, (gates.reason(call, found.graph) for call in found.calls)), "")
        if gate.startswith(gates.BY_HAND):
            self.refused.append((name, f"{gate}. Write it as one call, or as a Site"))
            return None
        if candidate is None:
            activation, spec = first.name, specification(first.name, first.parameters)
        else:
            activation, spec = candidate.name, candidate.specification
        channels, channel_dim = channels_of(first.operation)
        site = FoundSite(
            name=name, kind="gate" if gate else _kind(found, candidate), activation=activation,
            specification=spec,
            requires=(candidate.requires if candidate else "") or gates.requirement(gate),
            **self._part(name), channels=channels, channel_dim=channel_dim,
            elements=_elements(found.calls), protected=bool(gate) and not self.include_gates,
            reason=gate,
        )  # fmt: skip
        return Place(
            site, found.owner, found.key, found.functional, found.index,
            write_back=any(call.inplace and call.aliased for call in found.calls),
            module=None if candidate is None else self.originals[first.key],
            parameters=first.parameters,
        )  # fmt: skip

    def _name(self, found: _SiteCalls, candidate: SiteCandidate | None) -> str:
        if candidate is not None and candidate.site_name not in (candidate.path, ""):
            return candidate.site_name  # behind a switch
        nth = f"@{found.index + 1}" if found.index else ""
        if not found.functional:
            return found.key + nth
        taken = hasattr(self.modules[found.owner], found.key) and not any(
            found.key in route.sites for route in self._routes(found.owner).values()
        )
        last = (f"{found.key}()" if taken else found.key) + nth
        return f"{found.owner}.{last}" if found.owner else last

    def _obstacle(self, found: _SiteCalls) -> str:
        """Return why no one can redirect the calls; empty where one can."""
        if any(call.checkpointed for call in found.calls):
            return "inside a checkpointed function"
        runs_in_order = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
        if found.functional and isinstance(self.modules[found.owner], runs_in_order):
            return "its owner runs its children in order"
        return ""

    def _part(self, name: str) -> dict[str, Any]:
        block = block_of(self.model, name)
        return {"block": block, "stage": stage_of(block) if block else ""}

    # What was not called

    def _unused(self, ran: bool) -> set[str]:
        """Return the paths of the candidates that are known not to be called."""
        if self.called is None:
            guessed = any(graph.guessed for graph in self.graphs)
            if not ran or guessed or has_steps(self.model):
                return set()
        seen = called_paths(self.graphs).union(self.called or ())
        unused = {
            path
            for path, candidate in self.candidates.items()
            if candidate.kind != "site" and seen.isdisjoint((path, *candidate.twins))
        }
        if self.called is None:
            return unused
        return {path for path in unused if not self._may_run_unseen(path, seen)}

    def _may_run_unseen(self, path: str, seen: Collection[str]) -> bool:
        """Return whether a candidate may run where a hook told what did.

        No hook sees a call of an attribute; that its owner ran is all that can be known.
        """
        if self.candidates[path].kind != "attribute":
            return False
        owner = path.rpartition(".")[0]
        return not owner or owner in seen

    def _never_ran(self, candidate: SiteCandidate, traced: bool, unused: bool) -> Place:
        path = candidate.path
        reason, protected = "", False
        if unused:
            reason, protected = NEVER_CALLED, True
        elif candidate.kind != "site":
            reason = gates.without_graph(candidate.name, self._before_layer(path))
            protected = bool(reason) and not self.include_gates
        kind: Kind = "shared" if len(candidate.twins) > 1 else candidate.kind
        channels, channel_dim = channels_before(path, self.modules)
        site = FoundSite(
            name=candidate.site_name or path, kind="gate" if reason and not unused else kind,
            activation=candidate.name, specification=candidate.specification,
            requires=candidate.requires, **self._part(path), channels=channels,
            channel_dim=channel_dim, elements=0 if traced else None, protected=protected,
            reason=reason,
        )  # fmt: skip
        owner = path.rpartition(".")[0]
        module = self.originals[path]
        return Place(site, owner, path, write_back=candidate.inplace, module=module)

    def _before_layer(self, path: str) -> bool:
        """Return whether a layer with weights follows in the same sequence."""
        parent_path, _, name = path.rpartition(".")
        parent = self.modules[parent_path]
        if not isinstance(parent, nn.Sequential):
            return False
        names = list(parent._modules)
        after = names[names.index(name) + 1 :]
        return any(p.ndim >= 2 for name in after for p in parent.get_submodule(name).parameters())


def _kind(found: _SiteCalls, candidate: SiteCandidate | None) -> Kind:
    if candidate is None or found.functional:
        return "functional"
    if candidate.kind == "module" and (found.of > 1 or len(candidate.twins) > 1):
        return "shared"
    return candidate.kind


def _elements(calls: list[Call]) -> int | None:
    """Return the elements of all calls, where they were measured."""
    if calls[0].elements is None:
        return None
    return sum(call.elements or 0 for call in calls)


def _site_indices(calls: list[Call]) -> list[int]:
    """Return the site of each call of one execution.

    One site for each instruction and each set of layers that feeds it: a loop over time is one
    site, a loop over layers one for each.
    """
    known: dict[Hashable, int] = {}
    result = []
    for number, call in enumerate(calls):
        layers = gates.producers(call.operation)
        feeders = frozenset(weight for layer in layers for weight in layer.weights)
        place: Hashable = (call.call_site, feeders) if call.call_site or feeders else number
        result.append(known.setdefault(place, len(known)))
    return result
