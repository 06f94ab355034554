"""Write what a model does to a graph, whoever listens."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from torch import Tensor, nn

from actsearch.placement.discovery.candidates import SiteCandidate
from actsearch.placement.discovery.torch_functions import called
from actsearch.placement.replacement.dispatch import Switch
from actsearch.placement.tracing.call_site import call_site
from actsearch.placement.tracing.graph import Call, Graph, Operation, leaves
from actsearch.placement.tracing.operations import LAYERS, PRODUCTS

# Nonlinearities that no one can reach, inside of one operation.
INSIDE_FUSED = {
    "scaled_dot_product_attention": "softmax inside the fused scaled_dot_product_attention",
    "multi_head_attention_forward": "softmax inside multi_head_attention_forward",
    "glu": "the sigmoid gate inside glu",
}


@dataclass(frozen=True)
class Execution:
    """One run of a module's forward.

    Args:
        owner: path of the module.
        number: of the run, unlike that of any other.
        caller: the frame that called the module.
    """

    owner: str = ""
    number: int = 0
    caller: FrameType | None = None


class Recorder:
    """Keep the stack of modules while a model runs, and write every operation to a graph.

    Args:
        model: the model that runs.
        candidates: by path, what may be a site; each is one operation of the graph.
    """

    def __init__(self, model: nn.Module, candidates: Mapping[str, SiteCandidate]) -> None:
        self.graph = Graph()
        self.graph.constants = {id(buffer) for buffer in model.buffers()}
        self.paths = {
            module: path for path, module in model.named_modules() if not isinstance(module, Switch)
        }
        self.candidates = {candidate.module: candidate for candidate in candidates.values()}
        self.stack = [Execution()]
        self.executions = 0

    @property
    def owner(self) -> str:
        """Path of the innermost module of the model that runs now."""
        return self.stack[-1].owner

    def enter(self, module: nn.Module) -> None:
        """Note that a module's forward begins, told by the one who calls it or by a hook."""
        self.executions += 1
        caller = sys._getframe(2)
        self.stack.append(Execution(self.paths[module], self.executions, caller))

    def leave(self) -> None:
        """Note that the innermost module's forward ends."""
        self.stack.pop()

    def site(
        self, candidate: SiteCandidate, reads: list[Any], result: Any, inside_leaf: bool = False
    ) -> Operation:
        """Add the call of a module or attribute that may be a site.

        Args:
            candidate: what is called.
            reads: what it read.
            result: what it returned.
            inside_leaf: whether it runs inside of what is not traced.
        """
        where = () if inside_leaf else call_site(self.stack[-1].caller)[0]
        operation = Operation(candidate.name, self.owner)
        call = Call(
            self.owner, candidate.path, False, self.stack[-1].number, where, candidate.name, {},
            candidate.inplace, operation,
        )  # fmt: skip
        return self._add_call(call, reads, result)

    def function(self, function: Any, name: str, args: Any, kwargs: Any, result: Any) -> bool:
        """Add a function call, and return whether it is the call of a site.

        Args:
            function: what is called.
            name: of the operation.
            args: its arguments by position.
            kwargs: its arguments by name.
            result: what it returned.
        """
        reads = list(leaves((args, kwargs)))
        if next(leaves(result), None) is None:
            return False
        what = called(function, args, kwargs)
        if what is None or what.name == "glu" or not _floating(reads):
            weights = tuple(id(v) for v in reads if isinstance(v, nn.Parameter))
            self.operation(name, reads, result, weights)
            return False
        where, checkpointed = call_site(self.stack[-1].caller)
        operation = Operation(what.name, self.owner)
        call = Call(
            self.owner, what.name, True, self.stack[-1].number, where, what.name, what.parameters,
            what.inplace, operation, checkpointed=checkpointed,
        )  # fmt: skip
        self._add_call(call, reads, result)
        return True

    def operation(
        self, name: str, reads: list[Any], result: Any, weights: tuple[Hashable, ...] = ()
    ) -> Operation:
        """Add an operation that is not a site."""
        if name in INSIDE_FUSED:
            self.graph.unseen.append((self.owner, INSIDE_FUSED[name]))
        is_layer = name in LAYERS or (name in PRODUCTS and bool(weights))
        operation = Operation(name, self.owner, weights=weights, is_layer=is_layer)
        return self.graph.add(operation, reads, result)

    def _add_call(self, call: Call, reads: list[Any], result: Any) -> Operation:
        call.operation.call = call
        self.graph.calls.append(call)
        self.graph.add(call.operation, reads[:1], result)
        if call.inplace and reads:
            self.graph.overwrite(reads[0], call)
        return call.operation


def _floating(reads: list[Any]) -> bool:
    return bool(reads) and (not isinstance(reads[0], Tensor) or reads[0].is_floating_point())
