"""What a sample costs in C: operations, or cycles of a Cortex-M4F; loads and loops are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

OPERATIONS: Mapping[str, int] = MappingProxyType(
    {"/": 4, "sqrtf": 4, "cast": 1}
    | dict.fromkeys(("fabsf", "floorf", "ceilf", "truncf", "rintf", "copysignf"), 1)
)
"""In additions; a function of ``math.h`` that is not named takes forty, all else one."""

CYCLES: Mapping[str, int] = MappingProxyType(
    {
        "/": 14,
        "sqrtf": 14,
        "cast": 1,
        "fabsf": 1,
        "<": 2,
        "?": 1,
        "copysignf": 2,
        "floorf": 6,
        "ceilf": 6,
        "truncf": 2,
        "rintf": 6,
        "expf": 39,
        "exp2f": 39,
        "expm1f": 49,
        "logf": 42,
        "log1pf": 48,
        "tanhf": 67,
        "sinhf": 65,
        "coshf": 65,
        "erff": 45,
        "erfcf": 45,
        "sinf": 30,
        "cosf": 30,
        "atanf": 45,
    }
)
"""Cycles of a Cortex-M4F: of an instruction as its manual has them, a comparison with the move of
its flags; of a function the floating-point instructions on its usual way, counted in fdlibm's
source in single precision. What else a function does (loads, branches, its call) takes as long
again: cosf was measured at 96 to 154 cycles. All else one; a function that is not named, 60.

References:
    Cortex-M4 Technical Reference Manual, FPU instruction set, Arm, 2010,
    https://developer.arm.com/documentation/ddi0439
    Freely Distributable LIBM, Sun Microsystems, 1993, https://www.netlib.org/fdlibm
    Trig function performance surprises, embeff,
    https://embeff.com/trig-function-performance-surprises
"""


def operations(counts: Counter[str]) -> int:
    """Return the operations of a sample, in additions.

    >>> operations(Counter({"*": 3, "/": 1, "tanhf": 1}))
    47
    """
    return _total(counts, OPERATIONS, 40)


def cycles(counts: Counter[str]) -> int:
    """Return the cycles of a sample on a Cortex-M4F.

    >>> cycles(Counter({"*": 3, "/": 1, "tanhf": 1}))
    84
    """
    return _total(counts, CYCLES, 60)


def _total(counts: Counter[str], table: Mapping[str, int], function: int) -> int:
    return sum(
        times * table.get(what, function if what[0].isalpha() else 1)
        for what, times in counts.items()
    )
