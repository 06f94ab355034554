"""Learned parameters of activations in their own optimiser group: no weight decay, their own learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.optim import Optimizer

from actsearch.activations.base import Activation


def activation_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the learned parameters of every activation in a model."""
    return [p for module in model.modules() if isinstance(module, Activation) for p in module.parameters()]


def parameter_groups(model: nn.Module, *, lr: float, weight_decay: float, factor: float = 1.0) -> list[dict[str, Any]]:
    """Return optimiser groups that keep weight decay off the activations' own parameters.

    Args:
        model: a model with a placement applied.
        lr: learning rate of the weights.
        weight_decay: weight decay of the weights.
        factor: factor on the learning rate for activations.

    >>> torch.optim.AdamW(parameter_groups(model, lr=1e-3, weight_decay=1e-2))    # doctest: +SKIP
    """
    own = {id(p) for p in activation_parameters(model)}
    groups = [{"params": [p for p in model.parameters() if id(p) not in own], "lr": lr, "weight_decay": weight_decay}]
    learned = [p for p in model.parameters() if id(p) in own]
    return [*groups, {"params": learned, "lr": lr * factor, "weight_decay": 0.0}] if learned else groups


@contextmanager
def own_group(model: nn.Module, factor: float = 1.0, overall: float = 1.0) -> Iterator[None]:
    """Split the activations' parameters off into a group of their own in every optimiser that is built inside.

    Args:
        model: a model with a placement applied.
        factor: factor on the learning rate of the activations' parameters.
        overall: factor on the learning rate of every parameter.

    A model's owner builds optimisers in their own code, and schedulers on them at once, so the split must happen while
    an optimiser is built: it adds its groups one by one through :meth:`torch.optim.Optimizer.add_param_group`.
    """
    own = {id(p) for p in activation_parameters(model)}
    original = Optimizer.add_param_group

    def split(optimizer: Optimizer, group: dict[str, Any]) -> None:
        given = group["params"]
        params = [given] if hasattr(given, "grad_fn") else list(given)
        named = [(p[1] if isinstance(p, tuple) else p) for p in params]
        rest = [p for p, tensor in zip(params, named, strict=True) if id(tensor) not in own]
        learned = [p for p, tensor in zip(params, named, strict=True) if id(tensor) in own]
        rate = group.get("lr", optimizer.defaults.get("lr"))

        def scaled(by: float) -> dict[str, Any]:
            return {"lr": rate * by} if rate is not None and by != 1.0 else {}

        if rest or not learned:
            original(optimizer, {**group, "params": rest, **scaled(overall)})
        if learned:
            decay = {"weight_decay": 0.0} if "weight_decay" in optimizer.defaults else {}
            original(optimizer, {**group, "params": learned, **scaled(overall * factor), **decay})

    Optimizer.add_param_group = split  # type: ignore[method-assign,assignment]  # for the time of one constructor
    try:
        yield
    finally:
        Optimizer.add_param_group = original  # type: ignore[method-assign]  # as it was
