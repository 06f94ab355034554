"""Write what a model does to a graph, whoever listens, and put the model back as it was."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actsearch.placement.discovery.candidates import Candidate
from actsearch.placement.discovery.torch_functions import called
from actsearch.placement.replacement.dispatch import Switch
from actsearch.placement.tracing.graph import LEARNED, PRODUCTS, Call, Graph, Node, leaves

_CALL = nn.Module._call_impl.__code__
_TORCH = str(Path(torch.__file__).parent)
_HERE = tuple(
    str(Path(__file__).with_name(name)) for name in ("recorder.py", "function_mode.py", "fx.py")
)
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
        self.paths = {
            module: path for path, module in model.named_modules() if not isinstance(module, Switch)
        }
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

    def site(
        self, candidate: Candidate, reads: list[Any], result: Any, location: Hashable, shape: Any
    ) -> None:
        """Add the call of a module or attribute that may be a site."""
        node = Node(candidate.name, self.owner, shape=shape)
        call = self._call(
            candidate.path, False, location, candidate.name, {}, candidate.inplace, node
        )
        self.graph.add(node, reads[:1], result)
        if call.inplace and reads:
            self.graph.overwrite(reads[0], call)

    def function(
        self,
        name: str,
        function: Any,
        args: Any,
        kwargs: Any,
        result: Any,
        location: Callable[[], Any],
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
            call = self._call(
                what.name, True, place, what.name, what.parameters, what.inplace, node
            )
            call.checkpointed = any("checkpoint.py" in part[0] for part in place)
            self.graph.add(node, reads[:1], result)
            if what.inplace and reads:
                self.graph.overwrite(reads[0], call)
            return
        self.operation(name, reads, result, weights)

    def operation(
        self, name: str, reads: list[Any], result: Any, weights: tuple[Hashable, ...] = ()
    ) -> Node:
        """Add an operation that is not a site."""
        learned = name in LEARNED or (name in PRODUCTS and bool(weights))
        if name == "scaled_dot_product_attention":
            self.graph.unseen.append(
                (self.owner, "softmax inside the fused scaled_dot_product_attention")
            )
        elif name in ("glu", "multi_head_attention_forward"):
            reason = (
                "the sigmoid gate inside glu"
                if name == "glu"
                else "softmax inside multi_head_attention_forward"
            )
            self.graph.unseen.append((self.owner, reason))
        node = Node(name, self.owner, weights=weights, learned=learned)
        return self.graph.add(node, reads, result)

    def _call(
        self,
        key: str,
        functional: bool,
        location: Any,
        name: str,
        parameters: Any,
        inplace: bool,
        node: Node,
    ) -> Call:
        execution = self.stack[-1][1] if self.stack else 0
        call = Call(
            self.owner, key, functional, execution, location, name, parameters, inplace, node
        )
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
        elif code.co_filename not in _HERE and (
            not code.co_filename.startswith(_TORCH) or "checkpoint.py" in code.co_filename
        ):
            parts.append((f"{code.co_filename}:{code.co_name}", frame.f_lasti))
        frame = frame.f_back  # type: ignore[assignment]  # None ends the walk
    return tuple(parts)


def operation_name(function: Any) -> str:
    """Return an operation's name, one for all of its spellings: ``mul`` for ``*``, ``*=`` and ``torch.multiply``."""
    name: str = (
        function
        if isinstance(function, str)
        else getattr(function, "__name__", type(function).__name__)
    )
    name = name.strip("_")
    return _SAME.get(name, name)


_SAME = {
    "rmul": "mul", "imul": "mul", "multiply": "mul", "radd": "add", "iadd": "add", "rsub": "sub", "isub": "sub",
    "subtract": "sub", "truediv": "div", "rtruediv": "div", "itruediv": "div", "divide": "div", "get": "view",
    "concat": "cat", "concatenate": "cat", "rmatmul": "matmul",
}  # fmt: skip


@contextlib.contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Put everything back as it was: attributes, buffers, training mode, random state."""
    state = [
        (m, dict(vars(m)), dict(m._modules), dict(m._parameters), dict(m._buffers))
        for m in model.modules()
    ]
    values = [(b, b.clone()) for b in model.buffers() if not b.is_meta]
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, attributes, modules, parameters, buffers in state:
            vars(module).clear()
            vars(module).update(attributes)
            for name, members in (
                ("_modules", modules),
                ("_parameters", parameters),
                ("_buffers", buffers),
            ):
                vars(module)[name].clear()
                vars(module)[name].update(members)
        with torch.no_grad():
            for buffer, value in values:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
