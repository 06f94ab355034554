"""Learned parameters of activations in their own optimiser group: no weight decay, their own learning rate."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
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


def split(
    group: Mapping[str, Any],
    own: Collection[int],
    *,
    factor: float = 1.0,
    overall: float = 1.0,
    decays: bool = True,
) -> list[dict[str, Any]]:
    """Return an optimiser group as one or two: the weights, and the learned parameters of activations.

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

    if (
        not decays and factor == 1.0
    ):  # nothing to tell apart, and some optimisers take one group alone, such as LBFGS
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
    """Return the groups of an optimiser on a model, those of activations apart and without weight decay.

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
        split({"lr": lr, **options, **group}, own, factor=factor, overall=overall)
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


@contextmanager
def own_group(model: nn.Module, factor: float = 1.0, overall: float = 1.0) -> Iterator[None]:
    """Split the activations' parameters off into a group of their own in every optimiser that is built inside.

    Args:
        model: a model with a placement applied.
        factor: factor on the learning rate of the activations' parameters.
        overall: factor on the learning rate of every parameter.

    A model's owner builds optimisers in their own code, and schedulers on them at once, so the
    split must happen while an optimiser is built: it adds its groups one by one through
    :meth:`torch.optim.Optimizer.add_param_group`.
    """
    own = {id(p) for p in activation_parameters(model)}
    original = Optimizer.add_param_group

    def add(optimizer: Optimizer, group: dict[str, Any]) -> None:
        lr = group.get("lr", optimizer.defaults.get("lr"))
        rate = {"lr": lr} if lr is not None else {}
        decays = "weight_decay" in optimizer.defaults
        for part in split(rate | group, own, factor=factor, overall=overall, decays=decays):
            original(optimizer, part)

    Optimizer.add_param_group = add  # type: ignore[method-assign,assignment]  # for the time of one constructor
    try:
        yield
    finally:
        Optimizer.add_param_group = original  # type: ignore[method-assign]  # as it was
