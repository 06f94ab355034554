"""Memory of a network in C."""

from __future__ import annotations

from typing_extensions import override

from actsearch.export import c_source
from actsearch.measures.batch import tensors_of
from actsearch.measures.fitted import Fitted
from actsearch.measures.measure import Measure


class Footprint(Measure):
    """Bytes that a network takes as ``actsearch export --to c`` writes it.

    ``flash_bytes`` of its constants, the weights above all, and ``ram_bytes`` of its buffers;
    code, input and output are left out.
    """

    name = "footprint"
    direction = "min"
    needs = frozenset({"example"})

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        source = c_source(fitted.module, tensors_of(fitted.module, fitted.example))
        return {"flash_bytes": source.flash_bytes, "ram_bytes": source.ram_bytes}
