"""The one-neuron problem: which activation is the target's own form, and which never fits it."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from statistics import median
from typing import Annotated, Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

import actsearch
from actsearch import Site
from actsearch.errors import InvalidValueError
from actsearch.task.options import Interval, PositiveInt, check_options
from actsearch.task.pictures import DPI, new_figure
from actsearch.task.task import Task
from actsearch.task.tensors import Batch, TensorLoader

from .data.functions import read_function

FEWEST = 10
"""Points of a curve, at least."""

MOST_STEPS = 100
"""Steps of L-BFGS from one start; the floors of common activations take fewer."""


class Matching(Task):
    r"""One neuron fitted to a curve: the right activation is exact, any other keeps an error.

    .. math:: \hat y(t) = a \, \varphi(w t + b) + c, \qquad
              L = \frac1N \sum_n (\hat y(t_n) - y(t_n))^2

    Four numbers, and what the activation learns, in float64 by L-BFGS with a strong Wolfe line
    search from several random starts, of which the best counts: up to half of them end in a
    constant. The default target is t for t ≥ 0 and eᵗ - 1 below, which ELU fits exactly; ReLU,
    Leaky ReLU and tanh keep an error that no training removes.

    Validation is on the points of the fit, since it is the error left there that is asked for; the
    test is on others, of a grid four times as fine, or every fifth of one's own. Logged:
    ``val_loss``, ``test_loss``, and ``val_median``, the median of the losses of all starts.

    A measured curve of one's own, such as a friction force over velocity, says which activation has
    its form::

        np.savez("own.npz", x=velocity, y=force)
        actsearch search matching --task.target own.npz

    Shapes:
        input ``(N, 1)``, output ``(N, 1)``.

    Args:
        target: an activation of the catalogue, such as ``elu``, ``relu``, ``softplus`` or ``hill``,
            an expression, or an ``.npz`` file with arrays x ``(N,)`` and y ``(N,)``.
        low: where the grid of a named target begins.
        high: where it ends, above ``low``.
        points: of the grid, at least 10.
        affine: whether there are a and c; else they are 1 and 0.
        restarts: random starts, at least 1.

    Raises:
        ActsearchError: an option out of its range, or a target that cannot be read.

    References:
        Fast and Accurate Deep Network Learning by Exponential Linear Units, D.-A. Clevert,
        T. Unterthiner and S. Hochreiter, 2015, https://arxiv.org/abs/1511.07289
        On the Limited Memory BFGS Method for Large Scale Optimization, D. Liu and J. Nocedal,
        1989, https://doi.org/10.1007/BF01589116
    """

    monitor = "val_loss"
    mode = "min"
    test_metric = "test_loss"
    space = "general"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 1}
    units: Tensor

    def __init__(
        self,
        target: str = "elu",
        low: float = -4.0,
        high: float = 4.0,
        points: Annotated[int, Interval(FEWEST)] = 401,
        affine: bool = True,
        restarts: PositiveInt = 16,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        check_options(self)
        self.automatic_optimization = False  # each step is a whole fit
        self.restarts = restarts
        self.curve, self.others = _curve(target, low, high, points)
        self.example_input_array = self.curve[0][:4]
        parts = {"inner": nn.Linear(1, 1), "activation": Site("relu")}
        outer = {"outer": nn.Linear(1, 1)} if affine else {}
        self.network = nn.Sequential(OrderedDict(parts | outer)).double()
        t, y = self.curve
        if not (t.std() > 0 and 0 < y.std() < math.inf):
            raise InvalidValueError(
                f"target must be finite and vary over its points, but got {target!r} with values"
                f" from {float(y.min()):g} to {float(y.max()):g}."
            )
        of_y = (y.mean(), y.std()) if affine else (torch.zeros(()), torch.ones(()))
        self.register_buffer("units", torch.stack([t.mean(), t.std(), *of_y]))
        self._losses: list[float] = []
        self._first: dict[str, Tensor] = {}
        self._best: dict[str, Tensor] = {}

    def forward(self, t: Tensor) -> Tensor:
        """Return what the neuron puts out; inside, curves of all units look alike."""
        centre, spread, level, scale = self.units
        return cast(Tensor, level + scale * self.network((t - centre) / spread))

    @override
    def train_dataloader(self) -> TensorLoader:
        # All of it, for each start.
        return TensorLoader(*self.curve, batch_size=len(self.curve[0]), repeats=self.restarts)

    @override
    def val_dataloader(self) -> TensorLoader:
        return TensorLoader(*self.curve, batch_size=len(self.curve[0]))

    @override
    def test_dataloader(self) -> TensorLoader:
        return TensorLoader(*self.others, batch_size=len(self.others[0]))

    @override
    def on_fit_start(self) -> None:
        """Note where what the activation learns begins."""
        self._losses = []
        self._first = {name: value.clone() for name, value in self.state_dict().items()}

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Fit from another start, and keep it where it is the best."""
        t, y = batch
        self.load_state_dict(self._first)
        self._draw(t)
        optimizer = cast(torch.optim.LBFGS, self.optimizers(use_pl_optimizer=False))
        optimizer.state.clear()
        optimizer.param_groups[0]["lr"] = 1.0  # the line search finds the length of a step

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(self(t), y) / y.var()  # tolerances are relative to it
            loss.backward()
            return loss

        optimizer.step(closure)
        with torch.no_grad():
            loss = float(F.mse_loss(self(t), y))
        loss = loss if math.isfinite(loss) else math.inf
        if not self._losses or loss < min(self._losses):
            self._best = {name: value.clone() for name, value in self.state_dict().items()}
        self._losses.append(loss)
        self.load_state_dict(self._best)

    @torch.no_grad()
    def _draw(self, t: Tensor) -> None:
        """Begin anywhere: the neuron's bend at a point of the curve."""
        linear = [layer for layer in self.network if isinstance(layer, nn.Linear)]
        for layer in linear:
            layer.weight.normal_()
            layer.bias.zero_()
        centre, spread, *_ = self.units
        place = (t[torch.randint(len(t), ())] - centre) / spread
        linear[0].bias.copy_(-linear[0].weight[0] * place)

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val_loss", F.mse_loss(self(batch[0]), batch[1]), prog_bar=True)
        if self._losses:
            self.log("val_median", median(self._losses))

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("test_loss", F.mse_loss(self(batch[0]), batch[1]))

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(
            self.parameters(),
            max_iter=MOST_STEPS,
            tolerance_grad=1e-12,
            tolerance_change=1e-15,
            line_search_fn="strong_wolfe",
        )

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write the target with the best fit, and below what is left."""
        t, y = self.curve
        fit = self(t.to(self.device)).cpu()
        figure, axes = new_figure(2, 1, size=4.0)
        top, below = axes[:, 0]
        top.plot(t.numpy(), y.numpy(), color="black", linewidth=3, alpha=0.3, label="target")
        top.plot(t.numpy(), fit.numpy(), color="C1", label="neuron")
        top.set_title(f"mean squared error {float(F.mse_loss(fit, y)):.3g}", fontsize=10)
        top.legend(fontsize=8)
        below.axhline(0, color="black", linewidth=3, alpha=0.3)
        below.plot(t.numpy(), (fit - y).numpy(), color="C1")
        below.set(xlabel="t", ylabel="neuron - target")
        figure.savefig(folder / "fit.png", dpi=DPI)


def _curve(target: str, low: float, high: float, points: int) -> tuple[Batch, Batch]:
    """Return the points of the fit, and others for the test."""
    if target.endswith(".npz"):
        t, y = read_function(target)[:2]
        if t.shape[1] > 1 or y.shape[1] > 1 or len(t) < FEWEST:
            raise InvalidValueError(
                f"{target} must hold x (N,) and y (N,), N at least {FEWEST}, but got"
                f" {tuple(t.shape)} and {tuple(y.shape)}."
            )
        order = t[:, 0].argsort()
        held_out = torch.arange(len(t)) % 5 == 2
        kept, other = order[~held_out], order[held_out]
        return (t[kept], y[kept]), (t[other], y[other])
    if not -math.inf < low < high < math.inf:
        raise InvalidValueError(f"low must be below high, both finite, but got {low=}, {high=}.")
    function = actsearch.activation(target)
    grids = (torch.linspace(low, high, n, dtype=torch.float64) for n in (points, 4 * points - 3))
    with torch.no_grad():
        coarse, fine = ((t[:, None], function(t[:, None])) for t in grids)
    return coarse, fine
