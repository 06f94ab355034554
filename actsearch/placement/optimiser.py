"""Optimiser groups for what activations learn: no weight decay, a learning rate of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from actsearch.activations.base import Activation


def activation_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the learned parameters of every activation in a model."""
    return [
        p
        for module in model.modules()
        if isinstance(module, Activation)
        for p in module.parameters()
    ]


def split_group(
    group: Mapping[str, Any],
    own: Collection[int],
    *,
    factor: float = 1.0,
    overall: float = 1.0,
    decays: bool = True,
) -> list[dict[str, Any]]:
    """Return an optimiser group as one or two: the weights, and what activations learn.

    Args:
        group: ``params`` (one parameter, several, or pairs with their names), its own options, and
            ``lr`` where known.
        own: identities of the activations' parameters.
        factor: factor on the learning rate of the activations' parameters.
        overall: factor on the learning rate of every parameter.
        decays: whether the optimiser knows weight decay, which the activations' parameters are kept
            from.
    """
    given = group["params"]
    params = [given] if isinstance(given, Tensor) else list(given)
    learned = [p for p in params if id(p[1] if isinstance(p, tuple) else p) in own]
    weights = [p for p in params if id(p[1] if isinstance(p, tuple) else p) not in own]

    def scaled(by: float) -> dict[str, Any]:
        return {"lr": group["lr"] * by} if group.get("lr") is not None and by != 1.0 else {}

    if not decays and factor == 1.0:
        # Nothing to tell apart, and some optimisers take one group alone, such as LBFGS.
        return [{**group, "params": params, **scaled(overall)}]
    parts = [{**group, "params": weights, **scaled(overall)}] if weights or not learned else []
    if learned:
        without = {"weight_decay": 0.0} if decays else {}
        parts.append({**group, "params": learned, **scaled(overall * factor), **without})
    return parts


def optimizer_groups(
    model: nn.Module,
    *,
    lr: float,
    groups: Iterable[Any] | None = None,
    factor: float = 1.0,
    overall: float = 1.0,
    **options: Any,
) -> list[dict[str, Any]]:
    """Return the groups of an optimiser on a model, those of activations apart.

    They have no weight decay.

    Args:
        model: a model with a placement applied.
        lr: learning rate of the groups that have none of their own.
        groups: groups as an optimiser takes them, or parameters; all of the model's where not
            given.
        factor: factor on the learning rate of the activations' parameters.
        overall: factor on the learning rate of every parameter.
        **options: what else every group has that does not say otherwise, such as ``weight_decay``.
    """
    own = {id(p) for p in activation_parameters(model)}
    given = list(model.parameters() if groups is None else groups)
    listed = given if given and isinstance(given[0], Mapping) else [{"params": given}]
    parts = [
        split_group({"lr": lr, **options, **group}, own, factor=factor, overall=overall)
        for group in listed
    ]
    return [part for several in parts for part in several]


def parameter_groups(
    model: nn.Module, *, lr: float, weight_decay: float, factor: float = 1.0
) -> list[dict[str, Any]]:
    """Return optimiser groups that keep weight decay off the activations' own parameters.

    Args:
        model: a model with a placement applied.
        lr: learning rate of the weights.
        weight_decay: weight decay of the weights.
        factor: factor on the learning rate for activations.

    >>> torch.optim.AdamW(parameter_groups(model, lr=1e-3, weight_decay=1e-2))    # doctest: +SKIP
    """
    return optimizer_groups(model, lr=lr, factor=factor, weight_decay=weight_decay)


Splitter = Callable[[Optimizer, dict[str, Any]], list[dict[str, Any]]]
_SPLITTER: ContextVar[Splitter | None] = ContextVar("splitter", default=None)


class _Hook:
    """Stand in for ``Optimizer.add_param_group`` while any thread is inside of ``own_group``.

    torch has no hook for it. Where the calling thread is not inside, it does what torch does.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.original: Any = None

    def enter(self) -> None:
        with self.lock:
            if not self.inside:
                self.original = original = Optimizer.add_param_group

                def add(optimizer: Optimizer, param_group: dict[str, Any]) -> None:
                    splitter = _SPLITTER.get()
                    for part in splitter(optimizer, param_group) if splitter else [param_group]:
                        original(optimizer, part)

                patched: Any = add
                Optimizer.add_param_group = patched  # type: ignore[method-assign]  # see above
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                Optimizer.add_param_group = self.original  # type: ignore[method-assign]  # as it was


_HOOK = _Hook()


@contextmanager
def own_group(model: nn.Module, factor: float = 1.0, overall: float = 1.0) -> Iterator[None]:
    """Give the activations' parameters a group of their own in every optimiser built inside.

    An owner's code builds schedulers on an optimiser at once, some of which set a learning rate of
    their own (a warm-up), and an own training loop steps it before anyone else sees it. So the
    split happens while an optimiser is built: it adds its groups one by one through
    :meth:`torch.optim.Optimizer.add_param_group`. Optimisers of other threads are left alone.

    Args:
        model: a model with a placement applied.
        factor: factor on the learning rate of the activations' parameters.
        overall: factor on the learning rate of every parameter.
    """
    own = {id(p) for p in activation_parameters(model)}

    def splitter(optimizer: Optimizer, group: dict[str, Any]) -> list[dict[str, Any]]:
        lr = group.get("lr", optimizer.defaults.get("lr"))
        rate = {"lr": lr} if lr is not None else {}
        decays = "weight_decay" in optimizer.defaults
        return split_group(rate | group, own, factor=factor, overall=overall, decays=decays)

    token = _SPLITTER.set(splitter)
    _HOOK.enter()
    try:
        yield
    finally:
        _HOOK.leave()
        _SPLITTER.reset(token)
