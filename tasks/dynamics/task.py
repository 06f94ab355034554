"""Trajectories as those of a system that is a contraction: which activation keeps it one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine
from typing_extensions import override

from actsearch.errors import InvalidValueError, TaskError
from actsearch.task.options import Interval, NonNegativeFloat, PositiveFloat, PositiveInt
from actsearch.task.pictures import evaluating
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split

from ..data.trajectories import reaction_chain, read_trajectory
from .pictures import draw_dynamics
from .system import DampedSystem, equilibria, integrate

RATES = (1.0, 0.8, 0.6)
"""Of the default chain, each over a unit of time: no norm of its states ever grows."""

STARTS, AROUND = 64, 4.0
"""Starts whose solutions are compared, in a box of so many deviations around the data."""


class DampedDynamics(TensorTask):
    r"""A system :math:`\dot x = -\lambda x + W \varphi(V x + a) + b`, fitted to trajectories.

    Where the smallest λ is above :math:`\|W\|_2 \|V\|_2 L_\varphi`, with :math:`L_\varphi` the
    catalogue's bound of :math:`|\varphi'|`, it is a contraction: from every start it comes to one
    equilibrium. That the bound is met is enough, not needed. By default the damping is learned as
    the bound plus a positive rate, so that it is met always; a fixed damping may miss it.

    Sites: ``field`` requires a finite ``derivative_bound``, since without one no damping is known
    to suffice; ``rate``, of the learned damping, requires ``minimum >= 0``, since a negative rate
    undoes it.

    Logged in validation and test: ``error``, the root of the mean squared error over the deviation
    of each state; ``margin`` m of the contraction; and ``negative_rates``, their share.
    In test alone: ``equilibria`` that Newton's method finds from 64 starts around the data, and
    ``spread``, the largest distance of their solutions after ten times the horizon over that at the
    start, infinite where one runs away (where :math:`m > 0`, at most :math:`e^{-mt}`).

    Recorded states of any units over time, such as concentrations::

        t,substrate,product
        0.0,1.00,0.00
        0.1,0.93,0.06

        actsearch search dynamics --task.data reaction.csv --task.points 10

    Later pieces of a file are held out.

    Shapes:
        input ``(N, D)``, states; output ``(N, D)``, their velocities in their units over time.

    Args:
        data: CSV file with a column t and one for each state; without it, a chain of reactions.
        pieces: trajectories of the chain, at least 10.
        points: times of a piece, at least 2; a file is cut into pieces of so many.
        horizon: last time of the chain's trajectories, above 0.
        data_seed: seed of the chain's starts.
        hidden: width of φ.
        damping: λ, above 0; learned as the bound plus a positive rate where it is not given.
        solver: ``rk4``, of fixed steps, or ``dopri5``, of adapted ones, which needs torchdiffeq.
        step: largest step of ``rk4`` in units of time, above 0; one for each interval of the data
            where it is not given.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        batch_size: pieces of a training step, at least 1.
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, or a file that is not that.

    References:
        Neural Ordinary Differential Equations, R. Chen, Y. Rubanova, J. Bettencourt and D.
        Duvenaud, 2018, https://arxiv.org/abs/1806.07366
        Learning Stable Deep Dynamics Models, J. Kolter and G. Manek, 2019,
        https://arxiv.org/abs/2001.06116
        Non-Euclidean contraction theory for robust nonlinear stability, A. Davydov, S. Jafarpour
        and F. Bullo, 2022, https://arxiv.org/abs/2103.12263
    """

    monitor = "val_error"
    mode = "min"
    test_metric = "test_error"
    space = "bounded_slopes"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 20}
    epoch_steps = 10
    least_batch = 1
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        data: str | None = None,
        pieces: Annotated[int, Interval(10)] = 60,
        points: Annotated[int, Interval(2)] = 11,
        horizon: PositiveFloat = 5.0,
        data_seed: int = 0,
        hidden: PositiveInt = 16,
        damping: PositiveFloat | None = None,
        solver: Literal["rk4", "dopri5"] = "rk4",
        step: PositiveFloat | None = None,
        lr: PositiveFloat = 0.1,
        weight_decay: NonNegativeFloat = 0.0,
        batch_size: PositiveInt = 1024,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, weight_decay=weight_decay, **options)
        found = (
            reaction_chain(RATES, pieces, points, horizon, data_seed)
            if data is None
            else read_trajectory(data, points)
        )
        if solver == "dopri5":
            _odeint()
        self.names, self.solver = found.names, solver
        self.steps = math.ceil(float(found.times.diff().max()) / step - 1e-9) if step else 1
        self.horizon = float(found.times[:, -1].max())
        self.hold(found.states[:, 0], found.times, found.states, in_time=data is not None)
        states = self.select("train")[2].flatten(0, 1)
        if not (states.std(0) > 0).all():
            raise InvalidValueError(
                f"data must vary in every state, but got deviations {states.std(0).tolist()} in"
                " the training pieces."
            )
        self.register_buffer("mean", states.mean(0))
        self.register_buffer("deviation", states.std(0))
        self.system = DampedSystem(states.shape[1], hidden, damping).double()

    def forward(self, x: Tensor) -> Tensor:
        """Return the velocity; inside, states of all units look alike."""
        return cast(Tensor, self.deviation * self.system((x - self.mean) / self.deviation))

    def solve(self, start: Tensor, times: Tensor) -> Tensor:
        """Return standardised states ``(N, T, D)`` at times ``(N, T)`` from starts ``(N, D)``."""
        damping = self.system.damping()
        if self.solver == "rk4":
            return integrate(lambda x: self.system(x, damping), start, times, self.steps)
        return _adapted(lambda x: self.system(x, damping), start, times)

    def residuals(self, batch: Batch) -> Tensor:
        """Return what is left of each state at each later time, in deviations ``(N, T - 1, D)``."""
        start, times, states = batch
        start, states = ((x - self.mean) / self.deviation for x in (start, states))
        return (self.solve(start, times) - states)[:, 1:]

    @override
    def loss(self, batch: Batch) -> Tensor:
        return self.residuals(batch).square().mean()

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        return {"squared_error": self.residuals(batch).square()}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        system = self.system
        rates = system.damping() if system.fixed is not None else system.rates()
        return {
            "error": means["squared_error"].sqrt(),
            "margin": system.margin(),
            "negative_rates": (rates < 0).double().mean(),
            **(self.rest() if part == "test" else {}),
        }

    def rest(self) -> dict[str, Tensor]:
        """Return the number of equilibria, and how far solutions are apart in the end."""
        system, starts = self.system, self.starts()
        # Outside of inference, where derivatives cannot be had.
        with torch.inference_mode(False), torch.no_grad():
            damping = system.damping()
            until = torch.tensor([[0.0, 10 * self.horizon]]).to(starts).expand(len(starts), 2)
            # Steps that a damping of this size is stable with, and a field as steep again.
            steps = max(100, math.ceil(float(until.max() * 2 * damping.abs().max())))
            ends = integrate(lambda x: system(x, damping), starts, until, min(steps, 5000))[:, -1]
            spread = torch.pdist(ends).max() / torch.pdist(starts).max()
            points, _ = equilibria(lambda x: system(x, damping), starts)
        return {
            "equilibria": torch.tensor(float(len(points))),
            "spread": spread.nan_to_num(nan=math.inf),
        }

    def starts(self) -> Tensor:
        """Return starts around the data, in deviations ``(N, D)``, always the same."""
        drawn = SobolEngine(self.mean.numel(), scramble=True, seed=0).draw(STARTS)
        return (AROUND * (2 * drawn.double() - 1)).to(self.mean)

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write pieces of the validation with the fit, and solutions from all around."""
        with evaluating(self):
            start, times, states = (x[:6].to(self.device) for x in self.select("val"))
            fitted = self.solve((start - self.mean) / self.deviation, times)
            starts = self.starts()
            until = torch.linspace(0, 2 * self.horizon, 200).to(starts).expand(len(starts), -1)
            damping = self.system.damping()
            around = integrate(lambda x: self.system(x, damping), starts, until, 5)
            points, stable = equilibria(lambda x: self.system(x, damping), starts)
            margin = float(self.system.margin())

        def units(x: Tensor) -> Tensor:
            return (x * self.deviation + self.mean).cpu()

        draw_dynamics(
            folder / "dynamics.png",
            self.names,
            (times.cpu(), states.cpu(), units(fitted)),
            units(around),
            (units(points), stable.cpu()),
            margin,
        )


def _adapted(field: Any, start: Tensor, times: Tensor) -> Tensor:
    """Return what :func:`integrate` does, by torchdiffeq's Dormand-Prince method.

    It takes one list of times: in each interval all run from 0 to 1, each at its own pace.
    """
    found, x = [start], start
    unit = torch.linspace(0, 1, 2).to(start)
    for interval in times.diff().unbind(1):
        pace = interval[:, None]
        x = _odeint()(lambda _, y, pace=pace: pace * field(y), x, unit, rtol=1e-7, atol=1e-9)[-1]
        found.append(x)
    return torch.stack(found, 1)


def _odeint() -> Callable[..., Tensor]:
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise TaskError(
            f"solver dopri5 needs torchdiffeq, which cannot be imported: {error}. Install it with"
            " pip install torchdiffeq."
        ) from None
    return cast(Callable[..., Tensor], odeint)
