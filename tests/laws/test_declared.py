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
    """Values of a function: on a coarse and a fine grid off the round numbers, mirrored, doubled, and far away."""

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
            x=x, y=φ(x), slope=derivatives(φ, x, 1)[1], fine=φ(fine), mirrored=φ(-x), doubled=φ(2 * x),
            at_zero=float(φ(torch.zeros(1, dtype=torch.float64))), left=φ(-FAR), right=φ(FAR),
            jumps=tuple(jumps(φ, order, x, fine) for order in range(orders + 1)),
        )  # fmt: skip


def jumps(φ, order, x, fine):
    """Whether a derivative's largest step stays when the grid gets eight times as fine."""
    coarse_step = derivatives(φ, x, order)[order].diff().abs().max()
    fine_step = derivatives(φ, fine, order)[order].diff().abs().max()
    return bool(fine_step > 0.5 * coarse_step) and bool(fine_step > 1e-9)


def is_monotone(s):
    return bool((s.y.diff() >= -1e-13 * (1 + s.y[1:].abs())).all())


def is_bijective(s):
    """One way, without a jump, and flat nowhere on ±7, judged by the slope: a value may have reached its limit's last digit."""
    rising, falling = bool((s.fine.diff() >= -1e-13).all()), bool((s.fine.diff() <= 1e-13).all())
    flat = (s.slope[1:] == 0) & (s.slope[:-1] == 0) & (s.x[1:].abs() < 7)
    return (rising or falling) and not bool(flat.any()) and not s.jumps[0]


def is_convex(s):
    bend = s.y[2:] - 2 * s.y[1:-1] + s.y[:-2]
    return not s.jumps[0] and bool((bend >= -1e-12 * (1 + s.y[1:-1].abs())).all())


def close(a, b):
    return bool(torch.allclose(a, b, rtol=1e-9, atol=1e-12))


def pieces(s):
    """Number of linear pieces, or None: cells with a bend, in runs of at most three, count as one kink."""
    bend = (s.fine[2:] - 2 * s.fine[1:-1] + s.fine[:-2]).abs() > 1e-11 * (1 + s.fine[1:-1].abs())
    at = bend.nonzero().flatten()
    if len(at) > 100:
        return None
    return 1 + sum(1 for i, cell in enumerate(at) if i == 0 or cell - at[i - 1] > 3)


def matches(fact, value, s):
    """Whether a declared value of a fact agrees with the sample."""
    seen = torch.cat([s.fine, s.y, torch.tensor([s.at_zero], dtype=torch.float64)])
    values = torch.cat([seen, s.left, s.right])
    match fact:
        case "smoothness":
            measured = s.jumps.index(True) - 1 if True in s.jumps else math.inf
            return value == measured or (
                value >= len(s.jumps) - 1 and measured == math.inf and value == math.inf
            )
        case "derivative_bound":
            coarse, fine = s.y.diff().abs().max() / STEP, s.fine.diff().abs().max() / FINE
            slopes = [
                (s.left[1:] - s.left[:-1]) / FAR.diff(),
                (s.right[1:] - s.right[:-1]) / FAR.diff(),
            ]
            far = max(float(slope.abs().nan_to_num(math.inf).max()) for slope in slopes)
            largest = max(float(fine), far)
            unbounded = bool(fine > 4 * coarse) or far > 100 * (1 + float(fine))
            return (
                unbounded
                if value == math.inf
                else not unbounded and value * 0.999 <= largest <= value * (1 + 1e-6)
            )
        case "minimum" | "maximum":
            sign = 1 if fact == "maximum" else -1
            near, top = (
                float((sign * seen).max()),
                float((sign * values).nan_to_num(math.inf, math.inf).max()),
            )
            grows = top > 4 * abs(near)
            limit = sign * value
            return (
                grows if limit == math.inf else not grows and limit - 1e-5 <= top <= limit + 1e-12
            )
        case "monotone":
            return value == is_monotone(s)
        case "odd":
            return value == close(s.y, -s.mirrored)
        case "even":
            return value == close(s.y, s.mirrored)
        case "zero_preserving":
            return value == (abs(s.at_zero) < 1e-15)
        case "convex":
            return value == is_convex(s)
        case "bijective":
            return value == is_bijective(s)
        case "positively_homogeneous":
            return value == close(s.doubled, 2 * s.y)
        case "pieces":
            return value == pieces(s)
        case "left" | "right":
            side, x = (s.left, -FAR) if fact == "left" else (s.right, FAR)
            ratio = side / x
            if math.isinf(value):
                return bool(ratio[-1] == value) or (
                    bool(ratio[-1] * value > 0) and bool(ratio[-1].abs() > 20 * ratio[0].abs())
                )
            return abs(float(ratio[-1]) - value) < 1e-6
        case "sparsity":
            density = torch.exp(-s.x.square() / 2) * STEP / math.sqrt(2 * math.pi)
            return abs(float(density[s.y == 0].sum()) - value) < 2e-3
        case _:
            raise AssertionError(f"no law for {fact}")


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
    orders = (
        0
        if issubclass(entry, Surrogate)
        else 1
        if entry.name in NO_SECOND_DERIVATIVE_KERNEL
        else FEW_DERIVATIVES
    )
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
    _, s = sampled(catalogue()["relu"], "start")
    for fact in STRUCTURAL:
        matches(fact, catalogue()["relu"].facts[fact], s)
    with pytest.raises(AssertionError, match="no law"):
        matches("colour", 1, s)
