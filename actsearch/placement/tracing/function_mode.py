"""Record a forward pass by running the model on an example under a function mode."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from actsearch.placement.discovery.candidates import SiteCandidate
from actsearch.placement.discovery.torch_functions import called, without_inplace
from actsearch.placement.tracing.graph import Graph, leaves
from actsearch.placement.tracing.operations import operation_name
from actsearch.placement.tracing.preserve import preserved
from actsearch.placement.tracing.recorder import Recorder


class _Listener(TorchFunctionMode):
    """Hear of every function by the mode, and of every module by hooks of its own thread."""

    def __init__(self, recorder: Recorder, guess: bool) -> None:
        super().__init__()
        self.recorder = recorder
        self.graph = recorder.graph
        self.guess = guess
        self.thread = threading.get_ident()
        self.inside = 0  # depth inside a candidate: what runs there is its own business
        self.reads: list[Any] = []  # what the candidate that runs now was given

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.inside:
            return function(*args, **kwargs)
        if self.guess and function is Tensor.__bool__ and args[0].is_meta:
            self.graph.guessed = True
            self.graph.unseen.append(
                (self.recorder.owner, "a branch on a value, taken as true on meta tensors")
            )
            return True
        result = _out_of_place(function, args, kwargs)
        if self.recorder.function(function, operation_name(function), args, kwargs, result):
            first = next(leaves((args, kwargs)), None)
            if isinstance(first, Tensor):
                self._measure(first)
        return result

    def before(self, module: nn.Module, inputs: Any) -> None:
        """Hear that a module is called."""
        if not self._knows(module):
            return
        if module in self.recorder.candidates:
            if not self.inside:
                self.reads = list(leaves(inputs))
            self.inside += 1
        elif not self.inside:
            self.recorder.enter(module)

    def after(self, module: nn.Module, inputs: Any, result: Any) -> None:
        """Hear that a module returns or raises."""
        if not self._knows(module):
            return
        candidate = self.recorder.candidates.get(module)
        if candidate is not None:
            self.inside -= 1
            if not self.inside:
                self.recorder.site(candidate, self.reads, result)
                if self.reads:
                    self._measure(self.reads[0])
        elif not self.inside:
            self.recorder.leave()

    def _knows(self, module: nn.Module) -> bool:
        known = module in self.recorder.paths or module in self.recorder.candidates
        return known and threading.get_ident() == self.thread

    def _measure(self, x: Tensor) -> None:
        call = self.graph.calls[-1]
        call.elements = x.numel()
        call.operation.shape = tuple(x.shape)


def _out_of_place(function: Any, args: Any, kwargs: Any) -> Any:
    """Call a function, but out of place where it is a nonlinearity.

    So a later read of the overwritten tensor can be told from one of the result.
    """
    what = called(function, args, kwargs)
    if what is not None and what.inplace:
        return without_inplace(function, args, kwargs)
    return function(*args, **kwargs)


def run_on_example(
    model: nn.Module,
    candidates: Mapping[str, SiteCandidate],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    guess: bool = False,
) -> Graph:
    """Run the model on an example, without gradients, and return what it did.

    Args:
        model: the model, with its candidates unshared.
        candidates: what may be a site.
        args: its arguments by position.
        kwargs: its arguments by name.
        guess: take a branch on the value of a ``meta`` tensor as true, and say so, where it would
            raise.
    """
    recorder = Recorder(model, candidates)
    recorder.graph.feed((args, kwargs))
    listener = _Listener(recorder, guess)
    handles = [
        register_module_forward_pre_hook(listener.before),
        register_module_forward_hook(listener.after, always_call=True),
    ]
    try:
        with torch.no_grad(), listener:
            result = model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
    recorder.graph.finish(result)
    return recorder.graph


def run_on_meta(
    model: nn.Module,
    candidates: Mapping[str, SiteCandidate],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Graph | None:
    """Run the model for its shapes alone, which computes nothing.

    ``None`` where it needs values or devices.
    """
    twins: dict[Any, Tensor] = {}

    def twin(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value not in twins:
            empty = value.detach().to("meta")
            is_parameter = isinstance(value, nn.Parameter)
            twins[value] = nn.Parameter(empty, value.requires_grad) if is_parameter else empty
        return twins[value]

    with preserved(model):
        for module in model.modules():
            for members in (module._parameters, module._buffers):
                for name, value in members.items():
                    members[name] = twin(value)
        try:
            with torch.device("meta"):
                return run_on_example(model, candidates, *tree_map(twin, (args, dict(kwargs))))
        except Exception:
            # Whatever a model's own code, or an operation without shapes, raises here: it then runs
            # for real, and what it raises there is told.
            return None
