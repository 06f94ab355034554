"""Record one forward pass: by running the model on an example under a function mode, or symbolically by torch.fx."""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules import module as module_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from actsearch.placement.candidates import Candidate
from actsearch.placement.functions import called, without_inplace
from actsearch.placement.graph import LEARNED, PRODUCTS, Call, Graph, Node, leaves
from actsearch.placement.redirect import Switch, current, routed

_CALL = nn.Module._call_impl.__code__
_TORCH = str(Path(torch.__file__).parent)
_HERE = __file__
FUSED = (nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell)


class Recorder:
    """Keep the stack of modules while a model runs, and write every operation to a graph.

    Args:
        model: the model that runs.
        candidates: by path, what may be a site; each is one operation of the graph.
    """

    def __init__(self, model: nn.Module, candidates: Mapping[str, Candidate]) -> None:
        self.graph = Graph()
        self.graph.constants = {id(buffer) for buffer in model.buffers()}
        self.paths = {module: path for path, module in model.named_modules() if not isinstance(module, Switch)}
        self.candidates = {candidate.module: candidate for candidate in candidates.values()}
        self.stack: list[tuple[str, int, nn.Module]] = []
        self.executions = 0
        self.prefix = ""  # of the part that is traced alone
        self.inside = 0  # depth inside a candidate: what runs there is its own business

    @property
    def owner(self) -> str:
        """Path of the innermost module of the model that runs now."""
        return self.stack[-1][0] if self.stack else ""

    def enter(self, module: nn.Module) -> None:
        """Note that a module's forward begins."""
        self.executions += 1
        self.stack.append((self.paths[module], self.executions, module))

    def leave(self) -> None:
        """Note that the innermost module's forward ends."""
        self.stack.pop()

    def site(self, candidate: Candidate, reads: list[Any], result: Any, location: Hashable, shape: Any) -> None:
        """Add the call of a module or attribute that may be a site."""
        node = Node(candidate.name, self.owner, shape=shape)
        call = self._call(candidate.path, False, location, candidate.name, {}, candidate.inplace, node)
        self.graph.add(node, reads[:1], result)
        if call.inplace and reads:
            self.graph.overwrite(reads[0], call)

    def function(
        self, name: str, function: Any, args: Any, kwargs: Any, result: Any, location: Callable[[], Any]
    ) -> None:
        """Add a function call; the call of a site where it is one of the vocabulary."""
        reads = list(leaves((args, kwargs)))
        results = list(leaves(result))
        if not results:
            return
        what = called(function, args, kwargs)
        weights = tuple(id(v) for v in reads if isinstance(v, nn.Parameter))
        if what is not None and what.name != "glu" and _floating(reads):
            node = Node(what.name, self.owner)
            place = location()
            call = self._call(what.name, True, place, what.name, what.parameters, what.inplace, node)
            call.checkpointed = any("checkpoint.py" in part[0] for part in place)
            self.graph.add(node, reads[:1], result)
            if what.inplace and reads:
                self.graph.overwrite(reads[0], call)
            return
        self.operation(name, reads, result, weights)

    def operation(self, name: str, reads: list[Any], result: Any, weights: tuple[Hashable, ...] = ()) -> Node:
        """Add an operation that is not a site."""
        learned = name in LEARNED or (name in PRODUCTS and bool(weights))
        if name == "scaled_dot_product_attention":
            self.graph.unseen.append((self.owner, "softmax inside the fused scaled_dot_product_attention"))
        elif name in ("glu", "multi_head_attention_forward"):
            reason = "the sigmoid gate inside glu" if name == "glu" else "softmax inside multi_head_attention_forward"
            self.graph.unseen.append((self.owner, reason))
        node = Node(name, self.owner, weights=weights, learned=learned)
        return self.graph.add(node, reads, result)

    def _call(
        self, key: str, functional: bool, location: Any, name: str, parameters: Any, inplace: bool, node: Node
    ) -> Call:
        execution = self.stack[-1][1] if self.stack else 0
        call = Call(self.owner, key, functional, execution, location, name, parameters, inplace, node)
        node.call = call
        self.graph.calls.append(call)
        return call


