"""Whether a network has a continuous derivative between its samples."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.activations.properties.breaks import Function
from actsearch.errors import InvalidValueError, MeasureError
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.jump_ratio import jump_ratio
from actsearch.measures.measure import Measure
from actsearch.measures.piecewise_linear import first_rows


class SmoothnessOnSegments(Measure):
    r"""How much of the largest jump of the network's derivative is left at a tenth of the step.

    Along segments between samples: 1 where it has kinks, 0.1 where it is continuously
    differentiable. ``smoothness`` knows as much of the activations alone; this sees the trained
    network, pooling and all. Derivatives are along the segment, of a random sum of the outputs.

    Args:
        order: the highest derivative that is looked at: 1 finds kinks, 2 also jumps of the second
            derivative, which ELU has and GELU has not.
        segments: number of segments, each from one row of the measured split to the next.
        cells: steps over a segment at first.

    Raises:
        InvalidValueError: an option out of its range; outputs or derivatives that are not finite.
        MeasureError: a model that is not from one tensor of numbers to one; one that does not
            compute in double precision; fewer than two different rows.
    """

    name = "smoothness_on_segments"
    direction = "min"
    needs = frozenset({"example"})

    def __init__(self, order: int = 1, segments: int = 12, cells: int = 300) -> None:
        if min(order, segments, cells) < 1:
            raise InvalidValueError(
                f"order, segments and cells must be at least 1, but got {order=}, {segments=},"
                f" {cells=}."
            )
        self.order = order
        self.segments = segments
        self.cells = cells

    @override
    def __call__(self, fitted: Fitted) -> float:
        rows = _samples(fitted, self.segments + 1, self.name)
        ends = [pair for pair in pairwise(rows) if not torch.equal(*pair)]
        if not ends:
            raise MeasureError(
                f"{self.name} must have two different rows, but {fitted.name} has {len(rows)} that"
                " are one. Give it more data."
            )
        return jump_ratio([_along(fitted, *pair) for pair in ends], self.order, self.cells)

    @override
    def check(self, fitted: Fitted) -> None:
        start = _samples(fitted, 1, self.name)[0]
        try:
            _along(fitted, start, start)(torch.zeros(1, dtype=torch.float64))
        except Exception as error:  # the module's own code
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise MeasureError(
                f"{self.name} must have a model that computes one tensor in double precision, but"
                f" {fitted.name} gives {reason}. Choose another model."
            ) from error


def _samples(fitted: Fitted, count: int, what: str) -> Tensor:
    """Return the first inputs of the measured split, in double precision.

    Raises:
        MeasureError: the model takes something else than one tensor of numbers.
    """
    example = fitted.example
    if not isinstance(example, Tensor) or not example.is_floating_point() or example.ndim < 2:
        raise MeasureError(
            f"{what} must have a model of one tensor of numbers, but {fitted.name} takes"
            f" {type(example).__name__} {getattr(example, 'dtype', '')}. Choose another model."
        )
    return torch.from_numpy(first_rows(fitted, count)).reshape(-1, *example.shape[1:])


def _along(fitted: Fitted, start: Tensor, end: Tensor) -> Function:
    """Return a random sum of the outputs along a segment, as a function of 0 to 1."""
    module = fitted.module
    state = {
        name: tensor.detach().double() if tensor.is_floating_point() else tensor
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    device = next(iter(state.values())).device if state else torch.device("cpu")

    def curve(t: Tensor) -> Tensor:
        points = start + t.reshape(-1, *[1] * start.ndim) * (end - start)
        outputs: Tensor = torch.func.functional_call(module, state, (points.to(device),)).cpu()
        outputs = outputs.reshape(len(points), -1)
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(outputs.shape[1], generator=generator, dtype=torch.float64)
        return outputs @ weights / math.sqrt(len(weights))

    return curve
