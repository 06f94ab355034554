"""Sobolev training: a network fitted to a function and its derivatives together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import torch
from torch import Tensor
from typing_extensions import override

from actsearch import Site
from actsearch.errors import InvalidValueError
from actsearch.measures.functional.partial_derivatives import NAMES, partial_derivatives
from actsearch.task.options import Interval, NonNegativeFloat, PositiveFloat, PositiveInt
from actsearch.task.pictures import DPI, evaluating, new_figure
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split

from .data.functions import load_function
from .nets.perceptron import plain_perceptron, smooth_site


class Sobolev(TensorTask):
    r"""A function and its first and second derivatives, fitted together.

    .. math:: L = \sum_{k=0}^{K} \frac{\langle (N^{(k)} - f^{(k)})^2 \rangle}
                                      {\langle (f^{(k)})^2 \rangle}

    A multilayer perceptron N in float64, its derivatives by automatic differentiation; each order
    counts relative to its own mean square over the training split. Inputs and values are
    standardised inside of the network, so derivatives are those of the data. Logged: ``val_loss``,
    the relative L2 errors ``val_error/value``, ``val_error/first`` and ``val_error/second``, as far
    as the data have them and whatever was trained, the worst of them as ``val_error``, and the mean
    squared errors that they come from, ``val_squared_error/value`` and so on; all in test as well.

    Every site requires as many continuous derivatives as the loss sees: where φ'' is 0 almost
    everywhere, as that of ReLU, nothing trains the second derivative.

    Data of one's own, such as prices with their sensitivities or energies with their gradients::

        np.savez("own.npz", x=x, y=y, dy=dy)  # (N, D), (N,), (N, D)
        actsearch search sobolev --task.target own.npz --task.order 1

    Shapes:
        input ``(N, D)``, output ``(N, K)``.

    Args:
        target: ``wave``, sin(3x) exp(-x²/2) on [-2.5, 2.5]; ``runge``, 1/(1 + 25x²) on [-1, 1];
            ``franke``, of two variables on [0, 1]; a target of the task spline; or an ``.npz`` file
            with arrays x ``(N, D)`` and y ``(N, K)`` and, where they are known, dy ``(N, K, D)``
            and d2y ``(N, K, D, D)``, in which dimensions of length 1 may be left out.
        order: the highest derivative that the loss sees.
        points: of the grid of a named target, for all three splits together, at least 50.
        hidden: units of a layer, at least 1.
        depth: hidden layers, at least 1.
        batch_size: points of a training step, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, data that cannot be read, or that lack the
            derivatives that the loss shall see.

    References:
        Sobolev Training for Neural Networks, W. Czarnecki, S. Osindero, M. Jaderberg,
        G. Swirszcz and R. Pascanu, 2017, https://arxiv.org/abs/1706.04859
        Approximation Capabilities of Multilayer Feedforward Networks, K. Hornik, 1991,
        https://doi.org/10.1016/0893-6080(91)90009-T
    """

    monitor = "val_error"
    mode = "min"
    test_metric = "test_error"
    space = "general"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 15, "gradient_clip_val": 0.1}
    least_batch = 1
    centre: Tensor
    spread: Tensor
    scales: Tensor

    def __init__(
        self,
        target: str = "wave",
        order: Annotated[int, Interval(0, 2)] = 2,
        points: Annotated[int, Interval(50)] = 1000,
        hidden: PositiveInt = 64,
        depth: PositiveInt = 2,
        batch_size: PositiveInt = 50,
        lr: PositiveFloat = 0.02,
        weight_decay: NonNegativeFloat = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, weight_decay=weight_decay, **options)
        tensors = load_function(target, points)
        x, *wanted = tensors
        if order >= len(wanted):
            raise InvalidValueError(
                f"order must be at most {len(wanted) - 1}, the derivatives in {target}, but got"
                f" {order}."
            )
        self.order = order
        self.hold(*tensors)
        rows = self.splits.train
        both = torch.cat([x, wanted[0]], 1)[rows]
        spread = both.std(0)
        self.register_buffer("centre", both.mean(0))
        self.register_buffer("spread", torch.where(spread > 0, spread, 1.0))
        self.register_buffer("scales", torch.stack([t[rows].square().mean() for t in wanted]))
        sizes = (x.shape[1], wanted[0].shape[1], hidden, depth)
        self.network = plain_perceptron(*sizes, self.build_site).double()

    def build_site(self) -> Site:
        """Return the site of a hidden layer."""
        return smooth_site(self.order)

    def forward(self, x: Tensor) -> Tensor:
        """Return the function's values."""
        inputs = x.shape[1]
        z = self.network((x - self.centre[:inputs]) / self.spread[:inputs])
        return cast(Tensor, self.centre[inputs:] + self.spread[inputs:] * z)

    def derivatives(self, batch: Batch) -> Batch:
        """Return the true values of a batch and their derivatives, as far as they are known."""
        return batch[1:]

    @override
    def loss(self, batch: Batch) -> Tensor:
        x, *wanted = batch
        found = partial_derivatives(self, x, self.order)
        errors = [(a - b).square().mean() for a, b in zip(found, wanted, strict=False)]
        return torch.stack(errors).div(self.scales[: len(errors)]).sum()

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        x, *wanted = batch
        found = self.fitted(x, len(wanted) - 1)
        names = (f"squared_error/{name}" for name in NAMES)
        return {n: (a - b).square() for n, a, b in zip(names, found, wanted, strict=False)}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        errors = torch.stack(list(means.values()))
        squares = torch.stack([t.square().mean() for t in self.select(part)[1:]]).to(errors)
        relative = (errors / squares).sqrt()
        seen = slice(self.order + 1)
        loss = (errors[seen] / self.scales[seen].to(errors)).sum()
        each = dict(zip((f"error/{name}" for name in NAMES), relative, strict=False))
        return {"error": relative.max(), **each, "loss": loss}

    def fitted(self, x: Tensor, order: int) -> Batch:
        """Return the network's values and derivatives, in validation as well."""
        with torch.inference_mode(False), torch.no_grad():
            return partial_derivatives(self, x.clone(), order)

    @override
    def pictures(self, folder: Path) -> None:
        """Write value, first and second derivative of target and network, each in a panel.

        Over the one input; of several inputs, the network's over the target's.
        """
        rows = self.select("val")
        order = rows[0][:, 0].argsort()
        x, *wanted = (column[order] for column in rows)
        with evaluating(self):
            found = self.fitted(x.to(self.device), len(wanted) - 1)
        figure, axes = new_figure(1, len(wanted), size=3.5)
        for ax, name, a, b in zip(axes[0], NAMES, found, wanted, strict=False):
            fit, true = (t.flatten(1).cpu().numpy() for t in (a, b))
            if x.shape[1] == 1:
                ax.plot(x.numpy(), true, color="black", linewidth=3, alpha=0.3, label="target")
                ax.plot(x.numpy(), fit, color="C1", label="network")
                ax.set_xlabel("x")
            else:
                ends = [true.min(), true.max()]
                ax.plot(ends, ends, color="black", linewidth=3, alpha=0.3, label="target")
                ax.scatter(true, fit, s=2, color="C1", label="network")
                ax.set_xlabel("target")
            error = float(((fit - true) ** 2).sum() / (true**2).sum()) ** 0.5
            ax.set_title(f"{name}: relative error {error:.2g}", fontsize=10)
        axes[0, 0].legend(fontsize=8)
        figure.savefig(folder / "derivatives.png", dpi=DPI)
