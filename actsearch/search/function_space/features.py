"""An activation as a point in function space: what it puts out, its derivative, and what that does to a signal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

from actsearch.activations import catalogue
from actsearch.activations.base import Activation
from actsearch.activations.evaluate import evaluate
from actsearch.activations.expression import is_expression
from actsearch.activations.grammar import ExpressionError, parse

Array = NDArray[np.float64]

POINTS = 64
SCALES = (0.5, 1.0, 2.0)
"""Standard deviations of the input at which functions are described."""

LARGEST = 1e6
"""Values and slopes beyond it are cut: a function that grows faster is as useless."""

SMALLEST = 1e-4
"""A smaller standard deviation of the outputs is taken to be this one: a constant stays a constant."""

TINY = 1e-8

GRID: Array = ndtri((np.arange(POINTS) + 0.5) / POINTS)
"""Quantiles of the standard normal distribution: what a normalised layer feeds an activation, every point as likely."""


@dataclass(frozen=True)
class Features:
    """Activations in three views, each an array with one row an activation.

    Args:
        values: outputs at the grid, standardised: the next layer's bias and weights absorb shift and scale.
        slopes: derivatives there, in units of the standard deviation of the outputs.
        descriptors: what shift and scale do not tell: moments, gain, dead share, Hermite coefficients, growth.
    """

    values: Array
    slopes: Array
    descriptors: Array

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Sequence[int] | NDArray[np.intp]) -> Features:
        return Features(self.values[rows], self.slopes[rows], self.descriptors[rows])

    @property
    def views(self) -> tuple[Array, Array, Array]:
        """The three arrays."""
        return self.values, self.slopes, self.descriptors


def is_activation(choice: object) -> bool:
    """Whether a choice of a categorical parameter names an activation: a name of the catalogue, or an expression.

    >>> [is_activation(choice) for choice in ("relu", "mul(x,tanh(x))", "adam", 3)]
    [True, True, False, False]
    """
    if not isinstance(choice, str):
        return False
    if choice in catalogue():
        return True
    if not is_expression(choice):
        return False
    try:
        parse(choice)
    except ExpressionError:
        return False
    return True


_known: OrderedDict[tuple[str, ...], Features | None] = OrderedDict()
_KEPT = 16


def features_of(choices: tuple[object, ...]) -> Features | None:
    """Return the features of a categorical parameter's choices, ``None`` where one of them is no activation.

    The last few answers are kept, so that a sampler made anew for every trial computes them once.
    """
    if not all(isinstance(choice, str) for choice in choices):
        return None
    key = tuple(str(choice) for choice in choices)
    if key in _known:
        _known.move_to_end(key)
    else:
        _known[key] = compute(key) if all(is_activation(choice) for choice in key) else None
        if len(_known) > _KEPT:
            _known.popitem(last=False)
    return _known[key]


def compute(candidates: Sequence[str | Activation]) -> Features:
    r"""Return the features of activations.

    .. math::
        v_j = \frac{\varphi(x_j) - \mu}{\sigma}, \quad s_j = \operatorname{arsinh} \frac{\varphi'(x_j)}{\sigma}, \quad
        x_j = \Phi^{-1}\!\left(\tfrac{j - 1/2}{64}\right)

    Descriptors are taken on inputs of standard deviation 1/2, 1 and 2: default initialisations feed less than 1, and
    training moves it.

    Numerics: what is not finite counts as 0, beyond 10⁶ as 10⁶, and its share is a descriptor. Descriptors are squashed
    by fixed functions, not by the distribution of the candidates: a candidate's features do not depend on the others.

    Args:
        candidates: names, expressions, or activations at their start values.
    """
    grid = torch.from_numpy(np.concatenate([scale * GRID for scale in SCALES]))
    raw, slope = (t.numpy() for t in evaluate(list(candidates), grid))
    broken = 1 - (np.isfinite(raw) & np.isfinite(slope)).mean(1)
    raw, slope = (
        np.clip(np.nan_to_num(a, nan=0.0, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST) for a in (raw, slope)
    )
    descriptors = []
    for i, scale in enumerate(SCALES):
        part = slice(i * POINTS, (i + 1) * POINTS)
        descriptors.append(_descriptors(raw[:, part], scale * slope[:, part]))
        if scale == 1.0:
            values, slopes = _standardised(raw[:, part], slope[:, part])
    every = np.concatenate(descriptors, 1) / np.sqrt(len(SCALES))
    return Features(values, np.arcsinh(slopes), np.concatenate([every, 4 * broken[:, None]], 1))


def _standardised(raw: Array, slope: Array) -> tuple[Array, Array]:
    unit = np.maximum(raw.std(1, keepdims=True), SMALLEST)
    return (raw - raw.mean(1, keepdims=True)) / unit, slope / unit


def _descriptors(raw: Array, slope: Array) -> Array:
    """Return the descriptors of functions of a standard normal variable, given at its quantiles."""
    values, slopes = _standardised(raw, slope)
    mean, deviation = raw.mean(1), raw.std(1)
    left, right = np.abs(slopes[:, :4]).mean(1), np.abs(slopes[:, -4:]).mean(1)
    columns = [
        np.arcsinh(mean / np.maximum(deviation, SMALLEST)) / 2,
        np.log((raw**2).mean(1) + TINY) / 4,
        np.log(deviation**2 + TINY) / 4,
        np.log((slope**2).mean(1) + TINY) / 4,
        np.log((slopes**2).mean(1) + TINY) / 2,
        np.arcsinh(slope.mean(1)),
        (np.abs(slopes) < 0.01).mean(1) * 2,  # dead share
        np.abs((values * GRID).mean(1)) * 2,  # Hermite coefficients: linear, quadratic, cubic part
        np.abs((values * (GRID**2 - 1)).mean(1)) * np.sqrt(2),
        np.abs((values * (GRID**3 - 3 * GRID)).mean(1)) * 2 / np.sqrt(6),
        np.log(np.abs(values).max(1) + TINY),
        np.log(np.minimum(left, right) + 0.01) / 3,  # growth at either end
        np.log(np.maximum(left, right) + 0.01) / 3,
        np.maximum((slope > 0).mean(1), (slope < 0).mean(1)) * 2,  # monotone share
    ]
    return np.stack(columns, 1)
