"""Measures of a trained model that any search may optimise or bound, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from actsearch.measures.functional.latency import latency
from actsearch.measures.functional.parameters import parameters
from actsearch.measures.functional.peak_memory import peak_memory

Measure = Callable[[nn.Module, Any], float]
"""From a model and one input of it to a number."""

MODEL_MEASURES: Mapping[str, Measure] = MappingProxyType(
    {"latency": latency, "peak_memory": peak_memory, "parameters": parameters}
)
