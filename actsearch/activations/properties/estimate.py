"""The facts of an activation: what its class declares, and numbers for the rest."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from actsearch.activations.base import Activation, Parameter
from actsearch.activations.properties.breaks import (
    HIGHEST_ORDER,
    Break,
    Function,
    derivatives,
    find_breaks,
    grid,
    smoothness,
)
from actsearch.activations.properties.cost import cost
from actsearch.activations.properties.precision import safe_range
from actsearch.activations.properties.properties import STRUCTURAL, YES_OR_NO, Properties
from actsearch.activations.properties.quadrature import gaussian_mean as gaussian_mean
from actsearch.activations.properties.quadrature import (
    normal_nodes,
    probability_below,
    probability_zero,
)
from actsearch.activations.registry import activation
from actsearch.errors import InvalidValueError

Scope = Literal["every value", "initial value"]
SATURATED = 0.01  # |φ'| below which a unit counts as saturated
TAIL = torch.tensor([1e4, 1e6, 1e8], dtype=torch.float64)


def properties(
    name_or_expression: str | Activation, *, scope: Scope = "every value", **parameters: Any
) -> Properties:
    """Return the facts of an activation.

    Where parameters are learned, facts of shape are the weakest over all values that the
    constraints allow, and those of initialisation (κ, gains, sparsity, saturation, safe range,
    cost) are of the start values.

    Args:
        name_or_expression: a name of the catalogue, an expression in ``x``, or an activation.
        scope: for learned parameters: facts that hold for every value, or for the initial one.
        **parameters: as for :func:`actsearch.activation`.

    >>> properties("relu").kappa
    2.0
    >>> properties("prelu").monotone, properties("prelu", scope="initial value").monotone
    (False, True)
    """
    entry = (
        activation(name_or_expression, **parameters)
        if isinstance(name_or_expression, str)
        else name_or_expression
    )
    if scope not in ("every value", "initial value"):
        raise InvalidValueError(
            f"scope must be 'every value' or 'initial value', but got {scope!r}."
        )
    text = json.dumps(entry.spec(), sort_keys=True, default=repr)
    return _cached(_Key(type(entry), text, scope, entry))


def derivative(function: Function, x: Tensor) -> Tensor:
    """Return φ'(x) by automatic differentiation.

    Zeros where the output does not depend on the input.
    """
    return derivatives(function, x, 1)[1]


@dataclass(frozen=True)
class _Key:
    """What facts depend on; the activation itself comes along."""

    kind: type[Activation]
    spec: str
    scope: Scope
    entry: Activation = field(compare=False)


@lru_cache(maxsize=1 << 14)
def _cached(key: _Key) -> Properties:
    entry = key.entry
    learned = entry.has_learned()
    facts = _at_start(entry)
    if not learned:
        return Properties(**facts, scope="fixed")
    weakest = _weakest(entry) if key.scope == "every value" else None
    if weakest is None:
        return Properties(**facts, scope="initial value")
    declared = facts["declared"] | frozenset(weakest)
    return Properties(**{**facts, **weakest, "declared": declared}, scope="every value")


def _weakest(entry: Activation) -> dict[str, Any] | None:
    """Return facts of shape that hold for every value of the learned parameters.

    ``None`` where they are not declared.
    """
    if len(list(entry.parameters())) != len(entry.learn):
        return None  # it learns more than its scalar parameters
    probes = {key: [value] for key, value in entry.values.items()}
    for key in entry.learn:
        argument = entry.arguments[key]
        assert isinstance(argument, Parameter)
        probes[key] = _probes(argument, entry.values[key])
    found = [
        type(entry).declare(**dict(zip(probes, values, strict=True)))
        for values in itertools.product(*probes.values())
    ]
    if any(fact not in facts for facts in found for fact in STRUCTURAL):
        return None
    facts: dict[str, Any] = {fact: all(each[fact] for each in found) for fact in YES_OR_NO}
    facts["smoothness"] = min(each["smoothness"] for each in found)
    facts["derivative_bound"] = _unbounded(max(each["derivative_bound"] for each in found))
    facts["minimum"] = _unbounded(min(each["minimum"] for each in found))
    facts["maximum"] = _unbounded(max(each["maximum"] for each in found))
    counts = [each["pieces"] for each in found]
    facts["pieces"] = None if None in counts else max(counts)
    for side in ("left", "right"):
        slopes = {each[side] for each in found}
        facts[side] = slopes.pop() if len(slopes) == 1 else math.nan  # it depends on the parameters
    return facts


def _probes(argument: Parameter, start: float) -> list[float]:
    """Return values that reach into the corners of a parameter's allowed set."""
    low, high = argument.bounds
    if math.isfinite(low) and math.isfinite(high):
        return sorted(
            {start, *(low + (high - low) * part for part in (1e-9, 0.25, 0.5, 0.75, 1 - 1e-9))}
        )
    if math.isfinite(low):
        return sorted({start, *(low + step for step in (1e-12, 1e-3, 1.0, 1e3, 1e12))})
    if math.isfinite(high):
        return sorted({start, *(high - step for step in (1e-12, 1e-3, 1.0, 1e3, 1e12))})
    return sorted(
        {start, 0.0, *(sign * size for sign in (-1, 1) for size in (1e-12, 1e-3, 1.0, 1e3, 1e12))}
    )


