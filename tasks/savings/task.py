"""Savings: a network as the policy of a life, whose kink is where the borrowing limit binds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.task.full_batch import FullBatchTask
from actsearch.task.options import (
    Interval,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from actsearch.task.pictures import evaluating
from actsearch.task.tensors import Batch, Split, join

from .loading import load_problem
from .network import spread_perceptron
from .pictures import draw_policy, write_policy
from .problem import EulerProblem, PolicyTable, strongest_bend

EVALUATED = 1200
"""Points of cash of each age that validation and test see."""

LEAST_EATEN = 1e-3
"""Consumption that a lower one counts as, where its marginal utility is asked for."""


class Savings(FullBatchTask):
    r"""A network as the policy c(m), or the value, of a life with a borrowing limit.

    .. math:: v_t(m) = \max_{0 \le c \le m + \ell} \frac{c^{1-\rho}}{1-\rho}
              + \beta s_t \, \mathbb E\, v_{t+1}(R (m - c) + y_{t+1})

    Cash on hand m is in years of mean income. Where the limit :math:`\ell` binds, all is eaten,
    c = m + ℓ; beyond the kink m* some is saved. The value is smooth there (its slope is u'(c)),
    the policy is not. Where one may retire for good, the value has a kink itself, and the policy
    jumps. Values are given as the constant consumption that is worth as much.

    A perceptron in float64, trained on a reference solution by endogenous gridpoints, or without
    one by the Euler equation with the limit: the Fischer-Burmeister function of how far c is from
    what the equation says and from the limit is 0.

    Logged in validation and test, each over an even grid of cash: ``kink_error`` (root mean square
    within 10 % of m* and 0.05), ``away_error`` (elsewhere), and of policies ``mpc_error`` (of the
    marginal propensity to consume, their slope), ``kink_location`` (largest second difference, at
    the first age), ``limit_violations`` (share with c above m + ℓ), ``worst_violation`` and, where
    there is an Euler equation, ``euler_error`` (log10 of its mean relative residual). Its pictures
    come with ``policy.csv``.

    A model or a solution of your own::

        actsearch search savings --task.model life.yaml
        actsearch search savings --task.model policy.csv     # m,c or m,age,c
        actsearch search savings --task.model mypackage.MyProblem

    ``life.yaml`` has ``beta``, ``rho``, ``R``, ``sd`` (of the logarithm of income), and may have
    ``T`` (ages, 40), ``limit`` (what may be owed, 0), ``income`` (a CSV file beside it with columns
    age, income and survival), ``work_cost`` and ``pension`` (where one may retire). A class derives
    from :class:`SavingsProblem`, which has the ``reference``, or from :class:`EulerProblem`.

    Shapes:
        input ``(N, 1)``, cash, or ``(N, 2)``, cash and age; output ``(N,)``.

    Args:
        model: ``saving``; ``retirement``; a YAML file of an economy; a CSV file of a policy; or a
            class by its dotted path.
        age: years after the first; without it, all of them, as a second input.
        target: ``policy``, or ``value`` where the model has it.
        train: ``fit`` to the reference, or ``euler``.
        low: least cash; where not given, 0.02 above what may be owed, or the least of the file.
        high: most cash; where not given 6, or the most of the file.
        points: of training, over all ages together, at least 20.
        hidden: units of a layer, at least 1.
        depth: hidden layers, at least 1.
        steepness: factor of the first layer's weights at the start, above 0; saturating units want
            more of it than rectifiers.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        **options: those of every :class:`FullBatchTask`; ``split_seed`` shifts the three grids,
            whose sizes the shares do not change.

    Raises:
        ActsearchError: an option out of its range, or a model that is not that.

    References:
        The method of endogenous gridpoints for solving dynamic stochastic optimization problems,
        C. Carroll, 2006, https://doi.org/10.1016/j.econlet.2005.09.013
        Deep learning for solving dynamic economic models, L. Maliar, S. Maliar and P. Winant, 2021,
        https://doi.org/10.1016/j.jmoneco.2021.07.004
        Deep equilibrium nets, M. Azinovic, L. Gaegauf and S. Scheidegger, 2022,
        https://doi.org/10.1111/iere.12575
    """

    monitor = "val_kink_error"
    mode = "min"
    test_metric = "test_kink_error"
    space = "policies"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 8}
    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        model: str = "saving",
        age: NonNegativeInt | None = 0,
        target: Literal["policy", "value"] = "policy",
        train: Literal["fit", "euler"] = "fit",
        low: float | None = None,
        high: PositiveFloat | None = None,
        points: Annotated[int, Interval(20)] = 600,
        hidden: PositiveInt = 32,
        depth: PositiveInt = 1,
        steepness: PositiveFloat = 1.0,
        lr: PositiveFloat = 0.02,
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, **options)
        self.problem = load_problem(model, high or 6.0)
        self.target, self.by_euler = target, train == "euler"
        self.low, self.high = self._range(low, high)
        ages = self.problem.ages
        if age is not None and age >= ages:
            raise InvalidValueError(f"age must be below {ages}, but got {age}.")
        if self.by_euler and (target == "value" or not isinstance(self.problem, EulerProblem)):
            raise InvalidValueError(
                "train must be fit where the target is no policy with an Euler equation, but got"
                " 'euler'."
            )
        self.every_age = age is None
        self.ages = torch.arange(ages) if age is None else torch.tensor([age])
        self.kinks = torch.tensor(
            [self.problem.kink(int(a), self.low, self.high) for a in self.ages]
        )
        self._hold_grids(points)
        wanted = self.select("train")[1]
        self.register_buffer("centre", wanted.mean())
        self.register_buffer("spread", wanted.std())
        self.network = spread_perceptron(2 if self.every_age else 1, hidden, depth, steepness)
        self.double()

    def _range(self, low: float | None, high: float | None) -> tuple[float, float]:
        table = self.problem.range if isinstance(self.problem, PolicyTable) else None
        least, most = table or (-self.problem.limit, torch.inf)
        start = (0.02 - self.problem.limit if table is None else least) if low is None else low
        end = (6.0 if table is None else most) if high is None else high
        if not (least <= start < end <= most) or (table is None and start == least):
            raise InvalidValueError(
                f"low and high must lie between {least:g} and {most:g}, but got {start:g} and"
                f" {end:g}."
            )
        return start, end

    def _hold_grids(self, points: int) -> None:
        """Take three even grids of cash, shifted by the seed of the split."""
        shifts = torch.rand(
            3, generator=torch.Generator().manual_seed(self._division[0]), dtype=torch.float64
        )
        count = len(self.ages)
        train = self._even(points, shifts[0])
        parts = [(train, self.ages[torch.arange(points) % count])]
        for shift in shifts[1:]:
            grid = self._even(EVALUATED, shift)
            parts.append((grid.repeat(count), self.ages.repeat_interleave(EVALUATED)))
        (cash, ages), splits = join(*parts)
        known = self.problem.value if self.target == "value" else self.problem.reference
        inputs = torch.stack([cash, ages.double()], 1) if self.every_age else cash[:, None]
        self.hold_divided((inputs, known(cash, ages), ages), splits)

    def _even(self, points: int, shift: Tensor) -> Tensor:
        steps = (torch.arange(points, dtype=torch.float64) + shift) / points
        return self.low + (self.high - self.low) * steps

    def forward(self, inputs: Tensor) -> Tensor:
        """Return consumption, or the value."""
        z = 2 * (inputs[:, :1] - self.low) / (self.high - self.low) - 1
        if self.every_age:
            z = torch.cat([z, 2 * inputs[:, 1:] / max(self.problem.ages - 1, 1) - 1], 1)
        return cast(Tensor, self.centre + self.spread * self.network(z)[:, 0])

    @override
    def loss(self, batch: Batch) -> Tensor:
        inputs, wanted, ages = batch
        found = self(inputs)
        error: Tensor = found - wanted
        if self.by_euler:
            cash = inputs[:, 0]
            room = cash + self.problem.limit - found
            short = self.optimal(cash, found, ages) - found
            error = short + room - (short.square() + room.square() + 1e-16).sqrt()
        return (error / self.spread).square().mean()

    def optimal(self, cash: Tensor, consumption: Tensor, ages: Tensor) -> Tensor:
        """Return what the Euler equation says of consumption, given what is left of it."""
        problem = cast(EulerProblem, self.problem)
        left = (cash - consumption).clamp_min(-problem.limit)
        later, weights = problem.transition(left, ages)
        eaten = self.later_policy(later, ages + 1).clamp_min(LEAST_EATEN)
        return problem.inverse_marginal((weights * problem.marginal(eaten)).sum(1))

    def later_policy(self, cash: Tensor, ages: Tensor) -> Tensor:
        """Return the policy at the next age, the network's where it has it; at last, all is eaten.

        Shapes:
            cash ``(N, Q)``, ages ``(N,)``; result ``(N, Q)``.
        """
        flat, each = cash.flatten(), ages[:, None].expand_as(cash).flatten()
        last = each == self.problem.ages
        if self.every_age:
            found = self(torch.stack([flat, each.to(flat)], 1))
        else:
            before = each.clamp_max(self.problem.ages - 1).cpu()
            found = self.problem.reference(flat.cpu(), before).to(flat)
        return torch.where(last, flat, found).view_as(cash)

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        inputs, wanted, _ = batch
        return {"squared_error": (self(inputs) - wanted).square()}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        inputs, wanted, ages = (column.to(self.device) for column in self.select(part))
        found, cash = self(inputs), inputs[:, 0]
        rows = found.view(-1, EVALUATED), wanted.view(-1, EVALUATED), cash.view(-1, EVALUATED)
        kinks = self.kinks.to(self.device)[:, None]
        near = (rows[2] - kinks).abs() <= 0.1 * kinks.abs() + 0.05
        error = (rows[0] - rows[1]).square()
        figures = {
            "kink_error": error[near].mean().sqrt(),
            "away_error": error[~near].mean().sqrt(),
        }
        if self.target == "value":
            return figures
        slopes = [(r.diff() / rows[2].diff()) for r in rows[:2]]
        over = found - cash - self.problem.limit
        figures |= {
            "kink_location": strongest_bend(rows[2][0], rows[0][0]),
            "mpc_error": (slopes[0] - slopes[1]).square().mean().sqrt(),
            "limit_violations": (over > 0).double().mean(),
            "worst_violation": over.max().clamp_min(0),
        }
        if isinstance(self.problem, EulerProblem):
            most = cash + self.problem.limit
            eaten = torch.minimum(found.clamp_min(LEAST_EATEN), most)
            wished = torch.minimum(self.optimal(cash, eaten, ages), most)
            figures["euler_error"] = (wished / eaten - 1).abs().mean().log10()
        return figures

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write policy or value beside the reference with the kink enlarged, and ``policy.csv``."""
        inputs, wanted, ages = self.select("val")
        with evaluating(self):
            found = self(inputs.to(self.device)).cpu()
        first = slice(EVALUATED)
        rows = inputs[first, 0], found[first], wanted[first]
        draw_policy(folder / "policy.png", rows, float(self.kinks[0]), self.target)
        if self.target == "policy":
            write_policy(folder / "policy.csv", inputs[:, 0], ages, found)
