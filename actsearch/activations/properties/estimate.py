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
from actsearch.activations.properties.shape import differentiated, rounded, shape_from
from actsearch.activations.registry import activation
from actsearch.errors import InvalidValueError

Scope = Literal["every value", "initial value"]
SATURATED = 0.01
"""|φ'| below which a unit counts as saturated."""


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
    x, values = differentiated(φ, 1 if "smoothness" in declared else HIGHEST_ORDER)
    breaks = find_breaks(φ, x, values)
    facts = moments(φ, breaks=breaks) | {
        "safe_range": safe_range(entry.plain().eval()),
        "cost": cost(entry.plain().float()),
    }
    if any(fact not in declared for fact in STRUCTURAL):
        facts |= shape_from(φ, x, values, breaks)
    return {**facts, **declared, "declared": frozenset(declared)}


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
        "kappa": rounded(second / first**2) if first**2 > 1e-24 * second else math.inf,
        "forward_gain": rounded(1 / power) if power else math.inf,
        "backward_gain": rounded(1 / second) if second else math.inf,
        "sparsity": rounded(probability_zero(cells, value[len(nodes) :], deviation)),
        "saturation": rounded(probability_below(SATURATED, cells, in_cell.abs(), deviation)),
    }
