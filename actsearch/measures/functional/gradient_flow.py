"""Gradient flow: what reaches each site forward and backward on a model's own data."""

from __future__ import annotations

import math
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
class SiteFlow:
    r"""What one site sees in a forward and a backward pass: z enters, and φ stands there.

    Args:
        name: the site.
        variance: second moment :math:`E[z^2]` of what enters.
        gradient_norm: Euclidean norm of :math:`\partial L / \partial z`.
        gradient_variance: second moment :math:`E[(\partial L / \partial z)^2]`.
        sparsity: share of outputs that are exactly 0.
        dead: share of units (entries of the channel dimension) whose derivative is 0 on every
            sample.
        kappa: relative gradient noise on the model's own z, as :func:`relative_gradient_noise`.
    """

    name: str
    variance: float
    gradient_norm: float
    gradient_variance: float
    sparsity: float
    dead: float
    kappa: float


def gradient_flow(
    model: nn.Module, loss: Callable[[], Tensor], sites: Iterable[str] | None = None
) -> list[SiteFlow]:
    """Run one forward and one backward pass, and return what each site saw.

    Sites are in the order of the forward pass; one that runs more than once is measured on its last
    run. The model's parameters and their gradients are left as they are; its mode (training or
    evaluation) is the caller's choice, since it decides what normalisation does.

    Args:
        model: the model that holds the sites.
        loss: computes the scalar loss by running the model, such as ``lambda:
            F.cross_entropy(model(x), y)``.
        sites: names of the modules to watch; every :class:`actsearch.Site` and every activation
            otherwise.

    Raises:
        InvalidValueError: no site to watch, or one that the loss does not run through.

    References:
        Understanding the difficulty of training deep feedforward neural networks, X. Glorot and Y.
        Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html
    """
    names = list(sites) if sites is not None else _sites(model)
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def watch(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        # A copy, so that an activation that works in place does not overwrite what entered.
        seen.pop(name, None)
        z = inputs[0] if inputs[0].requires_grad else inputs[0].detach().requires_grad_()
        seen[name] = (z, z)
        return (z.clone(), *inputs[1:])

    def keep(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        seen[name] = (seen[name][0], output.detach().clone())

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
        gradients = torch.autograd.grad(value, [z for z, _ in seen.values()], allow_unused=True)
    flows = []
    for (name, (z, y)), gradient in zip(seen.items(), gradients, strict=True):
        given = torch.zeros_like(z) if gradient is None else gradient
        slope = slope_at(model.get_submodule(name), z)
        flows.append(
            SiteFlow(
                name,
                variance=float(z.detach().square().mean()),
                gradient_norm=float(given.norm()),
                gradient_variance=float(given.square().mean()),
                sparsity=sparsity(y),
                dead=dead_units(slope),
                kappa=relative_gradient_noise(slope),
            )
        )
    return flows


def sparsity(output: Tensor) -> float:
    """Return the share of outputs that are exactly 0.

    >>> sparsity(torch.tensor([0.0, 1.0, 0.0, 2.0]))
    0.5
    """
    return float((output == 0).float().mean())


def dead_units(slope: Tensor) -> float:
    r"""Return the share of units whose derivative is 0 on every sample.

    No gradient reaches their weights.

    Args:
        slope: :math:`\varphi'(z)`, ``(N, C)``, ``(N, C, H, W)``, or tokens ``(N, T, C)``.

    >>> dead_units(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    0.5
    """
    channels = slope.movedim(-1 if slope.ndim == 3 else min(1, slope.ndim - 1), 0).flatten(1)
    return float((channels == 0).all(1).float().mean())


def relative_gradient_noise(slope: Tensor) -> float:
    r"""Return κ on the model's own z; ``inf`` where the mean derivative is 0.

    .. math:: \kappa = E[\varphi'(z)^2] / E[\varphi'(z)]^2

    Args:
        slope: :math:`\varphi'(z)`, of any shape.

    >>> relative_gradient_noise(torch.tensor([0.0, 1.0]))
    2.0
    """
    mean = float(slope.double().mean())
    return float(slope.double().square().mean()) / mean**2 if mean else math.inf


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
