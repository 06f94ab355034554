"""Lives solved backwards by endogenous gridpoints, with the choice to retire by upper envelopes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .problem import interpolate

if TYPE_CHECKING:
    from .life_cycle import Economy

GRIDPOINTS = 1500
"""Of assets at the end of a year."""

LEAST_CONSUMED = 1e-6
"""Consumption that the constrained part begins at."""


@dataclass(frozen=True)
class Curve:
    """Policy and value at one age on points of cash, which rise.

    Args:
        m: cash ``(N,)``.
        c: consumption.
        v: value; by the envelope theorem its slope is the marginal utility of c.
        rho: relative risk aversion.
    """

    m: Tensor
    c: Tensor
    v: Tensor
    rho: float

    def policy(self, cash: Tensor) -> Tensor:
        """Return consumption, on straight lines."""
        return interpolate(cash, self.m, self.c)

    def value(self, cash: Tensor) -> Tensor:
        """Return the value, on cubic polynomials that have the slopes."""
        right = torch.searchsorted(self.m, cash.contiguous()).clamp(1, len(self.m) - 1)
        left = right - 1
        h = self.m[right] - self.m[left]
        s = (cash - self.m[left]) / h
        rise = self.v[right] - self.v[left]
        a = self.c[left] ** -self.rho * h - rise
        b = rise - self.c[right] ** -self.rho * h
        return torch.lerp(self.v[left], self.v[right], s) + s * (1 - s) * torch.lerp(a, b, s)

    def covers(self, cash: Tensor) -> Tensor:
        """Whether cash lies between the first and the last point."""
        return (cash >= self.m[0]) & (cash <= self.m[-1])


@dataclass(frozen=True)
class Solution:
    """The curves of all ages; where one may retire, of who has worked until then."""

    curves: tuple[Curve, ...]

    def policy(self, cash: Tensor, ages: Tensor) -> Tensor:
        """Return consumption at given ages, both ``(N,)``."""
        return self._by_age("policy", cash, ages)

    def value(self, cash: Tensor, ages: Tensor) -> Tensor:
        """Return values at given ages, both ``(N,)``."""
        return self._by_age("value", cash, ages)

    def _by_age(self, name: str, cash: Tensor, ages: Tensor) -> Tensor:
        found = torch.empty_like(cash)
        for age in ages.unique().tolist():
            rows = ages == age
            found[rows] = getattr(self.curves[int(age)], name)(cash[rows])
        return found


def solve_economy(economy: Economy, high: float, points: int = GRIDPOINTS) -> Solution:
    """Solve a life backwards.

    Args:
        economy: what it is like.
        high: cash that shall be covered.
        points: of the grid of assets, denser at the limit.

    References:
        The method of endogenous gridpoints for solving dynamic stochastic optimization problems,
        C. Carroll, 2006, https://doi.org/10.1016/j.econlet.2005.09.013
        The endogenous grid method for discrete-continuous dynamic choice models with (or without)
        taste shocks, F. Iskhakov, T. Jørgensen, J. Rust and B. Schjerning, 2017,
        https://doi.org/10.3982/QE643
    """
    top = 2 * high + 4 * float(economy.profile.max())
    assets = torch.linspace(0, 1, points, dtype=torch.float64).square() * top - economy.limit
    step = _Step(economy, assets, top)
    working = retired = step.last()
    curves = [working]
    for age in reversed(range(economy.T - 1)):
        factors, shares = economy.shocks
        bound, *free = step.back(working, age, economy.profile[age + 1] * factors, shares)
        if economy.work_cost:
            pension = torch.tensor([economy.pension], dtype=torch.float64)
            retired = step.join(*step.back(retired, age, pension, torch.ones_like(pension)))
            worked = (replace(k, v=k.v - economy.work_cost) for k in (bound, *free))
            working = upper_envelope([*worked, retired])
        else:
            working = step.join(bound, *free)
        curves.insert(0, working)
    return Solution(tuple(curves))


@dataclass(frozen=True)
class _Step:
    economy: Economy
    assets: Tensor
    top: float

    def curve(self, c: Tensor, later: Tensor, assets: Tensor | float) -> Curve:
        """Return the curve of consumption beside assets and what the later ages are worth."""
        return Curve(c + assets, c, self.economy.utility(c) + later, self.economy.rho)

    def last(self) -> Curve:
        """Return the curve of the last age, at which all is eaten and all debts are repaid."""
        return self.curve(self.eaten(), torch.zeros((), dtype=torch.float64), 0.0)

    def eaten(self) -> Tensor:
        """Return consumptions of who keeps nothing."""
        ends = math.log10(LEAST_CONSUMED), math.log10(self.top)
        return torch.logspace(*ends, len(self.assets), dtype=torch.float64)

    def back(self, following: Curve, age: int, income: Tensor, shares: Tensor) -> list[Curve]:
        """Return the curve of who keeps nothing, and those of others, on each of which m rises."""
        economy, discount = self.economy, self.economy.discount[age]
        cash = economy.R * self.assets[:, None] + income
        marginal = economy.R * discount * (following.policy(cash) ** -economy.rho) @ shares
        later = discount * following.value(cash) @ shares
        c = marginal ** (-1 / economy.rho)
        rises = torch.ones(len(c), dtype=torch.bool)
        rises[1:] = (c + self.assets).diff() > 0
        parts = torch.arange(len(c)).tensor_split((~rises).nonzero()[:, 0])
        free = [self.curve(c[p], later[p], self.assets[p]) for p in parts if len(p) > 1]
        return [self.curve(self.eaten(), later[0], -economy.limit), *free]

    def join(self, bound: Curve, free: Curve) -> Curve:
        """Return one curve of two, the first up to where the second begins."""
        below = bound.m < free.m[0]
        return Curve(
            torch.cat([bound.m[below], free.m]),
            torch.cat([bound.c[below], free.c]),
            torch.cat([bound.v[below], free.v]),
            bound.rho,
        )


def upper_envelope(curves: list[Curve]) -> Curve:
    """Return the best of several curves at each cash, with a pair of points where it changes."""
    m = torch.cat([curve.m for curve in curves]).unique()
    values = torch.stack([k.value(m).where(k.covers(m), -torch.inf) for k in curves])
    best = values.argmax(0)
    change = (best.diff() != 0).nonzero()[:, 0]
    before, after = best[change], best[change + 1]
    lead = values[before, change] - values[after, change]
    lag = values[after, change + 1] - values[before, change + 1]
    share = (lead / (lead + lag)).nan_to_num(1.0).clamp(0, 1)  # NaN where one begins or ends
    width = m[change + 1] - m[change]
    crossing = m[change] + share.clamp(1e-3, 1 - 1e-3) * width
    cash = torch.cat([m, crossing - 1e-4 * width, crossing + 1e-4 * width])
    order = cash.argsort()
    cash, which = cash[order], torch.cat([best, before, after])[order]
    c, v = (
        torch.stack(found).gather(0, which[None])[0]
        for found in ([k.policy(cash) for k in curves], [k.value(cash) for k in curves])
    )
    return Curve(cash, c, v, curves[0].rho)