def _unbounded(value: float) -> float:
    """Return infinity for what grows with the probes, which end at 10¹²."""
    return value if abs(value) < 1e9 else math.copysign(math.inf, value)


def _at_start(entry: Activation) -> dict[str, Any]:
    """Return every fact at the start values."""
    φ = entry.plain().eval()
    declared = type(entry).declare(**entry.values)
    x, values = _differentiated(φ, 1 if "smoothness" in declared else HIGHEST_ORDER)
    breaks = find_breaks(φ, x, values)
    facts = moments(φ, breaks=breaks) | {
        "safe_range": safe_range(entry.plain().eval()),
        "cost": cost(entry.plain().float()),
    }
    if any(fact not in declared for fact in STRUCTURAL):
        facts |= _shape_from(φ, x, values, breaks)
    return {**facts, **declared, "declared": frozenset(declared)}


def _differentiated(φ: Function, order: int) -> tuple[Tensor, list[Tensor]]:
    """Return the grid, and the derivatives on it up to the order that torch has.

    The grid ends where φ overflows.
    """
    x = grid()
    try:
        values = derivatives(φ, x, order)
    except RuntimeError:  # a kernel without a second derivative
        values = derivatives(φ, x, 1)
    overflow = values[0].isinf() | (values[1].isinf() & ~values[0].isnan())
    inner = (~overflow).nonzero().flatten()
    if len(inner) == 0:
        return x, values
    inside = slice(int(inner[0]), int(inner[-1]) + 1)
    return x[inside], [value[inside] for value in values]


def moments(
    φ: Function, deviation: float = 1.0, breaks: list[Break] | None = None
) -> dict[str, float]:
    """Return κ, gains, sparsity and saturation under N(0, deviation²).

    Args:
        φ: an activation or any elementwise function, float64.
        deviation: the standard deviation of the pre-activation.
        breaks: where φ or φ' jumps, if known already.

    >>> moments(torch.relu, deviation=0.1)["forward_gain"]
    200.0
    """
    x = grid()
    if breaks is None:
        breaks = find_breaks(φ, x, derivatives(φ, x, 1))
    near = [found for found in breaks if found.order <= 1]
    nodes, weight = normal_nodes(deviation, [found.above for found in near])
    ends = [end for found in near for end in (found.below, found.above)]
    cells = torch.cat([x * deviation, torch.tensor(ends, dtype=torch.float64)]).sort().values
    value, slope = derivatives(φ, torch.cat([nodes, cells]), 1)
    at_node, in_cell = slope.split([len(nodes), len(cells)])
    first, second = float((at_node * weight).sum()), float((at_node.square() * weight).sum())
    power = float((value[: len(nodes)].square() * weight).sum())
    return {
        "kappa": _digits(second / first**2) if first**2 > 1e-24 * second else math.inf,
        "forward_gain": _digits(1 / power) if power else math.inf,
        "backward_gain": _digits(1 / second) if second else math.inf,
        "sparsity": _digits(probability_zero(cells, value[len(nodes) :], deviation)),
        "saturation": _digits(probability_below(SATURATED, cells, in_cell.abs(), deviation)),
    }


def _digits(value: float, digits: int = 12) -> float:
    """Return the value without the last, uncertain digits."""
    return float(f"{value:.{digits}g}")


def shape(φ: Function) -> dict[str, Any]:
    """Return every fact of shape, estimated.

    Args:
        φ: an activation or any elementwise function, float64.
    """
    x, values = _differentiated(φ, HIGHEST_ORDER)
    return _shape_from(φ, x, values, find_breaks(φ, x, values))


