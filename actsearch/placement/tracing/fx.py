"""Record a forward pass symbolically, by torch.fx: no input is needed, and nothing runs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from actsearch.placement.discovery.candidates import Candidate
from actsearch.placement.replacement.dispatch import current, routed
from actsearch.placement.tracing.graph import Graph, leaves
from actsearch.placement.tracing.recorder import Recorder, location, operation_name


class _Tracer(fx.Tracer):
    """Trace through every module of the model but torch's own leaves and what may be a site."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m in self.recorder.candidates or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if self.is_leaf_module(m, self.path_of_module(m)):
            return super().call_module(m, forward, args, kwargs)
        self.recorder.enter(m)
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self.recorder.leave()

    def create_proxy(
        self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **options: Any
    ) -> Any:
        if (
            kind == "call_method"
        ):  # x.relu() on a proxy passes by the function modes, so by what was placed
            result = routed(current(), getattr(Tensor, target, None), args, kwargs)
            if result is not None:
                return result
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **options)
        self._record(kind, target, args, kwargs, proxy)
        return proxy

    def _record(self, kind: str, target: Any, args: Any, kwargs: Any, proxy: Any) -> None:
        graph = self.recorder.graph
        if kind == "placeholder":
            graph.feed(proxy)
        elif kind == "call_function":
            self.recorder.function(operation_name(target), target, args, kwargs, proxy, location)
        elif kind == "call_method":
            method = getattr(torch.Tensor, target, None)
            self.recorder.function(operation_name(target), method, args, kwargs, proxy, location)
        elif kind == "call_module":
            self._record_module(self.root.get_submodule(target), target, args, kwargs, proxy)

    def _record_module(
        self, module: nn.Module, path: str, args: Any, kwargs: Any, proxy: Any
    ) -> None:
        reads = list(leaves((args, kwargs)))
        candidate = self.recorder.candidates.get(module)
        if candidate is not None:
            self.recorder.site(candidate, reads, proxy, location(0), None)
            return
        path = self.recorder.prefix + path
        inner = [c for c in self.recorder.candidates.values() if c.path.startswith(f"{path}.")]
        if inner:  # inside one of torch's leaves, such as a transformer layer: it runs there, in the order of the tree
            self.recorder.enter(module)
            source: Any = reads
            for each in inner:
                self.recorder.site(each, source, (), (), None)
            self.recorder.leave()
        name = type(module).__name__.lower().replace("convtranspose", "conv_transpose")
        weights = tuple(id(p) for p in module.parameters())
        node = self.recorder.operation(name, reads, proxy, weights)
        node.learned = any(p.ndim >= 2 for p in module.parameters())
        node.depth += node.learned
        node.width = getattr(module, "out_channels", None) or getattr(module, "out_features", None)
        if any(isinstance(part, nn.MultiheadAttention) for part in module.modules()):
            self.recorder.graph.unseen.append((path, "softmax inside nn.MultiheadAttention"))
        if isinstance(module, nn.GLU):
            self.recorder.graph.unseen.append((path, "the sigmoid gate inside glu"))


def symbolic(
    model: nn.Module,
    candidates: Mapping[str, Candidate],
    given: Mapping[str, Any] | None = None,
    part: str = "",
) -> Graph | None:
    """Trace the model by torch.fx and return what it would do; ``None`` where it does not trace.

    Args:
        model: the model.
        candidates: as for :class:`Recorder`.
        given: the arguments of an example, by name; others that have a default keep it.
        part: path of the part of the model to trace alone.
    """
    recorder = Recorder(model, candidates)
    if part:
        model = model.get_submodule(part)
        recorder.graph.whole = False
        recorder.prefix = f"{part}."
        recorder.enter(model)
    try:
        signature = inspect.signature(model.forward)
        fixed = {
            name: p.default
            for name, p in signature.parameters.items()
            if p.default is not p.empty and (given is None or name not in given)
        }
        fixed |= {
            name: v
            for name, v in (given or {}).items()
            if not isinstance(v, Tensor) and name in signature.parameters
        }
        tracer = _Tracer(recorder)
        with torch.no_grad():
            graph = tracer.trace(model, fixed or None)
    except Exception:  # control flow on values, a signature fx cannot bind, anything a model's own code raises on proxies
        return None
    for node in graph.nodes:
        if node.op == "output":
            recorder.graph.finish(node.args)
    return recorder.graph


def symbolic_parts(
    model: nn.Module, candidates: Mapping[str, Candidate]
) -> tuple[list[Graph], list[str]]:
    """Trace the largest parts of a model that trace alone, and return them with the classes of those that do not."""
    graphs: list[Graph] = []
    failed: dict[str, None] = {type(model).__name__: None}
    known = set(candidates)

    def descend(path: str, module: nn.Module) -> None:
        for name, child in module.named_children():
            where = f"{path}.{name}" if path else name
            if where in known or (
                type(child).__module__.startswith("torch.nn")
                and next(child.children(), None) is None
            ):
                continue
            if type(child) in (nn.ModuleList, nn.ModuleDict):  # no forward of their own
                descend(where, child)
            elif (graph := symbolic(model, candidates, part=where)) is not None:
                graphs.append(graph)
            else:
                failed[type(child).__name__] = None
                descend(where, child)

    descend("", model)
    return graphs, list(failed)
