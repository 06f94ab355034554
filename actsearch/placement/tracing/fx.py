"""Record a forward pass symbolically, by torch.fx: no input is needed, and nothing runs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from typing_extensions import override

from actsearch.placement.discovery.candidates import SiteCandidate
from actsearch.placement.replacement.dispatch import current, routed
from actsearch.placement.tracing.graph import Graph, leaves
from actsearch.placement.tracing.operations import operation_name
from actsearch.placement.tracing.recorder import INSIDE_FUSED, Recorder


class _Tracer(fx.Tracer):
    """Trace through every module of the model but torch's own leaves and what may be a site."""

    def __init__(self, recorder: Recorder, part: str) -> None:
        super().__init__()
        self.recorder = recorder
        self.prefix = f"{part}." if part else ""

    @override
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m in self.recorder.candidates or super().is_leaf_module(m, module_qualified_name)

    @override
    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if self.is_leaf_module(m, self.path_of_module(m)):
            return super().call_module(m, forward, args, kwargs)
        self.recorder.enter(m)
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self.recorder.leave()

    @override
    def create_proxy(
        self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **options: Any
    ) -> Any:
        if kind == "call_method":
            # x.relu() on a proxy passes by the function modes, so by what was placed.
            result = routed(current(), getattr(Tensor, target, None), args, kwargs)
            if result is not None:
                return result
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **options)
        if kind == "placeholder":
            self.recorder.graph.feed(proxy)
        elif kind == "call_module":
            self._record_module(self.root.get_submodule(target), target, args, kwargs, proxy)
        elif kind in ("call_function", "call_method"):
            function = target if kind == "call_function" else getattr(Tensor, target, None)
            self.recorder.function(function, operation_name(target), args, kwargs, proxy)
        return proxy

    def _record_module(
        self, module: nn.Module, path: str, args: Any, kwargs: Any, proxy: Any
    ) -> None:
        reads = list(leaves((args, kwargs)))
        candidate = self.recorder.candidates.get(module)
        if candidate is not None:
            self.recorder.site(candidate, reads, proxy)
            return
        path = self.prefix + path
        self._record_inside(module, path, reads)
        name = type(module).__name__.lower().replace("convtranspose", "conv_transpose")
        weights = tuple(id(p) for p in module.parameters())
        operation = self.recorder.operation(name, reads, proxy, weights)
        operation.is_layer = any(p.ndim >= 2 for p in module.parameters())
        operation.depth += operation.is_layer
        operation.width = getattr(module, "out_channels", None) or getattr(
            module, "out_features", None
        )
        if any(isinstance(part, nn.MultiheadAttention) for part in module.modules()):
            self.recorder.graph.unseen.append((path, "softmax inside nn.MultiheadAttention"))
        if isinstance(module, nn.GLU):
            self.recorder.graph.unseen.append((path, INSIDE_FUSED["glu"]))

    def _record_inside(self, module: nn.Module, path: str, reads: list[Any]) -> None:
        """Add the candidates inside one of torch's leaves, such as a transformer layer.

        They run there, in the order of the module tree.
        """
        inner = [c for c in self.recorder.candidates.values() if c.path.startswith(f"{path}.")]
        if not inner:
            return
        self.recorder.enter(module)
        for each in inner:
            self.recorder.site(each, reads, (), inside_leaf=True)
            reads = []
        self.recorder.leave()


def symbolic(
    model: nn.Module,
    candidates: Mapping[str, SiteCandidate],
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
        recorder.enter(model)
    try:
        tracer = _Tracer(recorder, part)
        with torch.no_grad():
            graph = tracer.trace(model, _concrete(model, given) or None)
    except Exception:
        # Control flow on values, a signature that fx cannot bind, anything that a model's own code
        # raises on proxies: it says nothing of the model. An example is run instead, whose errors
        # are told, or what is not seen is told.
        return None
    for node in graph.nodes:
        if node.op == "output":
            recorder.graph.finish(node.args)
    return recorder.graph


def _concrete(model: nn.Module, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the arguments that are known before a trace: defaults, and what is no tensor."""
    parameters = inspect.signature(model.forward).parameters
    defaults = {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not parameter.empty and name not in (given or {})
    }
    plain = {
        name: value
        for name, value in (given or {}).items()
        if not isinstance(value, Tensor) and name in parameters
    }
    return defaults | plain


def symbolic_parts(
    model: nn.Module, candidates: Mapping[str, SiteCandidate]
) -> tuple[list[Graph], list[str]]:
    """Trace the largest parts of a model that trace alone.

    Returns:
        their graphs, and the classes of the parts that do not trace.
    """
    graphs: list[Graph] = []
    failed: list[str] = []

    def descend(path: str, module: nn.Module) -> None:
        for name, child in module.named_children():
            where = f"{path}.{name}" if path else name
            home = type(child).__module__
            plain = home.startswith("torch.nn") and next(child.children(), None) is None
            if where in candidates or plain:
                continue
            if type(child) in (nn.ModuleList, nn.ModuleDict):  # no forward of their own
                descend(where, child)
                continue
            graph = symbolic(model, candidates, part=where)
            if graph is not None:
                graphs.append(graph)
            else:
                failed.append(type(child).__name__)
                descend(where, child)

    descend("", model)
    return graphs, failed
