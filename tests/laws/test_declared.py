"""Every declared fact holds on a dense grid, by differences alone.

And a wrong declaration is found, for every fact.
"""

import math
from dataclasses import dataclass
from functools import cache

import pytest
import torch

from actsearch.activations import Parameter, catalogue
from actsearch.activations.families.surrogate import Surrogate
from actsearch.activations.properties.breaks import derivatives
from actsearch.activations.properties.properties import STRUCTURAL

STEP = 4e-3
FINE = STEP / 8
REACH = 14.0
FAR = torch.tensor([1e3, 1e4, 1e6, 1e8], dtype=torch.float64)
NO_SECOND_DERIVATIVE_KERNEL = {"hardsigmoid"}
FEW_DERIVATIVES = 3


@dataclass(frozen=True)
class Sample:
    """Values of a function on grids off the round numbers, mirrored, doubled, and far away."""

    x: torch.Tensor
    y: torch.Tensor
    slope: torch.Tensor
    fine: torch.Tensor
    mirrored: torch.Tensor
    doubled: torch.Tensor
    at_zero: float
    left: torch.Tensor
    right: torch.Tensor
    jumps: tuple[bool, ...]


def sample(φ, orders):
    with torch.no_grad():
        x = torch.arange(-REACH + 0.0013, REACH, STEP, dtype=torch.float64)
        fine = torch.arange(-REACH + 0.0013, REACH, FINE, dtype=torch.float64)
        return Sample(
            x=x,
            y=φ(x),
            slope=derivatives(φ, x, 1)[1],
            fine=φ(fine),
            mirrored=φ(-x),
            doubled=φ(2 * x),
            at_zero=float(φ(torch.zeros(1, dtype=torch.float64))),
            left=φ(-FAR),
            right=φ(FAR),
            jumps=tuple(jumps(φ, order, x, fine) for order in range(orders + 1)),
        )


def jumps(φ, order, x, fine):
    """Whether a derivative's largest step stays when the grid gets eight times as fine."""
    coarse_step = derivatives(φ, x, order)[order].diff().abs().max()
    fine_step = derivatives(φ, fine, order)[order].diff().abs().max()
    return bool(fine_step > 0.5 * coarse_step) and bool(fine_step > 1e-9)


def is_monotone(s):
    return bool((s.y.diff() >= -1e-13 * (1 + s.y[1:].abs())).all())


def is_bijective(s):
    """One way, without a jump, and flat nowhere on ±7.

    That is judged by the slope: a value may have reached its limit's last digit.
    """
    rising, falling = bool((s.fine.diff() >= -1e-13).all()), bool((s.fine.diff() <= 1e-13).all())
    flat = (s.slope[1:] == 0) & (s.slope[:-1] == 0) & (s.x[1:].abs() < 7)
    return (rising or falling) and not bool(flat.any()) and not s.jumps[0]


def is_convex(s):
    bend = s.y[2:] - 2 * s.y[1:-1] + s.y[:-2]
    return not s.jumps[0] and bool((bend >= -1e-12 * (1 + s.y[1:-1].abs())).all())


def close(a, b):
    return bool(torch.allclose(a, b, rtol=1e-9, atol=1e-12))


def pieces(s):
    """Number of linear pieces, or None.

    Cells with a bend, in runs of at most three, count as one kink.
    """
    bend = (s.fine[2:] - 2 * s.fine[1:-1] + s.fine[:-2]).abs() > 1e-11 * (1 + s.fine[1:-1].abs())
    at = bend.nonzero().flatten()
    if len(at) > 100:
        return None
    return 1 + sum(1 for i, cell in enumerate(at) if i == 0 or cell - at[i - 1] > 3)


def smoothness_holds(value, s):
    measured = s.jumps.index(True) - 1 if True in s.jumps else math.inf
    unseen = value >= len(s.jumps) - 1 and measured == math.inf and value == math.inf
    return value == measured or unseen


def derivative_bound_holds(value, s):
    coarse, fine = s.y.diff().abs().max() / STEP, s.fine.diff().abs().max() / FINE
    slopes = [(side[1:] - side[:-1]) / FAR.diff() for side in (s.left, s.right)]
    far = max(float(slope.abs().nan_to_num(math.inf).max()) for slope in slopes)
    largest = max(float(fine), far)
    unbounded = bool(fine > 4 * coarse) or far > 100 * (1 + float(fine))
    if value == math.inf:
        return unbounded
    return not unbounded and value * 0.999 <= largest <= value * (1 + 1e-6)


