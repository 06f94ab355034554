"""Record a forward pass by running the model on an example under a function mode."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from actsearch.placement.discovery.candidates import Candidate
from actsearch.placement.discovery.torch_functions import called, without_inplace
from actsearch.placement.tracing.graph import Graph, leaves
from actsearch.placement.tracing.recorder import Recorder, location, operation_name, preserved


class _Listener(TorchFunctionMode):
    def __init__(self, recorder: Recorder, guess: bool) -> None:
        super().__init__()
        self.recorder = recorder
        self.guess = guess

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.recorder.inside:
            return function(*args, **kwargs)
        if self.guess and function is Tensor.__bool__ and args[0].is_meta:
            self.recorder.graph.guessed = True
            self.recorder.graph.unseen.append(
                (self.recorder.owner, "a branch on a value, taken as true on meta tensors")
            )
            return True
        what = called(function, args, kwargs)
        # Out of place while tracing, so that a later read of the overwritten tensor can be told
        # from one of the result.
        result = (
            without_inplace(function, args, kwargs)
            if what is not None and what.inplace
            else function(*args, **kwargs)
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
        args: its arguments by position.
        kwargs: its arguments by name.
        guess: take a branch on the value of a ``meta`` tensor as true, and say so, where it would
            raise.
    """
    recorder = Recorder(model, candidates)
    thread = threading.get_ident()
    pending: list[tuple[list[Any], Any]] = []

    def ours(module: nn.Module) -> bool:
        return threading.get_ident() == thread and (
            module in recorder.paths or module in recorder.candidates
        )

    def before(module: nn.Module, inputs: Any) -> None:
        if not ours(module):
            return
        if module in recorder.candidates:
            reads = list(leaves(inputs))
            if not recorder.inside:
                candidate = recorder.candidates[module]
                pending.append(
                    (reads, location(1 if candidate.site_name in ("", candidate.path) else 2))
                )
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
    model: nn.Module,
    candidates: Mapping[str, Candidate],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Graph | None:
    """Run the model for its shapes alone, which computes nothing.

    ``None`` where it needs values or devices.
    """
    twins: dict[Any, Tensor] = {}

    def twin(value: Any) -> Any:
        if isinstance(value, Tensor) and value not in twins:
            empty = value.detach().to("meta")
            twins[value] = (
                nn.Parameter(empty, value.requires_grad)
                if isinstance(value, nn.Parameter)
                else empty
            )
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
