"""What reaches each site forward and backward."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

from torch import Tensor
from typing_extensions import override

from actsearch.errors import UnknownNameError
from actsearch.figure import DPI, new_figure
from actsearch.measures.fitted import Fitted
from actsearch.measures.functional.gradient_flow import SiteFlow
from actsearch.measures.functional.site_runs import SiteRun, site_runs
from actsearch.measures.measure import Measure
from actsearch.measures.watched import noting

QUANTITIES = tuple(field.name for field in fields(SiteFlow) if field.name != "name")


class GradientFlow(Measure):
    """What each site sees of one training batch, by ``QUANTITY/SITE``.

    A site that runs several times, as in a recurrent network or a discriminator of two passes, is
    measured over all of its runs together, and where ``each_run`` is set by ``QUANTITY/SITE/RUN``
    as well, from run 0.

    Args:
        quantities: of ``variance`` (of the input), ``gradient_norm``, ``gradient_variance``,
            ``sparsity``, ``dead`` (units), ``zero_slope`` (share of entries) and ``kappa``
            (relative gradient noise).
        each_run: whether each run of a site that runs several times is measured by itself too.

    Raises:
        UnknownNameError: a quantity that does not exist.

    References:
        Understanding the difficulty of training deep feedforward neural networks, X. Glorot and Y.
        Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html
    """

    name = "gradient_flow"
    direction = None
    needs = frozenset({"sites", "loss"})

    def __init__(
        self,
        quantities: tuple[str, ...] = ("gradient_norm", "sparsity", "dead"),
        each_run: bool = False,
    ) -> None:
        for quantity in quantities:
            if quantity not in QUANTITIES:
                raise UnknownNameError.among("quantity of gradient_flow", quantity, QUANTITIES)
        self.quantities = quantities
        self.each_run = each_run

    @override
    def __call__(self, fitted: Fitted) -> dict[str, float]:
        flows: list[SiteFlow] = []
        for name, runs in training_runs(fitted).items():
            flows.append(SiteFlow.of(name, runs))
            if self.each_run and len(runs) > 1:
                flows += [SiteFlow.of(f"{name}/{i}", [run]) for i, run in enumerate(runs)]
        return {
            f"{quantity}/{flow.name}": getattr(flow, quantity)
            for flow in flows
            for quantity in self.quantities
        }

    @override
    def pictures(self, fitted: Fitted, folder: Path) -> None:
        """Draw the gradient's norm at each run, and the dead units of each site."""
        figure, axes = new_figure(1, 2, size=4.0)
        for of, label in ((fitted.start, "before training"), (fitted, "trained")):
            if of is None:
                continue
            found = training_runs(of)
            norms = [float(run.gradient.norm()) for runs in found.values() for run in runs]
            dead = [SiteFlow.of(name, runs).dead for name, runs in found.items()]
            axes[0, 0].plot([norm or math.nan for norm in norms], marker=".", label=label)
            axes[0, 1].plot(dead, marker=".", label=label)
        axes[0, 0].set(yscale="log", xlabel="runs of the sites, in order", title="gradient norm")
        axes[0, 1].set(ylim=(-0.02, 1.02), xlabel="sites, in order", title="dead units")
        for ax in axes[0]:
            ax.xaxis.get_major_locator().set_params(integer=True)
        axes[0, 0].legend()
        figure.savefig(folder / "gradient_flow.png", dpi=DPI)


def training_runs(fitted: Fitted) -> dict[str, list[SiteRun]]:
    """Return each run of each site that the training loss runs through, of one training batch."""
    model, sites = fitted.watched
    model.eval()
    batch = fitted.first("train")
    ran: dict[str, list[Tensor]] = {}
    with noting(model, sites, ran):  # a site that training does not run through has no gradient
        fitted.loss(batch, model)
    found = site_runs(model, lambda: fitted.loss(batch, model), ran)
    return {sites[path].site.name: runs for path, runs in found.items()}
