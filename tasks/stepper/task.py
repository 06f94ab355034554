"""A learned update map of a partial differential equation: which activation keeps it stable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.task.options import Interval, NonNegativeFloat, PositiveFloat, PositiveInt
from actsearch.task.pictures import evaluating
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split

from ..data.evolutions import load_evolution
from .network import UpdateForm, UpdateMap
from .pictures import draw_steps
from .stability import LARGEST, jacobian, product, radius_and_norm, without_mean

HORIZON = 60
"""Steps that a roll-out is judged over, where the data are as long."""

LONG = 2000
"""Steps that a roll-out must survive."""

BEYOND = 10.0
"""Times the largest value of the data at which a roll-out has not survived."""


class Stepper(TensorTask):
    r"""The map from one state of a periodic field to the next, learned from trajectories.

    .. math:: u_{t+1} = S(u_t), \qquad
              L = \frac{\langle (S^k(u_t + \varepsilon) - u_{t+k})^2 \rangle}
                       {\langle (u_{t+1} - u_t)^2 \rangle}, \quad k = 1, \ldots, K

    A small convolutional network gives the fluxes between points, so that the mean is kept to
    rounding. Small disturbances die out where the spectral radius of the Jacobian, on fields of
    mean zero, is below 1; at rest this decides whether a long roll-out ends there. Noise
    :math:`\varepsilon` on the input, of mean zero, with a clean target, teaches to damp what the
    data have no longer; without it the radius ends above 1 for nearly every activation.

    Logged in validation and test: ``rollout_error``, relative L2 over a roll-out of 60 steps;
    ``one_step_error``, relative to the change of a step; ``radius_at_rest``; ``spectral_radius``,
    the largest at rest and on the path; and ``norm`` of the Jacobian, likewise, above which nothing
    grows even for a while. In test, after 2,000 steps, ``steps_survived`` (until a value is 10
    times the largest of the data) and ``last_size``, the largest that is left, less the mean. Its
    pictures come with ``rollout.npz``.

    Trajectories of a periodic field of one's own, in one or two dimensions, at even times::

        np.savez("own.npz", u=u)  # (runs, times, points) or (runs, times, points, points)
        actsearch search stepper --task.equation own.npz

    Shapes:
        input and output ``(N, *points)``.

    Args:
        equation: ``heat`` or ``burgers``, on a ring; or an ``.npz`` file with an array u.
        form: ``flux``, which keeps the mean, or ``residual``, the change itself.
        runs: trajectories of a named equation, at least 10.
        times: states of each, at least 3.
        points: on the ring, at least 16.
        channels: of each hidden convolution, at least 1.
        depth: hidden convolutions, at least 1.
        kernel: points that each sees, odd.
        unroll: steps K that a loss looks ahead, at least 1.
        noise: deviation of :math:`\varepsilon` in units of the data's, at least 0.
        stability_weight: of a penalty on a radius above 1 at rest, by power iteration, at least 0.
        batch_size: trajectories of a training step, of each a random stretch.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, or a file that is not that.

    References:
        Message passing neural PDE solvers, J. Brandstetter, D. Worrall and M. Welling, 2022,
        https://arxiv.org/abs/2202.03376
        PDEBench: an extensive benchmark for scientific machine learning, M. Takamoto et al., 2022,
        https://arxiv.org/abs/2210.07182
    """

    monitor = "val_rollout_error"
    mode = "min"
    test_metric = "test_rollout_error"
    space = "steppers"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 5}
    search_defaults: ClassVar[dict[str, Any]] = {"trials": 15, "confirm": 2, "seeds": 5}
    eval_batch_size = 16
    epoch_steps = 50
    least_batch = 1
    disturbance: Tensor

    def __init__(
        self,
        equation: str = "heat",
        form: UpdateForm = "flux",
        runs: Annotated[int, Interval(10)] = 50,
        times: Annotated[int, Interval(3)] = 61,
        points: Annotated[int, Interval(16)] = 64,
        channels: PositiveInt = 16,
        depth: PositiveInt = 3,
        kernel: PositiveInt = 5,
        unroll: PositiveInt = 2,
        noise: NonNegativeFloat = 0.02,
        stability_weight: NonNegativeFloat = 0.0,
        batch_size: PositiveInt = 16,
        lr: PositiveFloat = 0.01,
        weight_decay: NonNegativeFloat = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, weight_decay=weight_decay, **options)
        u = load_evolution(equation, runs, times, points, seed=0).float()
        for name, value, most in (
            ("kernel", kernel, min(u.shape[2:])),
            ("unroll", unroll, u.shape[1] - 1),
        ):
            if value > most or (name == "kernel" and kernel % 2 == 0):
                kind = "odd and " if name == "kernel" else ""
                raise InvalidValueError(
                    f"{name} must be {kind}at most {most} for these data, but got {value}."
                )
        self.unroll, self.noise, self.stability_weight = unroll, noise, stability_weight
        self.hold(u)
        self.example_input_array = u[self.splits.train[:4], 0]
        self.step = UpdateMap(u.ndim - 2, form, channels, depth, kernel)
        self.step.scale(u[self.splits.train])
        self.register_buffer("disturbance", torch.randn_like(u[:1, 0]), persistent=False)

    def forward(self, u: Tensor) -> Tensor:
        """Return the next state."""
        return cast(Tensor, self.step(u))

    @override
    def loss(self, batch: Batch) -> Tensor:
        (u,) = batch
        starts = torch.randint(u.shape[1] - self.unroll, (len(u),), device=u.device)
        rows = torch.arange(len(u), device=u.device)
        state = u[rows, starts]
        noise = self.noise * self.step.spread
        state = state + noise * without_mean(torch.randn_like(state))
        penalty = self.growth_above_one() if self.stability_weight else 0.0
        errors = []
        for ahead in range(1, self.unroll + 1):
            state = self(state)
            errors.append((state - u[rows, starts + ahead]).square().mean())
        relative = torch.stack(errors).mean() / self.step.change.square()
        return relative + self.stability_weight * penalty

    def growth_above_one(self) -> Tensor:
        """Return the square by which a disturbance at rest grows, beyond not at all.

        It goes on from step to step, so that it becomes what grows most.
        """
        v = without_mean(product(self, self.rest(), self.disturbance))
        size = cast(Tensor, torch.linalg.vector_norm(v))
        self.disturbance = (v / size).detach()
        return (size - 1).clamp_min(0).square()

    def rollout(self, start: Tensor, steps: int) -> Tensor:
        """Return states ``(N, steps + 1, *points)``, the start first."""
        states = [start]
        for _ in range(steps):
            states.append(self(states[-1]))
        return torch.stack(states, 1)

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        (u,) = batch
        found = self(u[:, :-1].flatten(0, 1)).view_as(u[:, 1:])
        return {"squared_one_step_error": (found - u[:, 1:]).square()}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        u = self.select(part)[0].to(self.device)
        steps = min(HORIZON, u.shape[1] - 1)
        found = self.rollout(u[:, 0], steps)[:, 1:]
        wanted = u[:, 1 : steps + 1]
        with torch.inference_mode(False), torch.no_grad():
            rest, path = self.rest(), u[0, :: max(1, steps // 3)].clone()
            radius, norm = radius_and_norm(self, torch.cat([rest, path]))
        found_error = (found - wanted).norm() / (wanted - self.step.level).norm()
        figures = {
            "rollout_error": found_error.nan_to_num(torch.inf).clamp_max(1e6),
            "one_step_error": means["squared_one_step_error"].sqrt() / self.step.change,
            "radius_at_rest": radius[0],
            "spectral_radius": radius.max(),
            "norm": norm.max(),
        }
        return figures | (self.survival(u) if part == "test" else {})

    def rest(self) -> Tensor:
        """Return the field that is level everywhere, ``(1, *points)``."""
        return torch.zeros_like(self.disturbance) + self.step.level

    def survival(self, u: Tensor) -> dict[str, Tensor]:
        """Return how long roll-outs stay within bounds, and how large they are in the end."""
        state = u[:, 0]
        mean = state - without_mean(state)
        bound = BEYOND * (u - mean[:, None]).abs().max()
        survived, size = 0, torch.zeros_like(bound)
        while survived < LONG and size <= bound:  # NaN is beyond, too
            state = self(state)
            size = (state - mean).abs().max()
            survived += 1
        return {"steps_survived": torch.tensor(float(survived)), "last_size": size}

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write truth, roll-out and difference, eigenvalues, and the roll-outs as a file."""
        with evaluating(self):
            u = self.select("val")[0].to(self.device)
            found = self.rollout(u[:, 0], min(HORIZON, u.shape[1] - 1))
            rest = self.rest()
            radius = float(radius_and_norm(self, rest)[0])
            small = rest.numel() <= LARGEST
            values = torch.linalg.eigvals(jacobian(self, rest[0])) if small else None
        np.savez(folder / "rollout.npz", u=found.cpu().numpy())
        draw_steps(folder / "steps.png", u[0].cpu(), found[0].cpu(), values, radius)