def maximum_holds(value, s, sign=1):
    seen = torch.cat([s.fine, s.y, torch.tensor([s.at_zero], dtype=torch.float64)])
    values = torch.cat([seen, s.left, s.right])
    near = float((sign * seen).max())
    top = float((sign * values).nan_to_num(math.inf, math.inf).max())
    grows, limit = top > 4 * abs(near), sign * value
    if limit == math.inf:
        return grows
    return not grows and limit - 1e-5 <= top <= limit + 1e-12


def asymptote_holds(value, side, x):
    ratio = side / x
    if not math.isinf(value):
        return abs(float(ratio[-1]) - value) < 1e-6
    growing = bool(ratio[-1] * value > 0) and bool(ratio[-1].abs() > 20 * ratio[0].abs())
    return bool(ratio[-1] == value) or growing


def sparsity_holds(value, s):
    density = torch.exp(-s.x.square() / 2) * STEP / math.sqrt(2 * math.pi)
    return abs(float(density[s.y == 0].sum()) - value) < 2e-3


LAWS = {
    "smoothness": smoothness_holds,
    "derivative_bound": derivative_bound_holds,
    "minimum": lambda value, s: maximum_holds(value, s, sign=-1),
    "maximum": maximum_holds,
    "monotone": lambda value, s: value == is_monotone(s),
    "odd": lambda value, s: value == close(s.y, -s.mirrored),
    "even": lambda value, s: value == close(s.y, s.mirrored),
    "zero_preserving": lambda value, s: value == (abs(s.at_zero) < 1e-15),
    "convex": lambda value, s: value == is_convex(s),
    "bijective": lambda value, s: value == is_bijective(s),
    "positively_homogeneous": lambda value, s: value == close(s.doubled, 2 * s.y),
    "pieces": lambda value, s: value == pieces(s),
    "left": lambda value, s: asymptote_holds(value, s.left, -FAR),
    "right": lambda value, s: asymptote_holds(value, s.right, FAR),
    "sparsity": sparsity_holds,
}
"""By fact, whether a declared value of it agrees with a sample."""


def matches(fact, value, s):
    return LAWS[fact](value, s)


def moved(values, entry):
    """Other values that the constraints allow."""
    result = {}
    for key, argument in entry.arguments.items():
        value = values[key]
        if isinstance(argument, Parameter):
            low, _ = argument.bounds
            value = value + 0.75 if low == 1 else value * 1.375 + (0.0625 if low < 0 else 0.0)
        result[key] = value
    return result


@cache
def sampled(entry, which):
    start = entry().values
    values = start if which == "start" else moved(start, entry)
    φ = entry(learn=(), **values).double().eval()
    orders = FEW_DERIVATIVES
    if issubclass(entry, Surrogate):
        orders = 0
    elif entry.name in NO_SECOND_DERIVATIVE_KERNEL:
        orders = 1
    return entry.declare(**values), sample(φ, orders)


@pytest.mark.parametrize("which", ["start", "moved"])
def test_declared_facts_hold(entry, which):
    declared, s = sampled(entry, which)
    wrong = {fact: value for fact, value in declared.items() if not matches(fact, value, s)}
    assert wrong == {}


def wrong_values(fact, value):
    """Values near the declared one that must be refused."""
    if isinstance(value, bool):
        return [not value]
    match fact:
        case "smoothness":
            return [
                2 if value == math.inf else math.inf,
                3 if value == math.inf else value + 1,
                -1 if value != -1 else 0,
            ]
        case "derivative_bound":
            return [1.0] if value == math.inf else [value * 0.99, value * 1.01, math.inf]
        case "minimum" | "maximum":
            return (
                [0.0]
                if math.isinf(value)
                else [value - 0.01, value + 0.01, -math.inf if fact == "minimum" else math.inf]
            )
        case "pieces":
            return [2] if value is None else [value - 1, value + 1, None]
        case "left" | "right":
            return [0.0] if math.isinf(value) else [value - 0.01, value + 0.01, math.inf, -math.inf]
        case "sparsity":
            return [value - 0.01, value + 0.01]
    raise AssertionError(fact)


def test_a_wrong_declaration_is_found(entry):
    declared, s = sampled(entry, "start")
    unseen = [
        (fact, wrong)
        for fact, value in declared.items()
        for wrong in wrong_values(fact, value)
        if matches(fact, wrong, s)
    ]
    assert unseen == []


def test_only_flat_functions_are_not_strict():
    assert is_bijective(sampled(catalogue()["laplace"], "start")[1])
    assert not is_bijective(sampled(catalogue()["pade_tanh"], "start")[1])


def test_every_fact_has_a_law():
    declared = {fact for entry in catalogue().values() for fact in entry.declare(**entry().values)}
    assert set(LAWS) == declared | set(STRUCTURAL)
