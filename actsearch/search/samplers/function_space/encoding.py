"""The parameters that are modelled together, and configurations of them as rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from actsearch.search.samplers.function_space.features import Features, features_of
from actsearch.search.samplers.function_space.settings import DEFAULTS, Settings

Array = NDArray[np.float64]
Distributions = dict[str, BaseDistribution]


@dataclass(frozen=True)
class Dimension:
    """A parameter; a configuration has one number for it.

    That number is an index for a categorical parameter, and in [0, 1] for a number, on a
    logarithmic scale where the distribution has one.

    Args:
        name: the Optuna parameter.
        distribution: its distribution.
        features: where every choice is an activation, their features.
    """

    name: str
    distribution: BaseDistribution
    features: Features | None = None

    @property
    def choices(self) -> tuple[Any, ...]:
        """The choices of a categorical parameter, none of a number."""
        return (
            tuple(self.distribution.choices)
            if isinstance(self.distribution, CategoricalDistribution)
            else ()
        )

    @property
    def size(self) -> int:
        """Number of choices of a categorical parameter, 0 for a number."""
        return len(self.choices)

    @cached_property
    def _places(self) -> dict[Any, int]:
        """The place of each choice, the first where several are equal."""
        last = self.size - 1
        return {choice: last - i for i, choice in enumerate(reversed(self.choices))}

    def allows(self, value: Any) -> bool:
        """Whether a value is a choice, or inside of the range."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            try:
                self.encode(value)
            except ValueError:
                return False
            return True
        assert isinstance(d, (FloatDistribution, IntDistribution))
        return bool(d.low <= value <= d.high)

    @property
    def middle(self) -> float:
        """The number of a value in the middle, of a first choice."""
        return 0.0 if self.size else 0.5

    def encode(self, value: Any) -> float:
        """Return the number of a value."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            try:
                return float(self._places[value])
            except (KeyError, TypeError):  # NaN, which equals no key, or no choice at all
                return float(d.to_internal_repr(value))
        assert isinstance(d, (FloatDistribution, IntDistribution))
        low, high = _ends(d)
        return (_scaled(value, d.log) - low) / (high - low)

    def decode(self, number: float) -> Any:
        """Return the value of a number."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return d.choices[round(number)]
        assert isinstance(d, (FloatDistribution, IntDistribution))
        low, high = _ends(d)
        scaled = low + min(max(number, 0.0), 1.0) * (high - low)
        value = math.exp(scaled) if d.log else scaled
        if d.step is not None:
            value = d.low + d.step * round((value - d.low) / d.step)
        value = min(max(value, d.low), d.high)
        return int(value) if isinstance(d, IntDistribution) else float(value)

    def snap(self, numbers: Array) -> Array:
        """Return the nearest numbers that stand for values: those of a grid, if there is one."""
        if isinstance(self.distribution, FloatDistribution) and self.distribution.step is None:
            return np.clip(numbers, 0, 1)
        return np.array([self.encode(self.decode(number)) for number in numbers])

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Return numbers of random values, uniform."""
        return (
            rng.integers(self.size, size=count).astype(float)
            if self.size
            else self.snap(rng.random(count))
        )


def _scaled(value: float, log: bool) -> float:
    return math.log(value) if log else float(value)


def _ends(d: FloatDistribution | IntDistribution) -> tuple[float, float]:
    """Return the scaled ends.

    A whole step is added where values are discrete, half a one at either end.
    """
    half = 0.5 * d.step if d.step is not None else 0.0
    low = d.low - half
    return _scaled(low if low > 0 or not d.log else d.low, d.log), _scaled(d.high + half, d.log)


@dataclass(frozen=True)
class Encoding:
    """The parameters that are modelled together, and configurations of them as rows of numbers.

    These are the parameters that every trial has, activations first.

    Args:
        activations: parameters whose choices are all activations.
        others: the other parameters.
    """

    activations: tuple[Dimension, ...]
    others: tuple[Dimension, ...]

    @classmethod
    def of(
        cls, distributions: Mapping[str, BaseDistribution], settings: Settings = DEFAULTS
    ) -> Encoding:
        """Return the encoding of parameters."""
        activations: list[Dimension] = []
        others: list[Dimension] = []
        for name, distribution in sorted(distributions.items()):
            features = (
                features_of(distribution.choices, settings)
                if isinstance(distribution, CategoricalDistribution)
                else None
            )
            (others if features is None else activations).append(
                Dimension(name, distribution, features)
            )
        return cls(tuple(activations), tuple(others))

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """All parameters, in the order of a row."""
        return (*self.activations, *self.others)

    def encode(self, parameters: Mapping[str, Any]) -> Array:
        """Return the row of a configuration."""
        return np.array(
            [dimension.encode(parameters[dimension.name]) for dimension in self.dimensions]
        )

    def decode(self, row: Array) -> dict[str, Any]:
        """Return the configuration of a row."""
        return {
            dimension.name: dimension.decode(number)
            for dimension, number in zip(self.dimensions, row, strict=True)
        }

    def holds(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a configuration has every parameter, with a value that is allowed."""
        return all(
            dimension.name in parameters and dimension.allows(parameters[dimension.name])
            for dimension in self.dimensions
        )

    @property
    def finite(self) -> int | None:
        """Number of configurations, ``None`` where a parameter is continuous."""
        count = 1
        for dimension in self.dimensions:
            if not dimension.size:
                return None
            count *= dimension.size
        return count


_SHARED: WeakKeyDictionary[Study, tuple[frozenset[int], Distributions]] = WeakKeyDictionary()
"""By study the numbers of the trials that ended, and what these share."""


def shared(study: Study, trials: Sequence[FrozenTrial]) -> Distributions:
    """Return the parameters that every trial has, with the same distribution and several values.

    Trials that ended count, each looked at once, since it does not change; where none has, those
    that run or failed do.
    """
    some = [t for t in trials if t.distributions]
    ended = {t.number: t for t in some if t.state in (TrialState.COMPLETE, TrialState.PRUNED)}
    seen, common = _SHARED.get(study, (frozenset(), {}))
    if not seen or not seen <= ended.keys():
        seen, common = frozenset(), next((t.distributions for t in ended.values() or some), {})
    for trial in (t for n, t in ended.items() if n not in seen) if ended else some:
        other = trial.distributions
        common = {n: d for n, d in common.items() if n in other and _equal(d, other[n])}
    if ended:
        _SHARED[study] = frozenset(ended), common
    return {name: d for name, d in common.items() if not d.single()}


def _equal(one: BaseDistribution, other: BaseDistribution) -> bool:
    """Whether distributions are equal; Optuna takes a millisecond to compare 300 choices."""
    if isinstance(one, CategoricalDistribution) and isinstance(other, CategoricalDistribution):
        return one.choices == other.choices or one == other
    return one == other
