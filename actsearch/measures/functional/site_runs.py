"""What each run of each site sees in one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from actsearch.activations.base import Activation
from actsearch.errors import InvalidValueError
from actsearch.placement import Site


@dataclass(frozen=True)
class SiteRun:
    r"""One run of a site, where :math:`\varphi` stands and z enters; four tensors of one shape.

    Args:
        inputs: z.
        outputs: :math:`\varphi(z)`.
        gradient: :math:`\partial L / \partial z`, by all ways on which this z reaches the loss,
            later runs of the same site included.
        slope: :math:`\varphi'(z)`.
    """

    inputs: Tensor
    outputs: Tensor
    gradient: Tensor
    slope: Tensor


def site_runs(
    model: nn.Module, loss: Callable[[], Tensor], sites: Iterable[str] | None = None
) -> dict[str, list[SiteRun]]:
    """Run one forward and one backward pass, and return the runs of each site, in order.

    A site of a recurrent network runs once a step, one of a discriminator once a pass. Sites are in
    the order of their first runs. The model's parameters and their gradients are left as they are;
    its mode (training or evaluation) is the caller's choice, since it decides what normalisation
    does.

    Args:
        model: the model that holds the sites.
        loss: computes the scalar loss by running the model, such as ``lambda:
            F.cross_entropy(model(x), y)``.
        sites: names of the modules to watch; every :class:`actsearch.Site` and every activation
            otherwise.

    Raises:
        InvalidValueError: no site to watch, or one that the loss does not run through.
    """
    names = list(sites) if sites is not None else _sites(model)
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def watch(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        # A copy, so that an activation that works in place does not overwrite what entered.
        z = inputs[0] if inputs[0].requires_grad else inputs[0].detach().requires_grad_()
        seen.setdefault(name, []).append((z, z))
        return (z.clone(), *inputs[1:])

    def keep(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        seen[name][-1] = (seen[name][-1][0], output.detach().clone())

    with ExitStack() as handles, torch.enable_grad():
        for name in names:
            site = model.get_submodule(name)
            handles.enter_context(site.register_forward_pre_hook(partial(watch, name)))
            handles.enter_context(site.register_forward_hook(partial(keep, name)))
        value = loss()
        missed = [name for name in names if name not in seen]
        if missed or not names:
            raise InvalidValueError(
                f"the loss must run through every site, but got none at {missed or 'any'}. Name"
                " others."
            )
        entered = [z for runs in seen.values() for z, _ in runs]
        gradients = iter(torch.autograd.grad(value, entered, materialize_grads=True))
    return {
        name: [
            SiteRun(z.detach(), y, next(gradients), slope_at(model.get_submodule(name), z))
            for z, y in runs
        ]
        for name, runs in seen.items()
    }


def slope_at(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Return φ'(z) elementwise.

    φ acts on each element alone, so one backward pass of the sum has them all.

    Args:
        function: φ.
        z: where; of any shape.

    >>> slope_at(torch.square, torch.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """
    point = z.detach().clone().requires_grad_()
    with torch.enable_grad():
        y = function(point.clone())
        if not y.requires_grad:
            return torch.zeros_like(point)
        (slope,) = torch.autograd.grad(y.sum(), point, allow_unused=True)
    return torch.zeros_like(point) if slope is None else slope


def _sites(model: nn.Module) -> list[str]:
    """Return the names of the outermost sites and activations."""
    names: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in names)
        if isinstance(module, (Site, Activation)) and not inside:
            names.append(name)
    return names
