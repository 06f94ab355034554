"""A few steps of training on one batch: what a network does at initialisation, and whether it learns anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[Any, Any], Tensor]

STEPS = 30
EXAMPLES = 64
LATE = 3
"""Losses at the end of a rehearsal that are averaged."""

LARGEST_TEACHER = 50_000_000


@dataclass(frozen=True)
class Course:
    """What a rehearsal has shown.

    Args:
        losses: before each step, and after the last; up to the first that is not finite.
        gradient: norm of the gradient of all parameters before the first step.
    """

    losses: tuple[float, ...]
    gradient: float

    @property
    def late(self) -> float:
        """The mean of the last losses."""
        last = self.losses[-LATE:]
        return sum(last) / len(last)


class Rehearsal:
    """Train copies of networks for a few steps on one batch.

    Args:
        batch: inputs, or a pair of inputs and targets.
        loss: from output and targets to a number; without it, or without targets, the network is to
            fit random linear functions of the inputs, standardised, by least squares.
        steps: how many.
    """

    def __init__(self, batch: Any, loss: Loss | None = None, steps: int = STEPS) -> None:
        paired = isinstance(batch, (tuple, list)) and len(batch) == 2
        rows = _rows(batch[0] if paired else batch)
        self.inputs: Any = _cut(batch[0] if paired else batch, rows)
        self.targets: Any = _cut(batch[1], rows) if paired else None
        self.loss = loss if self.targets is not None else None
        self.steps = steps
        self.taught: list[Tensor] = []
        self.chance: float | None = None
        """Loss of the best constant output; known once a network has run."""

    def run(self, model: nn.Module, learning_rate: float) -> Course:
        """Train a network in place, with Adam and a fixed seed, and return what its losses were."""
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(0)
            return self._run(model, learning_rate)

    def _run(self, model: nn.Module, learning_rate: float) -> Course:
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(parameters, lr=learning_rate) if parameters else None
        arguments, named = arguments_of(self.inputs)
        losses: list[float] = []
        gradient = 0.0
        for step in range(self.steps + 1):
            model.zero_grad(set_to_none=True)
            output = model(*arguments, **named)
            if self.chance is None:
                self.chance = self._chance(output)
            loss = self._loss(output)
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                break
            if not loss.requires_grad or optimiser is None:
                continue
            loss.backward()  # type: ignore[no-untyped-call,unused-ignore]  # typed in some versions of torch
            if step == 0:
                gradient = math.hypot(
                    *[float(p.grad.norm()) for p in parameters if p.grad is not None]
                )
                if not math.isfinite(gradient):
                    break
            if step < self.steps:
                optimiser.step()
        return Course(tuple(losses), gradient)

    def _loss(self, output: Any) -> Tensor:
        if self.loss is not None:
            return self.loss(output, self.targets)
        tensors = _tensors(output)
        if [t.shape for t in self.taught] != [t.shape for t in tensors]:
            self.taught = [self._teach(tensor) for tensor in tensors]
        return torch.stack(
            [(t - y).square().mean() for t, y in zip(tensors, self.taught, strict=True)]
        ).sum()

    def _teach(self, output: Tensor) -> Tensor:
        """Return what an output is to become: a random linear function of each input, where there is one for each."""
        generator = torch.Generator().manual_seed(0)
        inputs = next(iter(_tensors(self.inputs)), None)
        rows = len(output) if output.ndim else 0
        target = torch.randn(output.shape, generator=generator).to(output)
        if inputs is not None and inputs.ndim > 1 and len(inputs) == rows > 1:
            x, width = inputs.detach().flatten(1), output[0].numel()
            if x.shape[1] * width <= LARGEST_TEACHER:
                weights = torch.randn(x.shape[1], width, generator=generator).to(output)
                target = (x.to(output) @ weights).view(output.shape)
        return (target - target.mean(0)) / target.std(0).clamp(min=1e-6) if rows > 1 else target

    def _chance(self, output: Any) -> float | None:
        """Return the loss of the best constant output.

        ``None`` where outputs are not one tensor with a row an example.
        """
        if not isinstance(output, Tensor) or output.ndim == 0 or not output.is_floating_point():
            return None
        constant = (
            output.detach().nan_to_num(0.0, 0.0, 0.0).mean(0, keepdim=True).clone().requires_grad_()
        )
        optimiser = torch.optim.Adam([constant], lr=0.1)
        lowest = math.inf
        for _ in range(60):
            optimiser.zero_grad()
            loss = self._loss(constant.expand_as(output))
            if not bool(loss.isfinite()) or not loss.requires_grad:
                break
            lowest = min(lowest, float(loss.detach()))
            loss.backward()  # type: ignore[no-untyped-call,unused-ignore]  # typed in some versions of torch
            optimiser.step()
        return lowest if math.isfinite(lowest) else None


def _rows(inputs: Any) -> int:
    sizes = {len(t) for t in _tensors(inputs, every=True) if t.ndim}
    return sizes.pop() if len(sizes) == 1 else 0


def _cut(part: Any, rows: int) -> Any:
    """Return the first examples of a batch, where all of its tensors have as many rows."""
    if rows <= EXAMPLES:
        return part
    if isinstance(part, Tensor):
        return part[:EXAMPLES] if part.ndim and len(part) == rows else part
    if isinstance(part, Mapping):
        return {key: _cut(value, rows) for key, value in part.items()}
    return type(part)(_cut(value, rows) for value in part) if type(part) in (tuple, list) else part


def arguments_of(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and named arguments of a model that inputs are."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs), {}) if isinstance(inputs, (tuple, list)) else ((inputs,), {})


def _tensors(output: Any, every: bool = False) -> list[Tensor]:
    """Return the tensors of a nested structure, those of floating point alone unless all are asked for."""
    if isinstance(output, Tensor):
        return [output] if every or output.is_floating_point() else []
    if isinstance(output, Mapping):
        output = list(output.values())
    return (
        [t for part in output for t in _tensors(part, every)]
        if isinstance(output, (tuple, list))
        else []
    )
