"""How much each property of a function counts, as learned from trainings (metric.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

METRIC_FILE = Path(__file__).with_name("metric.toml")
"""Written by ``benchmarks/tables/metric.py``."""


@dataclass(frozen=True)
class Metric:
    """What maximised the marginal likelihood of trainings.

    Args:
        points: number of points that functions are compared at.
        scales: standard deviations of the input at which functions are described.
        noise: variance of the noise of a training.
        lengths: length scale of each view of a function, in the order of the views.
        variances: variance of each view.
        weights: of each descriptor, one a scale.
        at_zero: weights of the sizes of value and slope at 0.
    """

    points: int
    scales: tuple[float, ...]
    noise: float
    lengths: Mapping[str, float]
    variances: Mapping[str, float]
    weights: Mapping[str, tuple[float, ...]]
    at_zero: Mapping[str, float]

    @classmethod
    def read(cls, path: Path) -> Metric:
        """Read a file."""
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        scales = tuple(content.pop("scales"))
        weights = {name: tuple(values) for name, values in content.pop("weights").items()}
        return cls(scales=scales, weights=weights, **content)


METRIC = Metric.read(METRIC_FILE)
"""The metric that the sampler compares functions by."""
