"""What is decided: a policy to be found, and where it is known what makes it optimal."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError

from ..data.columns import read_columns, read_header

FINE = 4001
"""Points that a kink is looked for on."""


class SavingsProblem(ABC):
    """Consumption c of cash on hand m, at one age or several; subclass it for a model of your own.

    Attributes:
        ages: at which there is something to decide; the first is 0.
        limit: the most that may be owed; c is at most m + limit.
    """

    ages: int = 1
    limit: float = 0.0

    @abstractmethod
    def reference(self, cash: Tensor, ages: Tensor) -> Tensor:
        """Return the consumption of a solution that is trusted.

        Shapes:
            cash and ages ``(N,)``, ages in whole numbers; result ``(N,)``.
        """

    def value(self, cash: Tensor, ages: Tensor) -> Tensor:
        """Return what a life from here on is worth, likewise.

        Raises:
            InvalidValueError: where it is not known, which is everywhere but in the models shipped.
        """
        raise InvalidValueError(
            "target must be policy where the model has no values, but got 'value'."
        )

    def kink(self, age: int, low: float, high: float) -> float:
        """Return where the policy bends most."""
        cash = torch.linspace(low, high, FINE, dtype=torch.float64)
        return float(strongest_bend(cash, self.reference(cash, torch.full_like(cash, age))))


class EulerProblem(SavingsProblem):
    r"""A problem whose optimal policy is known by its Euler equation.

    .. math:: u'(c_t) = \mathbb E\, \beta \, \frac{\partial m_{t+1}}{\partial a_t} \, u'(c_{t+1}),
              \qquad a_t = m_t - c_t \ge -\mathrm{limit}

    At the age ``ages`` all cash is eaten.
    """

    @abstractmethod
    def marginal(self, consumption: Tensor) -> Tensor:
        """Return the marginal utility u'(c)."""

    @abstractmethod
    def inverse_marginal(self, utility: Tensor) -> Tensor:
        """Return the consumption of a marginal utility."""

    @abstractmethod
    def transition(self, assets: Tensor, ages: Tensor) -> tuple[Tensor, Tensor]:
        """Return cash at the next age in each of Q cases, and what marginal utility there counts.

        That is probability times discount times gross return.

        Shapes:
            assets and ages ``(N,)``; both results ``(N, Q)``.
        """


class PolicyTable(SavingsProblem):
    """A policy that was computed elsewhere, with straight lines between its rows.

    Args:
        path: CSV file with columns m and c, or m, age and c; ages are counted on from the first.

    Raises:
        InvalidValueError: another file, fewer than 10 rows of an age, ages that leave one out, or a
            cash that is there twice.
    """

    def __init__(self, path: str) -> None:
        names = ["m", "c"] + ["age"] * ("age" in read_header(path))
        m, c, *given = read_columns(path, names)
        age = given[0] if given else torch.zeros_like(m)
        every = age.unique()
        if not every.equal(every[:1] + torch.arange(len(every), dtype=age.dtype)):
            raise InvalidValueError(
                f"age of {path} must go on by 1 each, but got {_few(every.tolist())}."
            )
        self.ages = len(every)
        self._rows: list[tuple[Tensor, Tensor]] = []
        for one in every:
            order = m[age == one].argsort()
            cash, eaten = (column[age == one][order] for column in (m, c))
            if len(cash) < 10 or bool((cash.diff() <= 0).any()):
                raise InvalidValueError(
                    f"{path} must have at least 10 rows of each age, and each m once, but got"
                    f" {len(cash)} of age {one:g}, {len(cash.unique())} with an m of their own."
                )
            self._rows.append((cash, eaten))
        self.limit = max(0.0, *(float((c - m).max()) for m, c in self._rows))

    @override
    def reference(self, cash: Tensor, ages: Tensor) -> Tensor:
        found = torch.empty_like(cash)
        for age in ages.unique().tolist():
            rows = ages == age
            found[rows] = interpolate(cash[rows], *self._rows[int(age)])
        return found

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest cash that each age has."""
        return (
            max(float(m[0]) for m, _ in self._rows),
            min(float(m[-1]) for m, _ in self._rows),
        )


def interpolate(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Return values on straight lines between knots, which go on beyond the first and the last."""
    right = torch.searchsorted(knots, x.detach().contiguous()).clamp(1, len(knots) - 1)
    left = right - 1
    share = (x - knots[left]) / (knots[right] - knots[left])
    return torch.lerp(values[left], values[right], share)


def strongest_bend(x: Tensor, y: Tensor) -> Tensor:
    """Return the x at which the slope of y changes most."""
    return x[1:-1][(y.diff() / x.diff()).diff().abs().argmax()]


def _few(values: list[float]) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:5])
    return f"{shown}, ..." if len(values) > 5 else shown
