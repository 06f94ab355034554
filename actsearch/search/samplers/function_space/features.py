"""An activation as a point in function space: its outputs, its derivative, and what they do."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

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
from actsearch.search.samplers.function_space.metric import METRIC
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]

TINY = 1e-8
"""Added where a logarithm of 0 would be taken."""

FEATURE_GRID: Array = ndtri((np.arange(METRIC.points) + 0.5) / METRIC.points)
"""What a normalised layer feeds an activation, every point as likely."""


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


def names_activation(choice: object) -> bool:
    """Whether a choice names an activation: it is in the catalogue, or an expression.

    >>> [names_activation(choice) for choice in ("relu", "nn.ReLU", "mul(x,tanh(x))", "adam", 3)]
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


def features_of(choices: tuple[object, ...], settings: Settings = DEFAULTS) -> Features | None:
    """Return the features of a parameter's choices, ``None`` where one of them is no activation.

    Where most others are, that is told: one misspelt name among many would turn the method off in
    silence. The last few answers are kept, so that a sampler made anew for every trial computes
    them once.
    """
    if not all(isinstance(choice, str) for choice in choices):
        return None
    return _features_of_names(tuple(str(choice) for choice in choices), settings)


@lru_cache(maxsize=16)
def _features_of_names(names: tuple[str, ...], settings: Settings) -> Features | None:
    others = [name for name in names if not names_activation(name)]
    if 0 < len(others) < len(names) / 2:
        _warn_of(others)
    return None if others else compute(names, settings)


def _warn_of(others: Sequence[str]) -> None:
    hints = []
    for name in others[:5]:
        unary = f"{name}(x)"
        nearest = (
            [unary]
            if names_activation(unary)
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


def compute(candidates: Sequence[str | Activation], settings: Settings = DEFAULTS) -> Features:
    r"""Return the features of activations.

    .. math::
        v_j = \frac{\varphi(x_j) - \mu}{\sigma}, \quad
        s_j = \operatorname{arsinh} \frac{\varphi'(x_j)}{\sigma}, \quad
        x_j = \Phi^{-1}\!\left(\tfrac{j - 1/2}{64}\right)

    Descriptors are taken on inputs of standard deviation 1/2, 1 and 2: default initialisations feed
    less than 1, and training moves it.

    Numerics: what is not finite counts as 0, beyond 10⁶ as 10⁶, and its share is a descriptor.
    Descriptors are squashed by fixed functions, not by the distribution of the candidates: a
    candidate's features do not depend on the others.

    Args:
        candidates: names, expressions, or activations at their start values.
        settings: where values are cut, and the weight of what is not finite.
    """
    grid = torch.from_numpy(np.concatenate([scale * FEATURE_GRID for scale in METRIC.scales]))
    raw, slope = (t.numpy() for t in evaluate(list(candidates), grid))
    broken = 1 - (np.isfinite(raw) & np.isfinite(slope)).mean(1)
    raw, slope = _capped(raw, settings), _capped(slope, settings)
    parts = [slice(i * METRIC.points, (i + 1) * METRIC.points) for i in range(len(METRIC.scales))]
    least = settings.smallest_deviation
    described = [
        _descriptors(raw[:, part], scale * slope[:, part], least)
        for part, scale in zip(parts, METRIC.scales, strict=True)
    ]
    weighted = [
        weight * columns[name]
        for name, weights in METRIC.weights.items()
        for weight, columns in zip(weights, described, strict=True)
    ]
    middle = parts[METRIC.scales.index(1.0)]
    centre = slice(middle.start + METRIC.points // 2 - 1, middle.start + METRIC.points // 2 + 1)
    for name, numbers in (("value", raw), ("slope", slope)):
        at_zero = np.abs(np.arcsinh(numbers[:, centre].mean(1)))
        weighted.append(METRIC.at_zero[name] * at_zero)
    values, slopes = _standardised(raw[:, middle], slope[:, middle], least)
    descriptors = np.stack([*weighted, settings.broken_weight * broken], 1)
    return Features(values, np.arcsinh(slopes), _oriented(values), descriptors)


def _capped(numbers: Array, settings: Settings) -> Array:
    largest = settings.largest
    finite = np.nan_to_num(numbers, nan=0.0, posinf=largest, neginf=-largest)
    return np.clip(finite, -largest, largest)


def _oriented(values: Array) -> Array:
    """Return the even and the odd part, with quadratic and linear coefficient made positive."""
    even, odd = (values + values[:, ::-1]) / 2, (values - values[:, ::-1]) / 2
    up = np.where(even @ (FEATURE_GRID**2 - 1) >= 0, 1.0, -1.0)[:, None]
    right = np.where(odd @ FEATURE_GRID >= 0, 1.0, -1.0)[:, None]
    return np.concatenate([up * even, right * odd], 1)


def _standardised(raw: Array, slope: Array, least: float) -> tuple[Array, Array]:
    unit = np.maximum(raw.std(1, keepdims=True), least)
    return (raw - raw.mean(1, keepdims=True)) / unit, slope / unit


def _descriptors(raw: Array, slope: Array, least: float) -> dict[str, Array]:
    """Return the descriptors of functions of a standard normal variable, given at its quantiles."""
    values, slopes = _standardised(raw, slope, least)
    mean, deviation = raw.mean(1), raw.std(1)
    left, right = np.abs(slopes[:, :4]).mean(1), np.abs(slopes[:, -4:]).mean(1)
    return {
        "size of shift": np.abs(np.arcsinh(mean / np.maximum(deviation, least))) / 2,
        "variance": np.log(deviation**2 + TINY) / 4,
        "gain": np.log((slope**2).mean(1) + TINY) / 4,
        "roughness": np.log((slopes**2).mean(1) + TINY) / 2,
        "dead": (np.abs(slopes) < 0.01).mean(1) * 2,
        "linear": np.abs((values * FEATURE_GRID).mean(1)) * 2,  # Hermite coefficients
        "quadratic": np.abs((values * (FEATURE_GRID**2 - 1)).mean(1)) * np.sqrt(2),
        "cubic": np.abs((values * (FEATURE_GRID**3 - 3 * FEATURE_GRID)).mean(1)) * 2 / np.sqrt(6),
        "slower end": np.log(np.minimum(left, right) + 0.01) / 3,  # growth at either end
        "skewness": np.arcsinh(np.abs((values**3).mean(1))),
        "kurtosis": np.log((values**4).mean(1) + TINY) / 2,
        "variation": np.log(np.abs(np.diff(slopes, axis=1)).sum(1) + 0.01) / 3,
    }
