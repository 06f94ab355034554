"""The economy of a life, from a YAML file or by name, and its solution."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError, SearchSpaceError
from actsearch.search.space import strict_yaml
from actsearch.task.options import (
    Interval,
    NonNegativeFloat,
    PositiveFloat,
    check_option,
)

from ..data.columns import read_columns
from .endogenous_grid import Solution, solve_economy
from .problem import EulerProblem, SavingsProblem

INCOME_NODES = 7
"""Of the Gauss-Hermite quadrature of income."""


@dataclass(frozen=True)
class Economy:
    r"""What a life is like; utility is :math:`c^{1-\rho} / (1-\rho)`, or the logarithm.

    Args:
        beta: discount of a year, above 0.
        rho: relative risk aversion, above 0.
        R: gross return on assets of a year, above 0.
        sd: standard deviation of the logarithm of income, whose mean is the profile.
        T: ages, the last of which eats all, from 2 to 200.
        limit: the most that may be owed.
        work_cost: utility that a year of work costs, where one may retire for good; 0: no choice.
        pension: income of who has retired.
        income: mean income at each age; 1 where not given.
        survival: probability of living on at each age; 1 where not given.
    """

    beta: PositiveFloat = 0.96
    rho: PositiveFloat = 2.0
    R: PositiveFloat = 1.03
    sd: NonNegativeFloat = 0.2
    T: Annotated[int, Interval(2, 200)] = 40
    limit: NonNegativeFloat = 0.0
    work_cost: NonNegativeFloat = 0.0
    pension: NonNegativeFloat = 0.0
    income: tuple[float, ...] = ()
    survival: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, annotation in get_type_hints(type(self), include_extras=True).items():
            check_option(name, getattr(self, name), annotation)
        if bool(self.work_cost) != bool(self.pension) or (self.work_cost and self.limit):
            raise InvalidValueError(
                "work_cost must come with a pension above 0 and limit 0, but got"
                f" {self.work_cost:g}, {self.pension:g} and {self.limit:g}."
            )
        worst = self.profile[1:] * self.shocks[0].min()
        owed = torch.full_like(worst, (self.R - 1) * self.limit)
        owed[-1] = self.R * self.limit
        if bool((worst <= owed).any()):
            age = int((worst - owed).argmin()) + 1
            raise InvalidValueError(
                f"limit must be a debt that the worst income repays, but got {self.limit:g}: at age"
                f" {age} income may be {float(worst[age - 1]):.3g}, and {float(owed[age - 1]):.3g}"
                " is due."
            )

    @property
    def profile(self) -> Tensor:
        """Mean income ``(T,)``."""
        return torch.tensor(self.income or [1.0] * self.T, dtype=torch.float64)

    @property
    def discount(self) -> Tensor:
        """Discount times the probability of living on ``(T,)``."""
        return self.beta * torch.tensor(self.survival or [1.0] * self.T, dtype=torch.float64)

    @property
    def shocks(self) -> tuple[Tensor, Tensor]:
        """Factors of income, with mean 1, and their probabilities."""
        x, w = np.polynomial.hermite_e.hermegauss(INCOME_NODES if self.sd else 1)
        values = np.exp(self.sd * x)
        share = w / w.sum()
        return torch.from_numpy(values / (share @ values)), torch.from_numpy(share)

    def utility(self, c: Tensor) -> Tensor:
        """Return the utility of consumption."""
        return c.log() if self.rho == 1 else c ** (1 - self.rho) / (1 - self.rho)

    def annuity(self) -> Tensor:
        """Return what a utility of 1 at each age from here on is worth ``(T,)``."""
        found = [torch.ones((), dtype=torch.float64)]
        for discount in self.discount[:-1].flip(0):
            found.insert(0, 1 + discount * found[0])
        return torch.stack(found)


class SolvedEconomy(SavingsProblem):
    """An economy with its solution, where one may retire for good as well."""

    def __init__(self, economy: Economy, high: float) -> None:
        self.economy, self.ages, self.limit = economy, economy.T - 1, economy.limit
        self.solution: Solution = solve_economy(economy, high)
        self._annuity = economy.annuity()

    @override
    def reference(self, cash: Tensor, ages: Tensor) -> Tensor:
        return self.solution.policy(cash, ages)

    @override
    def value(self, cash: Tensor, ages: Tensor) -> Tensor:
        """Return the consumption at each age to come that is worth as much.

        Raises:
            InvalidValueError: none is, below a risk aversion of 1 where work costs utility.
        """
        rho = self.economy.rho
        each = self.solution.value(cash, ages) / self._annuity[ages.long()]
        found = each.exp() if rho == 1 else ((1 - rho) * each) ** (1 / (1 - rho))
        if not bool(found.isfinite().all()):
            raise InvalidValueError(
                "target must be policy where a life is worth less than one without consumption,"
                " but got 'value'."
            )
        return found


class LifeCycle(SolvedEconomy, EulerProblem):
    """An economy in which nothing but consumption is decided, so that an Euler equation holds."""

    @override
    def marginal(self, consumption: Tensor) -> Tensor:
        return consumption**-self.economy.rho

    @override
    def inverse_marginal(self, utility: Tensor) -> Tensor:
        return utility ** (-1 / self.economy.rho)

    @override
    def transition(self, assets: Tensor, ages: Tensor) -> tuple[Tensor, Tensor]:
        economy, now = self.economy, ages.long().cpu()
        factors, shares = economy.shocks
        income = economy.profile[now + 1, None] * factors
        weights = economy.R * economy.discount[now, None] * shares
        return economy.R * assets[:, None] + income.to(assets), weights.to(assets)


ECONOMIES = {
    "saving": Economy(),
    "retirement": Economy(rho=1.0, beta=0.98, R=1.0, T=10, work_cost=1.0, pension=0.3),
}
"""Lives by name."""


def read_economy(path: str) -> Economy:
    """Return the economy of a YAML file.

    Its keys are the arguments of :class:`Economy`; ``income`` is a CSV file beside it with columns
    age, income and survival, a row for each age, whose number is T.

    Raises:
        InvalidValueError: unknown keys, a value out of its range, or a profile that is not that.
    """
    try:
        given, _ = strict_yaml.load(Path(path).expanduser())
    except SearchSpaceError as error:
        raise InvalidValueError(str(error)) from None
    known = [field.name for field in fields(Economy) if field.name != "survival"]
    if not isinstance(given, dict) or not {"beta", "rho", "R", "sd"} <= given.keys() <= set(known):
        keys = ", ".join(given) if isinstance(given, dict) else repr(given)
        raise InvalidValueError(
            f"{path} must have the keys beta, rho, R and sd, and may have {', '.join(known[4:])},"
            f" but got {keys or 'none'}."
        )
    if isinstance(given.get("income"), str):
        given |= _profile(Path(path).expanduser().parent / given["income"], given.get("T"))
    elif "income" in given:
        raise InvalidValueError(
            f"income of {path} must be a CSV file beside it, but got {given['income']!r}."
        )
    return Economy(**given)


def _profile(file: Path, T: object) -> dict[str, Any]:
    age, income, survival = read_columns(str(file), ("age", "income", "survival"))
    if not bool((age.diff() == 1).all()) or T not in (None, len(age)):
        raise InvalidValueError(
            f"{file} must have a row for each age, one after the other, as many as T says if it is"
            f" given, but got {len(age)} rows and T {T}."
        )
    if bool((income < 0).any()) or not bool(((survival >= 0) & (survival <= 1)).all()):
        raise InvalidValueError(
            f"income of {file} must not be below 0, and survival be between 0 and 1, but got"
            f" {float(income.min()):g} and {float(survival.min()):g} to {float(survival.max()):g}."
        )
    return {
        "T": len(age),
        "income": tuple(income.tolist()),
        "survival": tuple(survival.tolist()),
    }
