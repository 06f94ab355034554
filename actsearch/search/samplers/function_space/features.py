"""An activation as a point in function space: what it puts out, its derivative, and what that does to a signal."""

from __future__ import annotations

import difflib
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

from actsearch.activations import catalogue
from actsearch.activations.base import Activation
from actsearch.activations.expression.evaluate import evaluate
from actsearch.activations.expression.expression import is_expression
from actsearch.activations.expression.grammar import ExpressionError, parse
from actsearch.activations.registry import canonical_name
from actsearch.errors import ActsearchWarning

Array = NDArray[np.float64]

POINTS = 64
SCALES = (0.5, 1.0, 2.0)
"""Standard deviations of the input at which functions are described."""

LARGEST = 1e6
"""Values and slopes beyond it are cut: a function that grows faster is as useless."""

SMALLEST = 1e-4
"""A smaller standard deviation of the outputs is taken to be this one: a constant stays a constant."""

TINY = 1e-8

METRIC = {
    "size of shift": (0.35, 0.67, 0.22),
    "variance": (0.21, 0.17, 0.25),
    "gain": (0.57, 0.34, 0.61),
    "roughness": (1.12, 0.80, 0.19),
    "dead": (0.17, 0.02, 0.02),
    "linear": (0.02, 0.03, 0.13),
    "quadratic": (0.12, 0.37, 0.14),
    "cubic": (0.17, 0.07, 0.20),
    "slower end": (0.10, 0.04, 0.04),
    "skewness": (0.23, 0.15, 0.13),
    "kurtosis": (0.41, 0.15, 0.54),
    "variation": (0.30, 0.17, 0.12),
}
"""Weight of each descriptor at each scale: what maximised the marginal likelihood of trainings, see
``benchmarks/tables/metric.py``."""

AT_ZERO = (0.20, 0.12)
"""Weights of the sizes of value and slope at 0."""

BROKEN = 4.0
"""Weight of the share of points where a function is not finite.

Set by hand: no such function was trained.
"""

GRID: Array = ndtri((np.arange(POINTS) + 0.5) / POINTS)
"""Quantiles of the standard normal distribution: what a normalised layer feeds an activation, every point as likely."""


@dataclass(frozen=True)
class Features:
    """Activations in several views, each an array with one row an activation.

    Args:
        values: outputs at the grid, standardised: the next layer's bias and weights absorb shift
            and scale.
        slopes: derivatives there, in units of the standard deviation of the outputs.
        oriented: even and odd part of the values, each turned the same way round: weights are as
            likely as their negatives, so that φ(x), φ(-x) and -φ(x) are the same but for what the
            dice gave.
        descriptors: what shift and scale do not tell, each times its weight in :data:`METRIC`:
            moments, gain, dead share, Hermite coefficients, growth.
    """

    values: Array
    slopes: Array
    oriented: Array
    descriptors: Array

    def __len__(self) -> int:
        return len(self.values)

    @property
    def views(self) -> tuple[Array, ...]:
        """The arrays that functions are compared by."""
        return self.values, self.slopes, self.oriented, self.descriptors


