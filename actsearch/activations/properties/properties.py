"""The facts of an activation: declared where known analytically, estimated where not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from actsearch.errors import UnknownNameError

INFINITY = math.inf


@dataclass(frozen=True)
class Properties:
    r"""Machine-readable facts of an activation :math:`\varphi` at given parameter values.

    With :math:`z \sim N(0, 1)` throughout.

    Args:
        smoothness: largest k with φ in C^k; -1 where φ itself jumps, ``inf`` where every derivative
            exists.
        derivative_bound: :math:`L_\varphi = \sup |\varphi'|` over the real line; ``inf`` where
            there is none.
        minimum: greatest lower bound of φ.
        maximum: least upper bound of φ.
        monotone: φ never decreases.
        odd: φ(-x) = -φ(x).
        even: φ(-x) = φ(x).
        zero_preserving: φ(0) = 0.
        convex: φ is convex.
        bijective: φ is one to one onto the open interval (minimum, maximum).
        positively_homogeneous: φ(cx) = cφ(x) for c > 0.
        pieces: number of linear pieces of a piecewise linear φ; ``None`` for any other.
        left: limit of φ(x)/x as x → -∞ (the slope of the left asymptote; ``inf`` where it grows
            faster).
        right: limit of φ(x)/x as x → ∞.
        kappa: relative gradient noise :math:`E[\varphi'(z)^2] / E[\varphi'(z)]^2`.
        forward_gain: :math:`1 / E[\varphi(z)^2]`, the variance-preserving gain of the forward pass.
        backward_gain: :math:`1 / E[\varphi'(z)^2]`, that of the backward pass.
        sparsity: :math:`P(\varphi(z) = 0)`.
        saturation: :math:`P(|\varphi'(z)| < 0.01)`.
        safe_range: by dtype (``float32``, ``float16``, ``bfloat16``), the largest R such that value
            and derivative are finite on [-R, R].
        cost: elementwise floating-point operations of one forward pass.
        declared: names of the facts that are known analytically; the others are estimated.
        scope: the parameter values that the facts hold for: ``"fixed"``, ``"initial value"`` or
            ``"every value"``.
    """

    smoothness: float
    derivative_bound: float
    minimum: float
    maximum: float
    monotone: bool
    odd: bool
    even: bool
    zero_preserving: bool
    convex: bool
    bijective: bool
    positively_homogeneous: bool
    pieces: int | None
    left: float
    right: float
    kappa: float
    forward_gain: float
    backward_gain: float
    sparsity: float
    saturation: float
    safe_range: dict[str, float] = field(default_factory=dict)
    cost: int = 0
    declared: frozenset[str] = frozenset()
    scope: str = "fixed"

    @property
    def bounded(self) -> bool:
        """Whether both bounds are finite."""
        return math.isfinite(self.minimum) and math.isfinite(self.maximum)

    @property
    def non_expansive(self) -> bool:
        """Whether |φ(x) - φ(y)| ≤ |x - y|."""
        return self.derivative_bound <= 1.0

    @property
    def positive(self) -> bool:
        """Whether φ is nowhere negative."""
        return self.minimum >= 0.0

    @property
    def binaries(self) -> int | None:
        """Binary variables that a mixed-integer program needs for one unit: a kink each."""
        return None if self.pieces is None else self.pieces - 1

    def fact(self, name: str) -> Any:
        """Return a fact, stated or derived, by name.

        :class:`AttributeError` where there is none.
        """
        return getattr(self, name)


YES_OR_NO = (
    "monotone",
    "odd",
    "even",
    "zero_preserving",
    "convex",
    "bijective",
    "positively_homogeneous",
)

STRUCTURAL = (
    *YES_OR_NO,
    *("smoothness", "derivative_bound", "minimum", "maximum", "pieces", "left", "right"),
)  # facts of shape; the others are expectations, and follow from it


def known(
    holds: str = "",
    *,
    smoothness: float,
    slope: float,
    values: tuple[float, float],
    asymptotes: tuple[float, float],
    pieces: int | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Return a complete declaration of the facts that follow from a formula alone.

    Args:
        holds: names of the yes-or-no facts that hold; all others are declared not to.
        smoothness: largest k with φ in C^k.
        slope: derivative bound.
        values: greatest lower and least upper bound of φ.
        asymptotes: limits of φ(x)/x at -∞ and ∞.
        pieces: number of linear pieces, where piecewise linear.
        **others: any further fact by name: a yes-or-no fact that depends on a parameter, or one
            that is no fact of shape.

    Raises:
        UnknownNameError: a name that is none of a fact's.

    >>> relu = {"smoothness": 0, "slope": 1, "values": (0, math.inf), "asymptotes": (0, 1)}
    >>> facts = known("convex monotone", odd=False, **relu)
    >>> facts["monotone"], facts["odd"], facts["even"]
    (True, False, False)
    """
    names = holds.split()
    for name in names:
        if name not in YES_OR_NO:
            raise UnknownNameError.among("yes-or-no fact", name, YES_OR_NO)
    for name in others:
        if name not in FACTS:
            raise UnknownNameError.among("fact of an activation", name, FACTS)
    return {
        **{fact: fact in names for fact in YES_OR_NO},
        "smoothness": smoothness,
        "derivative_bound": slope,
        "minimum": values[0],
        "maximum": values[1],
        "left": asymptotes[0],
        "right": asymptotes[1],
        "pieces": pieces,
        **others,
    }


FACTS: tuple[str, ...] = (
    *(f.name for f in fields(Properties) if f.name not in ("safe_range", "declared", "scope")),
    "bounded",
    "non_expansive",
    "positive",
    "binaries",
)
