"""Where a fit of a response begins: the best of several random starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .response import non_negative

if TYPE_CHECKING:
    from .task import GeneRegulation

LEAST_SHARE = 1e-3
"""Share of the range that a constant starts from where its least squares are 0."""


@torch.no_grad()
def best_start(task: GeneRegulation, starts: int) -> None:
    """Set the constants of each target to those of its best start.

    Where the response bends, how steeply, and the decay are drawn; what the targets are linear in
    are the non-negative least squares. Only a form that is not 0 at 0 has a threshold.
    """
    inputs, targets = (tensor.to(task.device) for tensor in task.select("train"))
    names = ("log_scale", "shift", "log_decay", "log_linear")
    constants = [getattr(task, name) for name in names if hasattr(task, name)]
    task.bent.fill_(float(task.regulation(torch.zeros_like(targets[:1])).any()))
    best = torch.full_like(targets[0], math.inf)
    kept = [constant.clone() for constant in constants]
    for _ in range(starts):
        _draw(task)
        errors = _fit_linear(task, inputs, targets)
        for old, new in zip(kept, constants, strict=True):
            old.copy_(torch.where(errors < best, new, old))
        best = best.minimum(errors)
    for old, new in zip(kept, constants, strict=True):
        new.copy_(old)


def _draw(task: GeneRegulation) -> None:
    place = torch.empty_like(task.shift).uniform_(math.log(0.2), math.log(2))
    steepness = torch.empty_like(place).uniform_(0, 2)
    task.log_scale.copy_(task.bent * steepness - place)
    task.shift.copy_(task.bent * steepness.exp())
    if task.course is not None:
        task.log_decay.uniform_(0, math.log(len(task.course.time)))


def _fit_linear(task: GeneRegulation, inputs: Tensor, targets: Tensor) -> Tensor:
    """Set what the targets are linear in, and return the squared error that is left ``(G,)``."""
    terms, sizes = task.terms(inputs), task.sizes(targets)
    if not terms.isfinite().all():
        return torch.full_like(targets[0], math.inf)
    if not task.fraction:
        found = non_negative(task.scales[1] * terms, targets, sizes)
        task.log_linear.copy_(found.clamp_min(LEAST_SHARE).log())
    error = (task(inputs) - targets) / sizes
    return torch.where(targets.isfinite(), error, 0).square().sum(0)