def is_activation(choice: object) -> bool:
    """Whether a choice of a categorical parameter names an activation: a name of the catalogue, or an expression.

    >>> [is_activation(choice) for choice in ("relu", "nn.ReLU", "mul(x,tanh(x))", "adam", 3)]
    [True, True, True, False, False]
    """
    if not isinstance(choice, str):
        return False
    if canonical_name(choice) is not None:
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

    Where most others are, that is told: one misspelt name among many would turn the method off in
    silence. The last few answers are kept, so that a sampler made anew for every trial computes
    them once.
    """
    if not all(isinstance(choice, str) for choice in choices):
        return None
    key = tuple(str(choice) for choice in choices)
    if key in _known:
        _known.move_to_end(key)
    else:
        others = [choice for choice in key if not is_activation(choice)]
        _known[key] = None if others else compute(key)
        if 0 < len(others) < len(key) / 2:
            _warn_of(others)
        if len(_known) > _KEPT:
            _known.popitem(last=False)
    return _known[key]


def _warn_of(others: Sequence[str]) -> None:
    hints = []
    for name in others[:5]:
        unary = f"{name}(x)"
        nearest = (
            [unary]
            if is_activation(unary)
            else difflib.get_close_matches(name.lower(), catalogue(), n=1, cutoff=0.5)
        )
        hints.append(repr(name) + (f" (perhaps {nearest[0]!r})" if nearest else ""))
    warnings.warn(
        f"choices must all be activations to be seen as functions, but {', '.join(hints)}"
        f" {'is none' if len(others) == 1 else 'are none'}: the parameter is sampled as any other."
        " Take them out, or rename them.",
        ActsearchWarning,
        stacklevel=2,
    )


def compute(candidates: Sequence[str | Activation]) -> Features:
    r"""Return the features of activations.

    .. math::
        v_j = \frac{\varphi(x_j) - \mu}{\sigma}, \quad s_j = \operatorname{arsinh} \frac{\varphi'(x_j)}{\sigma}, \quad
        x_j = \Phi^{-1}\!\left(\tfrac{j - 1/2}{64}\right)

    Descriptors are taken on inputs of standard deviation 1/2, 1 and 2: default initialisations feed
    less than 1, and training moves it.

    Numerics: what is not finite counts as 0, beyond 10⁶ as 10⁶, and its share is a descriptor.
        Descriptors are squashed
    by fixed functions, not by the distribution of the candidates: a candidate's features do not
        depend on the others.

    Args:
        candidates: names, expressions, or activations at their start values.
    """
    grid = torch.from_numpy(np.concatenate([scale * GRID for scale in SCALES]))
    raw, slope = (t.numpy() for t in evaluate(list(candidates), grid))
    broken = 1 - (np.isfinite(raw) & np.isfinite(slope)).mean(1)
    raw, slope = (
        np.clip(np.nan_to_num(a, nan=0.0, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST)
        for a in (raw, slope)
    )
    parts = [slice(i * POINTS, (i + 1) * POINTS) for i in range(len(SCALES))]
    described = [
        _descriptors(raw[:, p], scale * slope[:, p]) for p, scale in zip(parts, SCALES, strict=True)
    ]
    middle = parts[SCALES.index(1.0)]
    values, slopes = _standardised(raw[:, middle], slope[:, middle])
    weighted = [
        w * columns[name]
        for name, ws in METRIC.items()
        for w, columns in zip(ws, described, strict=True)
    ]
    centre = slice(middle.start + POINTS // 2 - 1, middle.start + POINTS // 2 + 1)
    at_zero = [np.abs(np.arcsinh(a[:, centre].mean(1))) for a in (raw, slope)]
    weighted += [w * column for w, column in zip(AT_ZERO, at_zero, strict=True)]
    descriptors = np.stack([*weighted, BROKEN * broken], 1)
    return Features(values, np.arcsinh(slopes), _oriented(values), descriptors)


def _oriented(values: Array) -> Array:
    """Return the even and the odd part, turned so that their quadratic and linear coefficients are positive."""
    even, odd = (values + values[:, ::-1]) / 2, (values - values[:, ::-1]) / 2
    up = np.where(even @ (GRID**2 - 1) >= 0, 1.0, -1.0)[:, None]
    right = np.where(odd @ GRID >= 0, 1.0, -1.0)[:, None]
    return np.concatenate([up * even, right * odd], 1)


def _standardised(raw: Array, slope: Array) -> tuple[Array, Array]:
    unit = np.maximum(raw.std(1, keepdims=True), SMALLEST)
    return (raw - raw.mean(1, keepdims=True)) / unit, slope / unit


def _descriptors(raw: Array, slope: Array) -> dict[str, Array]:
    """Return the descriptors of functions of a standard normal variable, given at its quantiles."""
    values, slopes = _standardised(raw, slope)
    mean, deviation = raw.mean(1), raw.std(1)
    left, right = np.abs(slopes[:, :4]).mean(1), np.abs(slopes[:, -4:]).mean(1)
    return {
        "size of shift": np.abs(np.arcsinh(mean / np.maximum(deviation, SMALLEST))) / 2,
        "variance": np.log(deviation**2 + TINY) / 4,
        "gain": np.log((slope**2).mean(1) + TINY) / 4,
        "roughness": np.log((slopes**2).mean(1) + TINY) / 2,
        "dead": (np.abs(slopes) < 0.01).mean(1) * 2,
        "linear": np.abs((values * GRID).mean(1)) * 2,  # Hermite coefficients
        "quadratic": np.abs((values * (GRID**2 - 1)).mean(1)) * np.sqrt(2),
        "cubic": np.abs((values * (GRID**3 - 3 * GRID)).mean(1)) * 2 / np.sqrt(6),
        "slower end": np.log(np.minimum(left, right) + 0.01) / 3,  # growth at either end
        "skewness": np.arcsinh(np.abs((values**3).mean(1))),
        "kurtosis": np.log((values**4).mean(1) + TINY) / 2,
        "variation": np.log(np.abs(np.diff(slopes, axis=1)).sum(1) + 0.01) / 3,
    }
