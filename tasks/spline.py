"""Splines as activations: which degree, from kink to smooth, a function wants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor
from typing_extensions import override

from actsearch import Site
from actsearch.activations.base import Activation
from actsearch.task.full_batch import FullBatchTask
from actsearch.task.options import Interval, PositiveFloat, PositiveInt
from actsearch.task.pictures import DPI, evaluating, new_figure
from actsearch.task.tensors import Split

from .nets.perceptron import smooth_site
from .sobolev import Sobolev

MOST_DRAWN = 4
"""Splines of a layer that are drawn, where each unit has its own."""


class Spline(FullBatchTask, Sobolev):
    r"""A function fitted by a small network whose activations are splines of a chosen degree.

    .. math:: \varphi(x) = \sum_i c_i B_{i,d}(x) \in C^{d-1}

    Degree 1 has kinks, degree 5 four continuous derivatives: the task says which one a function
    wants, or whether an activation that learns nothing does. Targets have a known smoothness:
    ``kink`` is continuous, ``bend`` has one derivative, ``tone`` all. This is Sobolev training of
    order 0 or 1 with splines; all else is as in :class:`actsearch_tasks.sobolev.Sobolev`.

    A kink of the target between two knots limits every degree alike. Outside of its bound a spline
    goes on as a line; inputs are standardised, so that most lie inside. Logged beside what Sobolev
    training logs: ``degree``, the least of the splines that stand there.

    Points of one's own, in any units::

        actsearch search spline --task.target own.csv  # x,y or x1,x2,y

    Shapes:
        input ``(N, D)``, output ``(N, K)``.

    Args:
        target: ``kink``, |x - 0.1|; ``bend``, (x - 0.1) |x - 0.1|; ``tone``, sin 3x; ``crease``,
            |x₁ + x₂/2 - 0.1|, of two variables; a target of the task sobolev; or a file, ``.csv``
            or ``.npz``.
        order: the highest derivative that the loss sees, 0 for the values alone or 1.
        points: of the grid of a named target, for all three splits together, at least 50.
        hidden: units of a layer, at least 1.
        depth: hidden layers, at least 1.
        degree: of the splines that stand there first.
        intervals: of each, from 2 to 64.
        bound: half of the width that its coefficients act on, above 0.
        share: one spline a layer, or one a unit (``channel``), as on the edges of a
            Kolmogorov-Arnold network.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        **options: those of every :class:`FullBatchTask`.

    Raises:
        ActsearchError: an option out of its range, a target that cannot be read, or a degree with
            fewer derivatives than the loss sees.

    References:
        Learning Activation Functions in Deep (Spline) Neural Networks, P. Bohra, J. Campos,
        H. Gupta, S. Aziznejad and M. Unser, 2020, https://doi.org/10.1109/OJSP.2020.3039379
        KAN: Kolmogorov-Arnold Networks, Z. Liu et al., 2024, https://arxiv.org/abs/2404.19756
    """

    monitor = "val_error/value"
    test_metric = "test_error/value"
    space = "splines"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 6}
    epoch_steps = 40

    def __init__(
        self,
        target: str = "bend",
        order: Annotated[int, Interval(0, 1)] = 0,
        points: Annotated[int, Interval(50)] = 400,
        hidden: PositiveInt = 4,
        depth: PositiveInt = 1,
        degree: Annotated[int, Interval(1, 5)] = 1,
        intervals: Annotated[int, Interval(2, 64)] = 8,
        bound: PositiveFloat = 4.0,
        share: Literal["layer", "channel"] = "layer",
        lr: PositiveFloat = 0.02,
        **options: Any,
    ) -> None:
        super().__init__(
            target=target,
            order=order,
            points=points,
            hidden=hidden,
            depth=depth,
            lr=lr,
            **options,
        )

    @override
    def hold(self, *tensors: Tensor, **how: Any) -> None:
        """Take the data; of derivatives the first alone, since a kink has no second."""
        super().hold(*tensors[:3], **how)

    @override
    def build_site(self) -> Site:
        chosen = {name: self.hparams[name] for name in ("degree", "intervals", "bound", "share")}
        channels = self.hparams["hidden"] if chosen["share"] == "channel" else None
        return smooth_site(self.order, "bspline", channels=channels, **chosen)

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = super().figures(part, means)
        degrees = [_degree(spline) for spline in self.splines()]
        return found | ({"degree": torch.tensor(float(min(degrees)))} if degrees else {})

    def splines(self) -> list[Activation]:
        """Return the splines that stand at the sites."""
        return [
            module
            for module in self.network.modules()
            if isinstance(module, Activation) and module.name in ("bspline", "piecewise_linear")
        ]

    @override
    def pictures(self, folder: Path) -> None:
        """Write value and derivative beside the target's, and each spline with its jumps."""
        super().pictures(folder)
        drawn = self.splines()
        if not drawn:
            return
        figure, axes = new_figure(2, len(drawn), size=3.2)
        with evaluating(self):
            for number, (spline, (top, below)) in enumerate(zip(drawn, axes.T, strict=True), 1):
                self._draw(spline, top, below)
                top.set_title(f"layer {number}: degree {_degree(spline)}", fontsize=10)
        figure.savefig(folder / "splines.png", dpi=DPI)

    def _draw(self, spline: Activation, top: Any, below: Any) -> None:
        """Draw a spline with its knots, and the derivative that jumps at them."""
        degree, bound = _degree(spline), float(spline.values["bound"])
        x = torch.linspace(-1.2 * bound, 1.2 * bound, 2401, dtype=torch.float64)
        x = x[:, None].expand(-1, spline.channels or 1).to(self.device).clone().requires_grad_()
        with torch.inference_mode(False), torch.enable_grad():
            curve = value = spline(x)
            for _ in range(degree):
                (value,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        at = x[:, 0].detach().cpu().numpy()
        for ax, y in ((top, curve), (below, value)):
            for knot in torch.linspace(-bound, bound, int(spline.values["intervals"]) + 1).tolist():
                ax.axvline(knot, color="black", linewidth=0.5, alpha=0.3)
            ax.plot(at, y.detach().cpu().numpy()[:, :MOST_DRAWN], linewidth=1)
        top.set_ylabel("spline")
        below.set(xlabel="x", ylabel=f"derivative {degree}")


def _degree(spline: Activation) -> int:
    return int(spline.values.get("degree", 1))
