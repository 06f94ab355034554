"""Recurrent networks over long sequences: which activation keeps the gradient through time."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.gradient_flow import dead_units
from actsearch.measures.functional.site_runs import SiteRun, site_runs
from actsearch.task.options import Interval, PositiveFloat, PositiveInt
from actsearch.task.pictures import DPI, evaluating, new_figure
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split

from .data.sequences import load_sequences
from .nets.recurrent import Cell, RecurrentInit, RecurrentNetwork, scale_by_gain

RIGHT = 0.04
"""How near a number must come to count as right in the adding problem."""

SEEN_SEQUENCES = 256
"""Sequences whose gradients are looked at."""

SPAN = 16
"""Steps over which the factor of the gradient from step to step is taken."""


class SequenceTask(TensorTask):
    r"""A recurrent network that reads a sequence step by step, and its gradient through time.

    .. math:: h_t = \varphi(z_t), \quad z_t = W h_{t-1} + U x_t + b, \qquad
              \Bigl\lVert \frac{\partial h_T}{\partial h_t} \Bigr\rVert \le
              \bigl(\lVert\varphi'\rVert_\infty \lVert W \rVert_2\bigr)^{T-t}

    The cross-entropy of a class (``digits``, one's own series) or of symbols (``copy``, ``text``),
    or the squared error of a number (``adding``), and the share that is right as accuracy; a number
    is where it is within 0.04. Logged: ``val_loss`` and ``val_accuracy``, in test as well, and of
    the split's first sequences, in float64, what the loss at the last step sends back:

    * ``gradient_norm/back_k``: mean over sequences of :math:`\lVert \partial L / \partial z_{T-k}
      \rVert` in the last layer, for k = 0, 1, 2, 4, ... and the first step; of an LSTM z is the
      cell's content;
    * ``gradient_factor``: its geometric mean from step to step, over 16 steps;
    * ``dead_units``: share of units with :math:`\varphi' = 0` on every sequence at every step;
    * ``zero_slope``, ``slope_above_one``: shares of all z with :math:`\varphi'(z) = 0` and > 1.

    Series of one's own with labels, such as sensor readings, or a text::

        np.savez("own.npz", x=x, y=y)  # (N, T) or (N, T, F), and (N,)
        actsearch search sequence --task.data own.npz
        actsearch search sequence --task.data own.txt --task.length 50

    Gradients are clipped to norm 1 (``--trainer.gradient_clip_val``), which ``identity`` needs.

    Shapes:
        input ``(N, T, F)``, or symbols ``(N, T)``; output ``(N, S, classes)`` for the last S steps.

    Args:
        data: ``digits`` (8×8 pixels one by one, 64 steps), ``digits_rows`` (8 steps of 8),
            ``adding``, ``copy``, ``text`` (the next character of Python's own help texts), a
            ``.txt`` file, an ``.npz`` file with arrays x and y, or ``torchvision:NAME``.
        length: steps of adding and text, blank steps of copy, at least 2.
        samples: sequences of adding and copy, and of text at most, at least 50.
        cell: ``rnn``, ``lstm`` or ``gru``; the gates stay sigmoids (``--include-gates true`` opens
            them).
        hidden: units of a layer and direction, at least 1.
        layers: on top of each other, at least 1.
        bidirectional: whether each layer also runs backwards; where only the whole is judged.
        recurrent_init: of W: ``orthogonal``, ``identity`` (IRNN), ``gain`` (orthogonal over
            :math:`\sqrt{E[\varphi'(z)^2]}`, of what stands at the site) or ``xavier``.
        batch_size: sequences of a training step, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, data that cannot be read, or both directions
            where each step is judged.

    References:
        On the difficulty of training recurrent neural networks, R. Pascanu, T. Mikolov and Y.
        Bengio, 2013, https://arxiv.org/abs/1211.5063
        A Simple Way to Initialize Recurrent Networks of Rectified Linear Units, Q. Le, N. Jaitly
        and G. Hinton, 2015, https://arxiv.org/abs/1504.00941
    """

    monitor = "val_accuracy"
    mode = "max"
    test_metric = "test_accuracy"
    space = "per_layer"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 3, "gradient_clip_val": 1.0}
    least_batch = 1
    scaled: Tensor

    def __init__(
        self,
        data: str = "digits",
        length: Annotated[int, Interval(2)] = 100,
        samples: Annotated[int, Interval(50)] = 5000,
        cell: Cell = "rnn",
        hidden: PositiveInt = 64,
        layers: PositiveInt = 1,
        bidirectional: bool = False,
        recurrent_init: RecurrentInit = "orthogonal",
        batch_size: PositiveInt = 32,
        lr: PositiveFloat = 2e-3,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, **options)
        found = load_sequences(data, length, samples)
        steps = found.y.shape[1]
        if bidirectional and steps > 1:
            raise InvalidValueError(
                f"bidirectional must be False where {steps} steps are judged, but got True for"
                f" {data}. Take data of which the whole is judged."
            )
        stratify = found.y[:, 0] if steps == 1 and not found.y.is_floating_point() else None
        scale = _standardised if data.endswith(".npz") else None
        self.hold(found.x, found.y, stratify=stratify, scale=scale)
        self.network = RecurrentNetwork(
            found.symbols or found.x.shape[2], found.outputs, steps, cell, hidden, layers,
            bidirectional, recurrent_init,
        )  # fmt: skip
        self.register_buffer("scaled", torch.tensor(recurrent_init != "gain"))
        self._before: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, or numbers, of the last steps."""
        return cast(Tensor, self.network(x))

    @override
    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return _losses(self(x), y).mean()

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        x, y = batch
        found = self(x)
        near = (found[..., 0] - y).abs() < RIGHT
        right = near if y.is_floating_point() else found.argmax(-1) == y
        return {"loss": _losses(found, y), "accuracy": right.float()}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, float]:
        runs = self.runs(part)
        slopes = {path: [run.slope for run in found] for path, found in runs.items()}
        of_all = torch.cat([slope.flatten() for each in slopes.values() for slope in each])
        norms = _norms(runs)
        span = min(SPAN, len(norms) - 1)
        factor = (norms[span] / norms[0]) ** (1 / span) if norms[0] else 0.0
        shown = {0, len(norms) - 1, *(2**k for k in range(len(norms).bit_length() - 1))}
        return {
            **{f"gradient_norm/back_{back}": norms[back] for back in sorted(shown)},
            "gradient_factor": factor,
            "dead_units": sum(dead_units(*each) for each in slopes.values()) / len(slopes),
            "zero_slope": float((of_all == 0).double().mean()),
            "slope_above_one": float((of_all > 1).double().mean()),
        }

    def runs(self, part: Split) -> dict[str, list[SiteRun]]:
        """Return each step of each site, with the gradient of every sequence's own last loss."""
        with torch.inference_mode(False):
            network = copy.deepcopy(self.network).cpu().double().eval()  # float32 would be 0 soon
            rows = (rows[:SEEN_SEQUENCES] for rows in self.select(part))
            x, y = (t.double() if t.is_floating_point() else t for t in rows)
            return site_runs(network, lambda: _losses(network(x), y)[:, -1].sum(), network.sites)

    @override
    def on_fit_start(self) -> None:
        """Scale the recurrent weights by what stands at the sites now, and note the gradients."""
        if not self.scaled:
            scale_by_gain(self.network.recurrent)
            self.scaled.fill_(True)
        self._before = _norms(self.runs("val"))

    @override
    def pictures(self, folder: Path) -> None:
        """Write the gradient's norm over the steps back from the loss, before and after."""
        with evaluating(self):
            after = _norms(self.runs("val"))
        figure, axes = new_figure(size=4.0)
        ax = axes[0, 0]
        for norms, label in ((self._before, "before training"), (after, "after")):
            ax.plot([norm or float("nan") for norm in norms], label=label)
        ax.set(yscale="log", xlabel="steps back", ylabel="mean gradient norm")
        standing = self.network.get_submodule(self.network.sites[-1]).activation
        ax.set_title(getattr(standing, "name", type(standing).__name__), fontsize=10)
        ax.legend()
        figure.savefig(folder / "gradient_through_time.png", dpi=DPI)


def _losses(found: Tensor, y: Tensor) -> Tensor:
    """Return the loss of each sequence at each step that is judged, ``(N, S)``."""
    if y.is_floating_point():
        return (found[..., 0] - y).square()
    return F.cross_entropy(found.mT, y, reduction="none")


def _norms(runs: Mapping[str, list[SiteRun]]) -> list[float]:
    """Return the mean norm of a sequence's gradient in the last layer, by steps back."""
    last = list(runs.values())[-1]
    return [float(run.gradient.norm(dim=1).mean()) for run in reversed(last)]


def _standardised(x: Tensor, train: Tensor) -> Tensor:
    """Return series with mean 0 and deviation 1 of each feature, as measured on training rows."""
    flat = x[train].flatten(0, 1)
    spread = flat.std(0)
    return (x - flat.mean(0)) / torch.where(spread > 0, spread, 1.0)