def _shape_from(
    φ: Function, x: Tensor, values: list[Tensor], breaks: list[Break]
) -> dict[str, Any]:
    """Return facts of shape, from values on the grid, at the breaks and far away."""
    y, slope = values[0], values[1]
    finite = bool(y.isfinite().all())
    smooth = (
        min(smoothness(breaks), math.inf if len(values) > HIGHEST_ORDER else 1) if finite else -1
    )
    ends = torch.tensor(
        [end for found in breaks for end in (found.below, found.above)], dtype=torch.float64
    )
    zoomed = [_around(x, values) for values in (y, -y, slope, -slope)]
    points = torch.cat([*zoomed, ends, torch.zeros(1, dtype=torch.float64), -TAIL, TAIL])
    more, more_slope = derivatives(φ, points, 1)
    left_far, right_far = more[-6:-3], more[-3:]
    sample = torch.linspace(0.0137, 40, 257, dtype=torch.float64)
    at, mirrored, double, zero = (
        values.detach()
        for values in φ(
            torch.cat([sample, -sample, 2 * sample, -2 * sample, sample[:1] * 0])
        ).split([257, 257, 514, 1])
    )
    near, near_slope = torch.cat([y, more[:-6]]), torch.cat([slope, more_slope[:-6]])
    lowest = _bound(-near, -left_far, -right_far)
    highest = _bound(near, left_far, right_far)
    steepest = _bound(near_slope.abs(), more_slope[-6:-3].abs(), more_slope[-3:].abs())
    scale = 1e-9 * (1 + slope.abs())
    rising, falling = (
        bool((y.diff() >= -1e-12 * (1 + y[1:].abs())).all()),
        bool((y.diff() <= 1e-12 * (1 + y[1:].abs())).all()),
    )
    strict = _strict(x, slope, breaks)
    return {
        "smoothness": smooth,
        "derivative_bound": math.inf if smooth < 0 or steepest > 1e5 else _digits(steepest, 10),
        "minimum": -_digits(lowest, 10),
        "maximum": _digits(highest, 10),
        "monotone": finite and rising,
        "odd": _same(at, -mirrored),
        "even": _same(at, mirrored),
        "zero_preserving": bool(zero.abs() < 1e-12),
        "convex": smooth >= 0 and bool((slope.diff() >= -scale[1:]).all()),
        "bijective": smooth >= 0 and (rising or falling) and strict,
        "positively_homogeneous": _same(double, 2 * torch.cat([at, mirrored])),
        "pieces": _pieces(x, y, slope, breaks) if finite else None,
        "left": _limit(left_far / -TAIL),
        "right": _limit(right_far / TAIL),
    }


def _same(a: Tensor, b: Tensor) -> bool:
    return bool(torch.allclose(a, b, rtol=1e-9, atol=1e-12))


def _around(x: Tensor, value: Tensor) -> Tensor:
    """Return a fine grid in the two cells next to the largest finite value."""
    best = int(torch.where(value.isfinite(), value, -torch.inf).argmax())
    return torch.linspace(
        float(x[max(best - 1, 0)]), float(x[min(best + 1, len(x) - 1)]), 2001, dtype=torch.float64
    )


def _bound(values: Tensor, *tails: Tensor) -> float:
    """Return the least upper bound: the largest value, or a limit, or infinity."""
    known = values[values.isfinite()]
    near = float(known.max()) if len(known) else math.nan
    if bool((values == torch.inf).any()) or bool(values.isnan().any()):
        return math.inf
    limits = [_limit(tail) for tail in tails]
    if math.inf in limits and bool(
        max(tail[-1].nan_to_num(math.inf) for tail in tails) > 1.5 * abs(near)
    ):
        return math.inf  # and no accident of an oscillation
    return max(
        near,
        *(float(tail.max()) for tail in tails),
        *(limit for limit in limits if math.isfinite(limit)),
    )


def _limit(tail: Tensor) -> float:
    """Return the limit of values at 10⁴, 10⁶, 10⁸, extrapolated.

    It is infinite where they grow, and nan where there is none.
    """
    a, b, c = tail.tolist()
    if not math.isfinite(c):
        return c if math.isinf(c) else math.nan
    if abs(c) < 1e-7:
        return 0.0
    if abs(c - b) <= 1e-9 * abs(c):
        return float(c)
    if a == b or abs(c - b) >= 0.5 * abs(b - a):
        growing = abs(c) > abs(b) > abs(a) and c * b > 0
        return math.copysign(math.inf, c) if growing else math.nan
    limit = c + (c - b) ** 2 / ((b - a) - (c - b))
    return 0.0 if abs(limit) < 1e-7 else limit


def _strict(x: Tensor, slope: Tensor, breaks: list[Break]) -> bool:
    """Whether the slope vanishes over no interval.

    Far out, where it underflows smoothly, it may seem to.
    """
    flat = (slope[:-1] == 0) & (slope[1:] == 0)
    if bool(flat[(x[1:].abs() < 6)].any()):
        return False
    starts = torch.tensor([found.above for found in breaks], dtype=torch.float64)
    cells = torch.searchsorted(x, starts).clamp(1, len(x) - 2)
    return not bool((flat[cells] | flat[cells - 2]).any())


def _pieces(x: Tensor, y: Tensor, slope: Tensor, breaks: list[Break]) -> int | None:
    """Return the number of linear pieces, where the slope is constant between breaks."""
    ends = torch.tensor(
        sorted({found.above for found in breaks if found.order <= 1}), dtype=torch.float64
    )
    piece = torch.bucketize(x, ends)
    same = piece[1:] == piece[:-1]
    constant = slope.diff().abs() <= 1e-9 * (1 + slope[1:].abs())
    linear = (y.diff() - slope[1:] * x.diff()).abs() <= 1e-7 * (1 + y[1:].abs())
    return len(ends) + 1 if bool((~same | (constant & linear)).all()) else None
