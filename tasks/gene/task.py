"""How a gene responds to its regulator: the form of the response, fitted to what was measured."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from actsearch import Site
from actsearch.errors import ActsearchWarning, InvalidValueError
from actsearch.task.full_batch import FullBatchTask
from actsearch.task.options import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from actsearch.task.tensors import Batch, Split

from ..data.regulation import load_regulation
from .confidence import interval
from .course import Course
from .pictures import draw_regulation
from .response import half_response
from .start import best_start

SMALLEST_SHARE = 0.01
"""Share of a target's range that a relative error counts from."""


class GeneRegulation(FullBatchTask):
    r"""A gene driven by a measured regulator; the form of its response is searched.

    .. math:: \dot x = s_0 + s_1 \varphi(u(t); K, n) - \gamma x

    By default φ is the Hill function of learned K and n. The positive constants of each target are
    learned by their logarithms, in float64, from the best of several random starts, of which
    :math:`s_0`, :math:`s_1` and :math:`x_0` are the non-negative least squares. Repression has
    1 - φ in the place of φ. Without time each row is a steady state, :math:`x = s_0 + s_1 \varphi`,
    and a fraction :math:`x = \varphi`. A form that is not 0 without regulator, such as the sigmoid,
    has a threshold of its own, :math:`\varphi(u/K - b)`.

    The site requires what a rate of production is: never below 0, and rising with its regulator;
    of a repressed gene or a fraction also at most 1.

    Logged in validation, on later times than those of the fit, and in test, on still later ones:
    ``error``, root mean square relative to the target's range; ``K``, the regulator of half
    response, and ``n``, the effective Hill coefficient, ln 81 over that of the regulators of 90 and
    of 10 %, where φ saturates; ``K_error`` and ``n_error`` where the truth is known; ``decay``;
    ``aic`` of the training rows; ``crosses_half``, whether the regulator was seen on both sides of
    K, without which K and n rest on the form of φ alone. In test also 95 % intervals, ``n_low``,
    ``n_high``, ``K_low`` and ``K_high``, by the curvature of the fit. Of several targets, each has
    its own name behind.

    A time course of one's own in any units, an empty cell for a missing value; without time, a
    dose and its response::

        actsearch search gene --task.data own.csv  # time,regulator,target
        actsearch search gene --task.data own.csv  # time,regulator_a,target_a,regulator_b,target_b

    Shapes:
        input ``(N, 1)``, times of samples, or without time regulators ``(N, G)``; output
        ``(N, G)``, targets.

    Args:
        data: ``simulated``, a gene of which all is known; ``repressilator``, three genes that
            repress each other in a ring; ``haemoglobin``, its oxygen saturation; or a CSV file.
        effect: of the regulators of a file.
        fraction: whether the target of a file is a share, 0 without regulator and 1 at most; not
            with time.
        noise: standard deviation of what is simulated, relative to each value, at least 0.
        noise_seed: seed of the noise.
        errors: ``relative`` to each value, or ``absolute``.
        starts: random starts, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        **options: those of every :class:`FullBatchTask`.

    Raises:
        ActsearchError: an option out of its range, or a file that is not that.

    References:
        The possible effects of the aggregation of the molecules of haemoglobin on its dissociation
        curves, A. V. Hill, 1910, Journal of Physiology 40 (supplement)
        A synthetic oscillatory network of transcriptional regulators, M. Elowitz and S. Leibler,
        2000, https://doi.org/10.1038/35002125
    """

    monitor = "val_error"
    mode = "min"
    test_metric = "test_error"
    space = "regulation"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 10}
    epoch_steps = 30
    adam_share = 0.25
    bent: Tensor
    scales: Tensor

    def __init__(
        self,
        data: str = "simulated",
        effect: Literal["activation", "repression"] = "activation",
        fraction: bool = False,
        noise: NonNegativeFloat = 0.0,
        noise_seed: NonNegativeInt = 0,
        errors: Literal["relative", "absolute"] = "relative",
        starts: PositiveInt = 30,
        lr: PositiveFloat = 0.03,
        **options: Any,
    ) -> None:
        super().__init__(lr=lr, **options)
        found = load_regulation(data, noise, noise_seed)
        self.known, self.names = found.known, found.names
        self.repressed = found.repressed or effect == "repression"
        self.fraction = found.fraction or fraction
        self.relative, self.starts = errors == "relative", starts
        targets = found.targets
        if self.fraction and found.time is not None:
            raise InvalidValueError(
                f"fraction must be of a steady state, but {data} has times. Leave fraction out."
            )
        self.course = None if found.time is None else Course(found.time, found.regulators)
        usable = found.regulators.isfinite() | (self.course is not None)
        targets = torch.where(usable, found.targets, torch.nan)
        inputs = found.regulators.nan_to_num(0.0) if found.time is None else found.time[:, None]
        self.hold(inputs, targets, in_time=self.course is not None)
        seen, x = self.select("train")
        spread = x.nan_to_num(-math.inf).amax(0) - x.nan_to_num(math.inf).amin(0)
        u = seen if self.course is None else self.course.nodes
        self.register_buffer("scales", torch.stack([u.mean(0), spread]))
        genes = len(self.names)
        self.log_scale = nn.Parameter(torch.zeros(genes))
        self.shift = nn.Parameter(torch.zeros(genes))
        self.register_buffer("bent", torch.zeros(()))
        if self.course is not None:
            self.log_decay = nn.Parameter(torch.zeros(genes))
        if not self.fraction:
            self.log_linear = nn.Parameter(torch.zeros(2 if self.course is None else 3, genes))
        at_most = " and maximum <= 1" if self.repressed or self.fraction else ""
        self.regulation = Site(
            "hill",
            requires=f"minimum >= 0 and monotone{at_most}",
            learn=["coefficient"],
            share="channel" if genes > 1 else "layer",
            channels=genes,
        )
        self.double()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the targets; inside, data of all units look alike."""
        terms = self.terms(inputs)
        if self.fraction:
            return terms[0]
        return self.scales[1] * torch.einsum("lg,lng->ng", self.log_linear.exp(), terms)

    def response(self, regulators: Tensor) -> Tensor:
        """Return the share of the production that a regulator leaves or brings ``(N, G)``."""
        u = self.log_scale.exp() * regulators / self.scales[0] - self.bent * self.shift
        found = cast(Tensor, self.regulation(u))
        return 1 - found if self.repressed else found

    def terms(self, inputs: Tensor) -> Tensor:
        """Return what the production at rest and in response, and the start, are factors of.

        Shapes:
            ``(3, N, G)``, without time ``(2, N, G)``, of a fraction the response alone.
        """
        if self.course is None:
            found = self.response(inputs)
            return torch.stack([found] if self.fraction else [torch.ones_like(found), found])
        decay = self.log_decay.exp()
        passed = -decay * self.course.elapsed()
        driven = self.course(self.response(self.course.nodes), decay)
        whole = torch.stack([-torch.expm1(passed) / decay, driven, passed.exp()])
        return whole[:, self.course.rows(inputs)]

    @override
    def loss(self, batch: Batch) -> Tensor:
        return self.residuals(*batch).square().mean()

    def residuals(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the errors of what was measured ``(M,)``, each over its expected size."""
        present = targets.isfinite()
        # Selected first: a missing value would make gradients NaN.
        left = self(inputs)[present] - targets[present]
        return cast(Tensor, left / self.sizes(targets)[present])

    def sizes(self, targets: Tensor) -> Tensor:
        """Return how large an error of each target is taken to be, but for one factor."""
        whole = self.scales[1].expand_as(targets)
        return targets.abs().maximum(SMALLEST_SHARE * whole) if self.relative else whole

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        inputs, targets = batch
        error = (self(inputs) - targets) / self.scales[1]
        return {"squared_error": error[targets.isfinite()].square()}

    @override
    def on_fit_start(self) -> None:
        """Begin at the best of several random starts."""
        best_start(self, self.starts)

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        half, steepness = self.half_response()
        inputs, targets = (tensor.to(self.device) for tensor in self.select("train"))
        left = self.residuals(inputs, targets)
        learned = sum(p.numel() for p in self.parameters() if p.requires_grad)
        found = {
            "error": means["squared_error"].sqrt(),
            "aic": len(left) * left.square().mean().clamp_min(1e-300).log() + 2 * (learned + 1),
            "crosses_half": self.crosses(half).double().min(),
            **self.named("K", half),
            **self.named("n", steepness),
        }
        if self.course is not None:
            found |= self.named("decay", self.log_decay.exp() / self.course.span)
        for name, value in (("K", half), ("n", steepness)):
            if name in self.known:
                found[f"{name}_error"] = (value / self.known[name] - 1).abs().max()
        if part == "test":
            found |= self.intervals()
            if not found["crosses_half"]:
                warnings.warn(
                    "K and n rest on the form of the response alone: the regulator must be seen on"
                    f" both sides of K, but got K {', '.join(f'{float(k):.3g}' for k in half)}."
                    " Measure higher or lower regulators, and see the intervals.",
                    ActsearchWarning,
                    stacklevel=2,
                )
        return {name: value for name, value in found.items() if value.isfinite()}

    def named(self, name: str, values: Tensor) -> dict[str, Tensor]:
        """Return values of all targets by name, one target's without."""
        keys = (f"{name}/{target}" if target else name for target in self.names)
        return dict(zip(keys, values, strict=True))

    def crosses(self, half: Tensor) -> Tensor:
        """Tell of each target whether its regulator was seen on both sides of half response."""
        seen = self.select("train")[0] if self.course is None else self.course.nodes
        return (seen.amin(0).to(half) < half) & (half < seen.amax(0).to(half))

    def half_response(self) -> tuple[Tensor, Tensor]:
        """Return K and n of each target; NaN where the response does not saturate."""
        return half_response(self.response, self.scales[0])

    def intervals(self) -> dict[str, Tensor]:
        """Return the ends of the 95 % intervals of K and n, by the curvature of the fit."""
        inputs, targets = (tensor.to(self.device) for tensor in self.select("train"))
        centre = torch.cat(self.half_response()).log()
        reach = interval(
            [p for p in self.parameters() if p.requires_grad],
            lambda: self.residuals(inputs, targets),
            lambda: torch.cat(self.half_response()).log(),
        )
        found: dict[str, Tensor] = {}
        for end, values in (("low", centre - reach), ("high", centre + reach)):
            half, steepness = values.exp().chunk(2)
            found |= self.named(f"K_{end}", half) | self.named(f"n_{end}", steepness)
        return found

    @override
    def pictures(self, folder: Path) -> None:
        """Write each target with its fit, and its response curve with K and n."""
        draw_regulation(self, folder / "gene.png")
