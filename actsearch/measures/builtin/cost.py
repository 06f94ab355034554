"""Cost of a sample in C."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from typing_extensions import override

from actsearch.export import c_source, check_c
from actsearch.export.c_check import require_c_compiler
from actsearch.export.cost import cycles, operations
from actsearch.measures.batch import tensors_of
from actsearch.measures.fitted import Fitted
from actsearch.measures.measure import Measure

TIMED_REPEATS = 200
"""Of the samples of the test, for their time."""


class Cost(Measure):
    """What a sample costs, as ``actsearch export --to c`` writes the network.

    Args:
        unit: ``ops``, counted in additions (a division is 4, a function of ``math.h`` 40);
            ``cycles`` of a Cortex-M4F, of its arithmetic alone; or ``latency``, nanoseconds on this
            machine, compiled.
        clock: of the Cortex-M4F in MHz; ``cycles`` are then microseconds.
    """

    name = "cost"
    direction = "min"
    needs = frozenset({"example"})

    def __init__(
        self,
        unit: Literal["ops", "cycles", "latency"] = "ops",
        clock: float | None = None,
    ) -> None:
        self.unit, self.clock = unit, clock

    @override
    def check(self, fitted: Fitted) -> None:
        if self.unit == "latency":
            require_c_compiler("its latency")
        self(fitted)

    @override
    def __call__(self, fitted: Fitted) -> float:
        source = c_source(fitted.module, tensors_of(fitted.module, fitted.example))
        if self.unit == "ops":
            return operations(source.counts)
        if self.unit == "cycles":
            return cycles(source.counts) / (self.clock or 1)
        with tempfile.TemporaryDirectory(prefix="actsearch-") as folder:
            path = Path(folder) / "network.c"
            path.write_text(source.text, encoding="utf-8")
            return check_c(path, TIMED_REPEATS).nanoseconds