def _floating(reads: list[Any]) -> bool:
    return bool(reads) and (not isinstance(reads[0], Tensor) or reads[0].is_floating_point())


def location(skip: int = 0) -> tuple[tuple[str, int], ...]:
    """Return where in its owner's code a call stands: file and instruction of every frame up to the owner's call.

    Args:
        skip: calls of modules to pass first: one where the call is that of a module.
    """
    frame = sys._getframe(1)
    parts: list[tuple[str, int]] = []
    while frame is not None:
        code = frame.f_code
        if code is _CALL:
            if not skip:
                break
            skip -= 1
        elif code.co_filename != _HERE and (
            not code.co_filename.startswith(_TORCH) or "checkpoint.py" in code.co_filename
        ):
            parts.append((f"{code.co_filename}:{code.co_name}", frame.f_lasti))
        frame = frame.f_back  # type: ignore[assignment]  # None ends the walk
    return tuple(parts)


class _Listener(TorchFunctionMode):
    def __init__(self, recorder: Recorder, guess: bool) -> None:
        super().__init__()
        self.recorder = recorder
        self.guess = guess

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.recorder.inside:
            return function(*args, **kwargs)
        if self.guess and function is Tensor.__bool__ and args[0].is_meta:
            self.recorder.graph.unseen.append(
                (self.recorder.owner, "a branch on a value, taken as true on meta tensors")
            )
            return True
        what = called(function, args, kwargs)
        # Out of place while tracing, so that a later read of the overwritten tensor can be told from one of the result.
        result = (
            without_inplace(function, args, kwargs) if what is not None and what.inplace else function(*args, **kwargs)
        )
        self.recorder.function(operation_name(function), function, args, kwargs, result, location)
        if (
            what is not None
            and self.recorder.graph.calls
            and self.recorder.graph.calls[-1].node is self.recorder.graph.nodes[-1]
        ):
            first = next(leaves((args, kwargs)), None)
            if isinstance(first, Tensor):
                self.recorder.graph.calls[-1].elements = first.numel()
                self.recorder.graph.nodes[-1].shape = tuple(first.shape)
        return result


def operation_name(function: Any) -> str:
    """Return an operation's name, one for all of its spellings: ``mul`` for ``*``, ``*=`` and ``torch.multiply``."""
    if isinstance(function, str):
        name = function
    else:
        name = getattr(function, "__name__", type(function).__name__)
    name = name.strip("_")
    return _SAME.get(name, name)


_SAME = {
    "rmul": "mul", "imul": "mul", "multiply": "mul", "radd": "add", "iadd": "add", "rsub": "sub", "isub": "sub",
    "subtract": "sub", "truediv": "div", "rtruediv": "div", "itruediv": "div", "divide": "div", "get": "view",
    "concat": "cat", "concatenate": "cat", "rmatmul": "matmul",
}  # fmt: skip


