"""A friction law fitted to forces, and what its activation does to an energy as a gradient."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch import Site
from actsearch.task.full_batch import FullBatchTask
from actsearch.task.options import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from actsearch.task.pictures import DPI, evaluating, new_figure
from actsearch.task.tensors import Batch, Split

from .data.energies import descend, rises
from .data.friction import SteadyLuGre, read_forces

TRANSITION = 5.0
"""Widths :math:`v_0` of the transition, beyond which every plateau is flat."""


class Friction(FullBatchTask):
    r"""A friction law fitted to measured forces; its activation never raises an energy.

    .. math:: F(v) = \left(F_c + (F_s - F_c) e^{-(v/v_s)^2}\right) \varphi(v / v_0) + b v

    All constants are positive and learned, in float64; the dip of Stribeck is there where
    ``stribeck`` is. The site requires what makes φ dissipate: zero-preserving and monotone, so that
    :math:`F v \ge 0`, and a slope of at most 1. Descent with such a shaped gradient never raises an
    energy of curvature up to L while :math:`\eta \le 2/L`:

    .. math:: x_{k+1} = x_k - \eta \, \varphi(\nabla E(x_k)), \qquad
              E(x_{k+1}) \le E(x_k) - \eta (1 - \eta L / 2) \|\varphi(\nabla E(x_k))\|^2

    That φ is odd and non-expansive is neither enough (-x climbs) nor needed (ReLU descends). Where
    φ is smooth at 0 the law is viscous there: a block on a slope creeps, and never sticks.

    Logged in validation and test: ``force_error``, root mean square in the unit of force; the
    constants ``plateau``, :math:`F_c \varphi` at the fastest row, ``transition`` (:math:`v_0`),
    ``viscous``, and ``excess`` (:math:`F_s - F_c`, in which φ counts likewise) and ``stribeck``;
    ``slope_at_zero``; ``resolved``, the share of training rows within 5 :math:`v_0`, without which
    laws with a plateau cannot be told apart; and of a descent with φ ``energy_rises`` (steps that
    raised the energy beyond rounding), ``largest_rise`` and ``final_energy``.

    Forces of one's own, against the motion, in any units; with a column time, rows of a trajectory,
    of which later ones are held out::

        actsearch search friction --task.data own.csv  # velocity,force or time,velocity,force

    Shapes:
        input ``(N, 1)``, velocity; output ``(N, 1)``, force.

    Args:
        data: CSV file with columns velocity and force, and time or not; without it, the LuGre model
            at steady state with its published constants.
        stribeck: whether the law has Stribeck's dip.
        span: fastest velocity of the LuGre model, m/s, above 0.
        samples: of it, at least 1.
        noise: standard deviation of its force, N, at least 0.
        noise_seed: seed of the noise.
        energy: that the descent is on, each of largest curvature 1: ``quadratic`` with eigenvalues
            from 0.1, ``log_cosh``, or ``cosine``, Σ(1 - cos x), which is not convex.
        dimension: of its state, at least 1.
        step: :math:`\eta`, above 0.
        steps: of the descent, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        **options: those of every :class:`FullBatchTask`.

    Raises:
        ActsearchError: an option out of its range, or a file that is not that.

    References:
        A new model for control of systems with friction, C. Canudas de Wit, H. Olsson, K. Åström
        and P. Lischinsky, 1995, https://doi.org/10.1109/9.376053
        A survey of models, analysis tools and compensation methods for the control of machines with
        friction, B. Armstrong-Hélouvry, P. Dupont and C. Canudas de Wit, 1994,
        https://doi.org/10.1016/0005-1098(94)90209-7
    """

    monitor = "val_force_error"
    mode = "min"
    test_metric = "test_force_error"
    space = "dissipative"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 8}
    units: Tensor

    def __init__(
        self,
        data: str | None = None,
        stribeck: bool = False,
        span: PositiveFloat = 1.0,
        samples: PositiveInt = 400,
        noise: NonNegativeFloat = 0.02,
        noise_seed: NonNegativeInt = 0,
        energy: Literal["quadratic", "log_cosh", "cosine"] = "quadratic",
        dimension: PositiveInt = 10,
        step: PositiveFloat = 1.0,
        steps: PositiveInt = 100,
        lr: PositiveFloat = 0.03,
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, **options)
        timed = False
        if data is None:
            velocity, force = SteadyLuGre().measure(span, samples, noise, noise_seed)
        else:
            velocity, force, timed = read_forces(data)
        self.hold(velocity[:, None], force[:, None], in_time=timed)
        v, f = self.select("train")
        # Rows may be sorted; a law is judged where all velocities are.
        self.example_input_array = v[torch.linspace(0, len(v) - 1, 16).long()]
        self.register_buffer("units", torch.stack([t.square().mean().sqrt() for t in (v, f)]))
        self.descent = energy, step, steps
        generator = torch.Generator().manual_seed(0)
        start = 3 * torch.randn(dimension, generator=generator, dtype=torch.float64)
        self.register_buffer("start", start)
        self.law = Site(
            "identity", requires="zero_preserving and monotone and derivative_bound <= 1"
        )
        # coulomb, transition, viscous; excess, stribeck: each above 0, in the units of the data.
        middle = torch.tensor([-0.5, -1.5, -1.5, -0.5, -1.0][: 5 if stribeck else 3])
        self.logs = nn.Parameter(middle + 0.3 * torch.randn(len(middle)))
        self.double()

    def forward(self, velocity: Tensor) -> Tensor:
        """Return the force; inside, data of all units look alike."""
        fast, strong = self.units
        v = velocity / fast
        coulomb, transition, viscous, *dip = self.logs.exp()
        height = coulomb
        if dip:
            height = coulomb + dip[0] * torch.exp(-(v / dip[1]).square())
        return cast(Tensor, strong * (height * self.law(v / transition) + viscous * v))

    @override
    def loss(self, batch: Batch) -> Tensor:
        return self.score(batch)["squared_error"].mean() / self.units[1].square()

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        velocity, force = batch
        return {"squared_error": (self(velocity) - force).square()}

    @override
    @torch.no_grad()
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        raised = rises(energies := self.descend())
        return {
            "force_error": means["squared_error"].sqrt(),
            **self.constants(),
            "energy_rises": (raised > 0).double().sum(),
            "largest_rise": raised.max(),
            "final_energy": energies[-1],
        }

    def descend(self) -> Tensor:
        """Return the energies of a descent with the law's activation, ``(steps + 1,)``."""
        energy, step, steps = self.descent
        return descend(energy, self.law, cast(Tensor, self.start), step, steps)

    @torch.no_grad()
    def constants(self) -> dict[str, Tensor]:
        """Return the law's constants in the units of the data."""
        fast, strong = self.units
        v = self.select("train")[0].abs().to(self.device)
        coulomb, transition, viscous, *dip = self.logs.exp()
        ends = v.max() / fast / transition * torch.tensor([[-1.0], [1.0]]).to(v)
        low, high = self.law(ends)[:, 0]
        height = strong * (high - low) / 2
        around = v.max() * torch.tensor([[-1e-9], [1e-9]]).to(v)
        before, after = self(around)[:, 0]
        found = {
            "plateau": height * coulomb,
            "transition": fast * transition,
            "viscous": strong / fast * viscous,
            "slope_at_zero": (after - before) / (2e-9 * v.max()),
            "resolved": (v < TRANSITION * fast * transition).double().mean(),
        }
        return found | ({"excess": height * dip[0], "stribeck": fast * dip[1]} if dip else {})

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write the force over velocity, what is left of it, and the energy on the way down."""
        velocity, force = self.select("val")
        low, high = float(velocity.min()), float(velocity.max())
        at = torch.linspace(low, high, 2001, dtype=torch.float64)[:, None]
        with evaluating(self):
            curve = self(at.to(self.device)).cpu()
            left = force - self(velocity.to(self.device)).cpu()
            energies = self.descend().cpu()
            found = {name: float(value) for name, value in self.constants().items()}
        figure, axes = new_figure(1, 3, size=3.6)
        law, residual, descent = axes[0]
        law.plot(velocity, force, "o", color="black", alpha=0.3, markersize=3, label="validation")
        law.plot(at.numpy(), curve.numpy(), color="C1", label="law")
        law.set_title(f"plateau {found['plateau']:.3g}, viscous {found['viscous']:.3g}")
        law.legend(fontsize=8)
        law.set(xlabel="velocity", ylabel="force")
        residual.axhline(0, color="black", linewidth=3, alpha=0.3)
        residual.plot(velocity, left, "o", color="C1", markersize=3)
        residual.set(xlabel="velocity", ylabel="measured - law")
        residual.set_title(f"error {float(left.square().mean().sqrt()):.3g}")
        descent.plot(energies.clamp_min(1e-16).numpy(), color="C1")
        name, step, _ = self.descent
        count = int((rises(energies) > 0).sum())
        descent.set(yscale="log", xlabel="step", ylabel=f"energy, {name}")
        descent.set_title(f"step {step:g}: {count} rises")
        figure.savefig(folder / "friction.png", dpi=DPI)
