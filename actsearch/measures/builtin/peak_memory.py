"""Memory that a training step keeps for its backward pass."""

from __future__ import annotations

from typing_extensions import override

from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.peak_memory import peak_memory
from actsearch.measures.measure import Measure


class PeakMemory(Measure):
    """MiB that a training step on the example input keeps for its backward pass.

    It is what activations decide of a training's memory; parameters are left out. The forward pass
    is that of training, with dropout and the statistics of the batch.
    """

    name = "peak_memory"
    direction = "min"
    needs = frozenset({"example"})

    @override
    def __call__(self, fitted: Fitted) -> float:
        fitted.module.train()
        return peak_memory(fitted.module, fitted.example)
