"""Number of parameters."""

from __future__ import annotations

from typing_extensions import override

from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.parameters import parameters
from actsearch.measures.measure import Measure


class Parameters(Measure):
    """Number of learned scalars of the model, each shared one once."""

    name = "parameters"
    direction = "min"

    @override
    def __call__(self, fitted: Fitted) -> float:
        return parameters(fitted.module)
