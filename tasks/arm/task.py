"""One neuron moves one joint: its activation decides overshoot, settling and what is left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.placement.optimiser import parameter_groups
from actsearch.task.options import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from actsearch.task.pictures import evaluating
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split, Splits

from .analysis import (
    BAND,
    fitted_poles,
    itae,
    overshoot,
    phase_margin,
    pole_distance,
    settling_time,
)
from .loop import ControlLoop
from .pictures import draw_loop, write_closed_loop, write_response
from .plant import load_plant

FASTEST = 2.0
"""Largest product of a pole's size and the step that the integration is stable for."""

WORST = 1e6
"""What a response that runs away counts as."""

FLAT = 0.1
"""Of the slope at 0, below which φ is saturated."""


class JointControl(TensorTask):
    r"""A joint that one neuron drives by its error, so that it follows steps.

    .. math:: u = V \varphi(k (r - y)), \qquad
              s^2 + \frac{b + K^2 / R}{J} s + \frac{K V k \, \varphi'(0)}{R J} = 0

    of a motor's angle, linearised: :math:`\varphi'(0)` is the proportional gain, and decides small
    steps; what φ does far from 0, its saturation, decides large ones. Sites require ``odd and
    zero_preserving``: a φ that is flat below 0 has no torque back, and one that is not 0 there
    pushes at rest.

    Steps are drawn between ``smallest`` and ``largest``, evenly by their logarithm and with both
    signs, others for validation and test. Logged there, as means over them: ``itae``,
    :math:`\int t |e| dt` over the step, in ms²; ``overshoot`` (%), ``settling_time`` (s, 2 %; the
    horizon where it never settles) and ``steady_state_error`` (%); ``saturation``, the share of
    time at less than a tenth of the slope at 0. Also ``gain`` k, and of the linearised loop
    ``phase_margin`` (degrees) and ``slowest``, the real part of its last pole, below 0 where it is
    stable. In test, ``pole_error`` of the poles in the response to the smallest step. Pictures come
    with ``response.csv``, columns t, u and y, and ``closed_loop.yaml``, numerator, denominator and
    poles; :func:`actsearch_tasks.arm.control_system` hands the loop to python-control.

    A plant of your own, by its transfer function, highest power first, in state space (keys A, B
    and C), or as recorded (columns t, u and y, from rest)::

        actsearch search arm --task.plant "[21218], [1, 59.2, 0]"
        actsearch search arm --task.plant plant.yaml
        actsearch search arm --task.plant recorded.csv --task.largest 0.5

    Shapes:
        input ``(N, 1)``, the error, or with ``hidden`` ``(N, 3)``, its rate and integral too, both
        in units of a twentieth of the horizon; output ``(N, 1)``, what drives, over V.

    Args:
        plant: ``dc_motor``, a transfer function, or a file.
        hidden: units of a network of error, rate and integral beside the neuron; 0 for none.
        gain: k at first, in one over the unit of y, above 0.
        hold_slope: whether the neuron's :math:`k \varphi'(0)` is held at ``gain``, and the shape of
            φ alone differs; else k is learned, which ``itae`` alone drives up without end.
        volts: V, above 0.
        disturbance: added to what drives, at least 0.
        smallest: step, in the unit of y, above 0.
        largest: step, at least ``smallest``.
        samples: steps of each split, at least 1.
        horizon: of a response in s, above 0.
        step: of the integration in s, above 0.
        cost: that is trained on: ``itae``, or ``overshoot`` with a response that must have settled
            by ``settle_by``.
        settle_by: in s, above 0.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        **options: those of every :class:`TensorTask`; ``split_seed`` draws the steps, and the
            shares play no part.

    Raises:
        ActsearchError: an option out of its range, or a plant that is not that.

    References:
        Feedback systems, K. Åström and R. Murray, 2nd edition, 2021, https://fbswiki.org
        Control Tutorials for MATLAB and Simulink, D. Tilbury and B. Messner,
        https://ctms.engin.umich.edu
    """

    monitor = "val_itae"
    mode = "min"
    test_metric = "test_itae"
    space = "controllers"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 3}
    epoch_steps = 4
    least_batch = 1
    times: Tensor

    def __init__(
        self,
        plant: str = "dc_motor",
        hidden: NonNegativeInt = 0,
        gain: PositiveFloat = 0.1,
        hold_slope: bool = True,
        volts: PositiveFloat = 10.0,
        disturbance: NonNegativeFloat = 0.0,
        smallest: PositiveFloat = 1e-3,
        largest: PositiveFloat = 10.0,
        samples: PositiveInt = 3,
        horizon: PositiveFloat = 0.3,
        step: PositiveFloat = 2e-3,
        cost: Literal["itae", "overshoot"] = "itae",
        settle_by: PositiveFloat = 0.15,
        lr: PositiveFloat = 0.1,
        weight_decay: NonNegativeFloat = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay, **options)
        found = load_plant(plant)
        _check_options(found.poles, smallest, largest, horizon, step)
        if hidden and abs(found.C @ found.B) > 1e-9 * np.abs(found.C).max() * np.abs(found.B).max():
            raise InvalidValueError(
                "hidden must be 0 for a plant whose output's rate follows its input at once, but"
                f" got {hidden}."
            )
        self.plant, self.cost, self.settle_by = found, cost, settle_by
        self.smallest, self.largest, self.hold_slope = smallest, largest, hold_slope
        count = round(horizon / step)
        times = step * torch.arange(count + 1, dtype=torch.float64)
        self.register_buffer("times", times, persistent=False)
        generator = torch.Generator().manual_seed(self._division[0])
        places = torch.arange(samples).repeat(3) + torch.rand(3 * samples, generator=generator)
        sizes = smallest * (largest / smallest) ** (places.double() / samples)
        signs = 1 - 2 * (torch.arange(3 * samples) % 2)
        self.hold_divided((sizes * signs,), Splits(*torch.arange(3 * samples).split(samples)))
        seen = 3 if hidden else 1
        self.example_input_array = torch.linspace(-1, 1, 4 * seen, dtype=torch.float64).view(4, -1)
        self.loop = ControlLoop(found, hidden, volts, gain, hold_slope, disturbance, horizon / 20)

    def forward(self, seen: Tensor) -> Tensor:
        """Return what drives the plant, over V."""
        return cast(Tensor, self.loop(seen))

    def errors(self, reference: Tensor) -> Tensor:
        """Return the error after each step ``(N,)``, relative to it, within bounds, ``(N, T)``."""
        y = self.loop.respond(reference, self.times) @ self.loop.output
        error = 1 - y / reference[:, None]
        return error.nan_to_num(WORST, WORST, -WORST).clamp(-WORST, WORST)

    @override
    def loss(self, batch: Batch) -> Tensor:
        error = self.errors(batch[0])
        if self.cost == "itae":
            return itae(error, self.times).mean() / self.times[-1].square()
        late = (error.abs() - BAND).clamp_min(0)[:, self.times >= self.settle_by]
        return overshoot(error).mean() + 10 * late.mean()

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        (reference,) = batch
        error = self.errors(reference)
        driven = self.loop.gain() * (reference[:, None] * error).view(-1, 1)
        least = FLAT * self.loop.slope(driven.new_zeros(1, 1)).abs()
        flat = self.loop.slope(driven).abs() < least
        return {
            "itae": 1e6 * itae(error, self.times),
            "overshoot": 100 * overshoot(error),
            "settling_time": settling_time(error, self.times),
            "steady_state_error": 100 * error[:, -1].abs(),
            "saturation": flat.double(),
        }

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Any]:
        free, driven, control, _ = self.linear()
        figures = {
            "gain": self.loop.gain(),
            "phase_margin": phase_margin(free, driven, control),
            "slowest": float(np.linalg.eigvals(self.closed_loop()[0]).real.max()),
        }
        return figures | ({"pole_error": self.pole_error()} if part == "test" else {})

    def linear(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Return the loop at rest: z by its velocity and by what drives, and that by z and r."""
        control, by_reference = self.loop.linearised()
        free, driven = self.loop.free.cpu().numpy(), self.loop.driven.cpu().numpy()
        return free, driven, control.cpu().numpy(), float(by_reference)

    def closed_loop(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the linearised loop: z's velocity by z and by r, and y by z."""
        free, driven, control, by_reference = self.linear()
        pushed = by_reference * driven + self.loop.by_reference.cpu().numpy()
        return free + np.outer(driven, control), pushed, self.loop.output.cpu().numpy()

    @torch.no_grad()
    def poles(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the linearised loop's poles, and those in the response to the smallest step."""
        wanted = np.linalg.eigvals(self.closed_loop()[0])
        reference = torch.full((1,), self.smallest, dtype=torch.float64).to(self.device)
        error = self.errors(reference)[0].cpu().numpy()
        step = float(self.times[1])
        most = len(error) // (3 * len(wanted))
        apart = max(1, min(most, round(0.7 / max(np.abs(wanted).max(), 1e-12) / step)))
        return wanted, fitted_poles(error[::apart], apart * step, len(wanted))

    def pole_error(self) -> float:
        """Return how far fitted poles are off, over the size of the fastest."""
        wanted, found = self.poles()
        return min(pole_distance(found, wanted), WORST)

    @override
    def build_optimizer(self) -> torch.optim.Optimizer:
        groups = parameter_groups(self, lr=self.lr, weight_decay=self.weight_decay)
        if self.hold_slope:
            for group in groups:
                group["params"] = [p for p in group["params"] if p is not self.loop.log_gain]
            groups.append({"params": [self.loop.log_gain], "lr": 0.0, "weight_decay": 0.0})
        return torch.optim.AdamW(groups)

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write responses, poles and φ; the largest step's record, and the linearised loop."""
        sizes = [self.smallest * (self.largest / self.smallest) ** share for share in (0, 0.75, 1)]
        reference = torch.tensor(sizes, dtype=torch.float64).to(self.device)
        with evaluating(self):
            z = self.loop.respond(reference, self.times)
            y, u = (t.cpu() for t in (z @ self.loop.output, self.loop.drive(reference, z)))
            wanted, found = self.poles()
            slope = float(self.loop.slope(z.new_zeros(1, 1)))
            reach = 3 / (slope if slope > 0 else 1.0)
            driven = torch.linspace(-reach, reach, 201, dtype=torch.float64)[:, None]
            shape = self.loop.controller(driven.to(self.device)).cpu()[:, 0]
        relative = y / reference.cpu()[:, None]
        draw_loop(
            folder / "arm.png",
            (self.times.cpu(), relative, sizes),
            (wanted, found),
            (driven[:, 0], shape, slope),
        )
        write_response(folder / "response.csv", self.times.cpu(), u[-1], y[-1])
        write_closed_loop(folder / "closed_loop.yaml", *self.closed_loop())


def _check_options(
    poles: np.ndarray, smallest: float, largest: float, horizon: float, step: float
) -> None:
    """Refuse a range or a grid of times that is none, or too coarse for the plant."""
    if largest < smallest:
        raise InvalidValueError(
            f"largest must be at least smallest, {smallest:g}, but got {largest:g}."
        )
    if horizon < 10 * step:
        raise InvalidValueError(
            f"horizon must be at least ten times step, {step:g}, but got {horizon:g}."
        )
    fastest = float(np.abs(poles).max())
    if fastest * step > FASTEST:
        raise InvalidValueError(
            f"step must be at most {FASTEST / fastest:.3g} s for a plant with a pole of size"
            f" {fastest:.3g}, but got {step:g}. Or leave out a pole that is far faster than others."
        )
