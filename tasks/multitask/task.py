"""Several heads on one trunk, and whether their gradients agree."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from actsearch import Site
from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.measures.functional.gradient_cosine import gradient_cosine, shared_gradients
from actsearch.task.options import NonNegativeFloat, PositiveInt
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, standardise

from ..data.targets import load_targets
from .combination import Combine, make_weighting
from .pictures import draw_cosines


class MultiTask(TensorTask):
    r"""Several heads on a shared trunk, by the sum of their losses or a weighting of gradients.

    .. math:: L = \sum_i L_i, \qquad
              \cos(\nabla_\theta L_i, \nabla_\theta L_j) < 0 \text{: a conflict}

    θ are the parameters of the trunk, which all heads share. Heads of classes have cross-entropy,
    heads of values the mean squared error of what is standardised on the training split. Logged:
    ``val_loss``, the mean over heads of the loss relative to that of the best constant,
    ``val_loss/HEAD`` and ``val_accuracy/HEAD``, in test as well; and over the steps of training so
    far ``cosine/I-J``, its mean, ``conflict/I-J``, the share of steps in which it is below 0, and
    ``gradient_norm/HEAD``. The measure ``gradient_cosine`` has the cosine of any model with several
    losses, once trained.

    Data of one's own, such as a machine's sensors with its state and its remaining life::

        np.savez("own.npz", x=x, state=state, life=life)  # (N, D), whole and decimal numbers (N,)
        actsearch search multitask --task.data own.npz

    Shapes:
        input ``(N, D)``, output by head ``(N, classes)`` or ``(N, K)``.

    Args:
        data: ``digits``, which has heads ``class`` (10), ``parity`` (2) and ``ink`` (the mean of
            the pixels); or an ``.npz`` file with x ``(N, D)`` and two targets or more, each under
            its own name: whole numbers or text ``(N,)`` are classes, decimal numbers ``(N,)`` or
            ``(N, K)`` values.
        heads: the targets to learn, two at least; all that the data have where not given.
        combine: what the trunk learns from: the ``sum`` of the gradients; ``pcgrad``, which takes
            out of each what conflicts with another; or with the extra ``multitask``, by TorchJD,
            ``upgrad``, ``cagrad`` or ``mgda``. Each head learns from its own loss alone.
        track_every: steps from one cosine to the next, at least 1.
        hidden: units of a layer of the trunk, at least 1.
        depth: layers of the trunk, at least 1.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, data that cannot be read, or TorchJD is wanted
            and not installed.

    References:
        Gradient Surgery for Multi-Task Learning, T. Yu, S. Kumar, A. Gupta, S. Levine, K. Hausman
        and C. Finn, 2020, https://arxiv.org/abs/2001.06782
    """

    monitor = "val_loss"
    mode = "min"
    test_metric = "test_loss"
    space = "rectifiers"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 10}
    schedule = "constant"
    constants: Tensor

    def __init__(
        self,
        data: str = "digits",
        heads: list[str] | None = None,
        combine: Combine = "sum",
        track_every: PositiveInt = 4,
        hidden: PositiveInt = 128,
        depth: PositiveInt = 2,
        weight_decay: NonNegativeFloat = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(weight_decay=weight_decay, **options)
        found = load_targets(data)
        self.heads = _chosen(heads, list(found.y))
        self.track_every = track_every
        self.weighting = make_weighting(combine)
        targets = [torch.from_numpy(found.y[head]) for head in self.heads]
        classes = next((y for y in targets if not y.is_floating_point()), None)
        self.hold(torch.from_numpy(found.x), *targets, stratify=classes, scale=standardise)
        x, *targets = self.tensors
        rows = self.splits.train
        targets = [standardise(y, rows) if y.is_floating_point() else y for y in targets]
        self.tensors = (x, *targets)
        constants = [_best_constant(h, y[rows]) for h, y in zip(self.heads, targets, strict=True)]
        self.register_buffer("constants", torch.stack(constants))
        layers = OrderedDict[str, nn.Module]()
        for number in range(1, depth + 1):
            layers[f"linear_{number}"] = nn.Linear(x.shape[1] if number == 1 else hidden, hidden)
            layers[f"activation_{number}"] = Site("relu")
        self.trunk = nn.Sequential(layers)
        self.outputs = nn.ModuleList([nn.Linear(hidden, _width(y)) for y in targets])
        self._forget()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return what each head puts out."""
        z = self.trunk(x)
        return {head: out(z) for head, out in zip(self.heads, self.outputs, strict=True)}

    def embed(self, x: Tensor) -> Tensor:
        """Return what the heads see."""
        return cast(Tensor, self.trunk(x))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of each head by name."""
        found = self._losses([self.trunk(batch[0])] * len(self.heads), batch)
        return dict(zip(self.heads, found, strict=True))

    def _losses(self, seen: Sequence[Tensor], batch: Batch) -> list[Tensor]:
        """Return the loss of each head, given what each sees."""
        heads = zip(self.outputs, seen, batch[1:], strict=True)
        return [_errors(out(z), y).mean() for out, z, y in heads]

    @override
    def loss(self, batch: Batch) -> Tensor:
        z = self.trunk(batch[0])
        losses = self._losses([z] * len(self.heads), batch)
        tracked = self.training and self._step % self.track_every == 0
        self._step += self.training
        if tracked or self.weighting:
            gradients = shared_gradients(losses, self.trunk.parameters())
            if tracked:
                self._track(gradients)
            if self.weighting:
                weights = self.weighting(gradients @ gradients.T)
                # The same value, of which the trunk gets each gradient by its weight.
                seen = [z.detach() + weight * (z - z.detach()) for weight in weights]
                losses = self._losses(seen, batch)
        return torch.stack(losses).sum()

    @override
    def on_fit_start(self) -> None:
        """Begin to track anew."""
        self._forget()

    def _forget(self) -> None:
        self._step = 0
        self._tracked: dict[str, list[float]] = {}

    def _track(self, gradients: Tensor) -> None:
        """Note the cosine of each pair and the norm of each gradient."""
        cosines, norms = gradient_cosine(gradients).tolist(), gradients.norm(dim=1).tolist()
        for (i, one), (j, other) in combinations(enumerate(self.heads), 2):
            self._tracked.setdefault(f"cosine/{one}-{other}", []).append(cosines[i][j])
        for head, norm in zip(self.heads, norms, strict=True):
            self._tracked.setdefault(f"gradient_norm/{head}", []).append(norm)

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        outputs = self(batch[0]).items()
        for (head, out), y, constant in zip(outputs, batch[1:], self.constants, strict=True):
            found[f"loss/{head}"] = _errors(out, y) / constant
            if not y.is_floating_point():
                found[f"accuracy/{head}"] = (out.argmax(1) == y).float()
        each = [found[f"loss/{head}"] for head in self.heads]
        return {"loss": torch.stack(each).mean(0), **found}

    @override
    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        for name, values in self._tracked.items():
            self.log(name, fmean(values))
            kind, _, pair = name.partition("/")
            if kind == "cosine":
                self.log(f"conflict/{pair}", fmean(value < 0 for value in values))

    @override
    def pictures(self, folder: Path) -> None:
        """Write the cosine of each pair of gradients over the steps of training."""
        kinds = ((name.partition("/"), values) for name, values in self._tracked.items())
        cosines = {pair: values for (kind, _, pair), values in kinds if kind == "cosine"}
        if cosines:  # none of a placement that was loaded
            draw_cosines(folder / "gradient_cosines.png", self.track_every, cosines)


def _chosen(heads: list[str] | None, known: list[str]) -> list[str]:
    """Return the heads that are asked for, all by default.

    Raises:
        UnknownNameError: one that the data do not have.
        InvalidValueError: fewer than two, or one twice.
    """
    chosen = known if heads is None else list(heads)
    for head in chosen:
        if head not in known:
            raise UnknownNameError.among("head", head, known)
    if len(chosen) < 2 or len(set(chosen)) < len(chosen):
        raise InvalidValueError(
            f"heads must be two or more of {', '.join(known)}, but got {heads}."
        )
    return chosen


def _errors(out: Tensor, y: Tensor) -> Tensor:
    """Return the loss of each sample, ``(N,)``."""
    if y.is_floating_point():
        return (out - y).square().mean(1)
    return F.cross_entropy(out, y, reduction="none")


def _width(y: Tensor) -> int:
    return y.shape[1] if y.is_floating_point() else int(y.max()) + 1


def _best_constant(head: str, y: Tensor) -> Tensor:
    """Return the loss of the best constant on training rows.

    Raises:
        InvalidValueError: it is 0.
    """
    if y.is_floating_point():
        loss = y.var(0, correction=0).mean()
    else:
        shares = y.bincount() / len(y)
        loss = torch.special.entr(shares).sum()
    if not loss > 0:
        raise InvalidValueError(f"{head} must vary over the training split, but is one value.")
    return loss