def run(
    model: nn.Module,
    candidates: Mapping[str, Candidate],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    guess: bool = False,
) -> Graph:
    """Run the model on an example, without gradients, and return what it did.

    Args:
        model: the model, with its candidates separated.
        candidates: what may be a site.
        args: its arguments, with ``kwargs``.
        guess: take a branch on the value of a ``meta`` tensor as true, and say so, where it would raise.
    """
    recorder = Recorder(model, candidates)
    thread = threading.get_ident()
    pending: list[tuple[list[Any], Any]] = []

    def ours(module: nn.Module) -> bool:
        return threading.get_ident() == thread and (module in recorder.paths or module in recorder.candidates)

    def before(module: nn.Module, inputs: Any) -> None:
        if not ours(module):
            return
        if module in recorder.candidates:
            reads = list(leaves(inputs))
            if not recorder.inside:
                candidate = recorder.candidates[module]
                pending.append((reads, location(1 if candidate.site_name in ("", candidate.path) else 2)))
            recorder.inside += 1
        elif not recorder.inside:
            recorder.enter(module)

    def after(module: nn.Module, inputs: Any, result: Any) -> None:
        if not ours(module):
            return
        if module in recorder.candidates:
            recorder.inside -= 1
            if not recorder.inside:
                reads, place = pending.pop()
                shape = tuple(reads[0].shape) if reads else None
                recorder.site(recorder.candidates[module], reads, result, place, shape)
                recorder.graph.calls[-1].elements = reads[0].numel() if reads else None
        elif not recorder.inside:
            recorder.leave()

    handles = [
        module_hooks.register_module_forward_pre_hook(before),
        module_hooks.register_module_forward_hook(after, always_call=True),
    ]
    recorder.graph.feed((args, kwargs))
    try:
        with torch.no_grad(), _Listener(recorder, guess):
            result = model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    recorder.graph.finish(result)
    return recorder.graph


def run_on_meta(
    model: nn.Module, candidates: Mapping[str, Candidate], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Graph | None:
    """Run the model for its shapes alone, which computes nothing; ``None`` where it needs values or devices."""
    twins: dict[Any, Tensor] = {}

    def twin(value: Any) -> Any:
        if isinstance(value, Tensor) and value not in twins:
            empty = value.detach().to("meta")
            twins[value] = nn.Parameter(empty, value.requires_grad) if isinstance(value, nn.Parameter) else empty
        return twins[value] if isinstance(value, Tensor) else value

    with preserved(model):
        for module in model.modules():
            for members in (module._parameters, module._buffers):
                for name, value in members.items():
                    members[name] = twin(value)
        try:
            with torch.device("meta"):
                return run(model, candidates, *tree_map(twin, (args, dict(kwargs))))
        except Exception:  # whatever a model's own code or an operation without shapes raises: then it runs for real
            return None


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

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **options: Any) -> Any:
        if kind == "call_method":  # x.relu() on a proxy passes by the function modes, so by what was placed
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

    def _record_module(self, module: nn.Module, path: str, args: Any, kwargs: Any, proxy: Any) -> None:
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
    model: nn.Module, candidates: Mapping[str, Candidate], given: Mapping[str, Any] | None = None, part: str = ""
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
            name: v for name, v in (given or {}).items() if not isinstance(v, Tensor) and name in signature.parameters
        }
        tracer = _Tracer(recorder)
        with torch.no_grad():
            graph = tracer.trace(model, fixed or None)
    except (
        Exception
    ):  # control flow on values, a signature fx cannot bind, anything a model's own code raises on proxies
        return None
    for node in graph.nodes:
        if node.op == "output":
            recorder.graph.finish(node.args)
    return recorder.graph


def symbolic_parts(model: nn.Module, candidates: Mapping[str, Candidate]) -> tuple[list[Graph], list[str]]:
    """Trace the largest parts of a model that trace alone, and return them with the classes of those that do not."""
    graphs: list[Graph] = []
    failed: dict[str, None] = {type(model).__name__: None}
    known = set(candidates)

    def descend(path: str, module: nn.Module) -> None:
        for name, child in module.named_children():
            where = f"{path}.{name}" if path else name
            if where in known or (
                type(child).__module__.startswith("torch.nn") and next(child.children(), None) is None
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


@contextlib.contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Put everything back as it was: attributes, buffers, training mode and the random state, whatever a pass does to them."""
    state = [(m, dict(vars(m)), dict(m._modules), dict(m._parameters), dict(m._buffers)) for m in model.modules()]
    values = [(b, b.clone()) for b in model.buffers() if not b.is_meta]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, attributes, modules, parameters, buffers in state:
            vars(module).clear()
            vars(module).update(attributes)
            for name, members in (("_modules", modules), ("_parameters", parameters), ("_buffers", buffers)):
                vars(module)[name].clear()
                vars(module)[name].update(members)
        with torch.no_grad():
            for buffer, value in values:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
