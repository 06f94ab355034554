"""Gradient flow: what reaches each site forward and backward on a model's own data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from actsearch.measures.functional.site_runs import SiteRun, site_runs


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
            sample, in every run.
        zero_slope: share of entries whose derivative is 0.
        kappa: relative gradient noise on the model's own z, as :func:`relative_gradient_noise`.
    """

    name: str
    variance: float
    gradient_norm: float
    gradient_variance: float
    sparsity: float
    dead: float
    zero_slope: float
    kappa: float

    @classmethod
    def of(cls, name: str, runs: Sequence[SiteRun]) -> Self:
        """Return what a site sees in some of its runs together."""
        z = torch.cat([run.inputs.flatten() for run in runs])
        gradient = torch.cat([run.gradient.flatten() for run in runs])
        slopes = [run.slope for run in runs]
        return cls(
            name,
            variance=float(z.square().mean()),
            gradient_norm=float(gradient.norm()),
            gradient_variance=float(gradient.square().mean()),
            sparsity=sparsity(*(run.outputs for run in runs)),
            dead=dead_units(*slopes),
            zero_slope=sparsity(*slopes),
            kappa=relative_gradient_noise(*slopes),
        )


def gradient_flow(
    model: nn.Module, loss: Callable[[], Tensor], sites: Iterable[str] | None = None
) -> list[SiteFlow]:
    """Run one forward and one backward pass, and return what each site saw in all of its runs.

    Arguments and errors are those of :func:`actsearch.measures.functional.site_runs.site_runs`,
    which returns each run by itself.

    References:
        Understanding the difficulty of training deep feedforward neural networks, X. Glorot and Y.
        Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html
    """
    found = site_runs(model, loss, sites)
    return [SiteFlow.of(name, runs) for name, runs in found.items()]


def sparsity(*outputs: Tensor) -> float:
    """Return the share of outputs that are exactly 0, of one run or several.

    >>> sparsity(torch.tensor([0.0, 1.0, 0.0, 2.0]))
    0.5
    """
    return float(torch.cat([(output == 0).flatten() for output in outputs]).double().mean())


def dead_units(*slopes: Tensor) -> float:
    r"""Return the share of units whose derivative is 0 on every sample, in every run.

    No gradient reaches their weights. Runs of another number of units are of other units.

    Args:
        *slopes: :math:`\varphi'(z)` of each run, ``(N, C)``, ``(N, C, H, W)``, or tokens ``(N, T,
            C)``.

    >>> dead_units(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    0.5
    >>> dead_units(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
    0.0
    """
    alive: dict[int, Tensor] = {}
    for slope in slopes:
        units = slope.movedim(-1 if slope.ndim == 3 else min(1, slope.ndim - 1), 0).flatten(1)
        alive[len(units)] = (units != 0).any(1) | alive.get(len(units), torch.tensor(False))
    return 1 - float(torch.cat(list(alive.values())).double().mean())


def relative_gradient_noise(*slopes: Tensor) -> float:
    r"""Return κ on the model's own z; ``inf`` where the mean derivative is 0.

    .. math:: \kappa = E[\varphi'(z)^2] / E[\varphi'(z)]^2

    Args:
        *slopes: :math:`\varphi'(z)` of each run, of any shape.

    >>> relative_gradient_noise(torch.tensor([0.0, 1.0]))
    2.0
    """
    slope = torch.cat([each.flatten() for each in slopes]).double()
    mean = float(slope.mean())
    return float(slope.square().mean()) / mean**2 if mean else math.inf
