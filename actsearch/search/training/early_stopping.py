"""Early stopping: what would learn nothing is told by its first losses and its first gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as L
import torch
from typing_extensions import override

from actsearch.errors import ActsearchError, InvalidValueError
from actsearch.search.training.job import LossCurve
from actsearch.search.training.reports import DivergedError

WATCHED = 0.03
"""Fraction of a training in which it is watched."""

FEWEST_STEPS, MOST_STEPS = 5, 200
"""Bounds on the steps in which it is watched."""

BASELINE_LEARNED = 0.05
"""Fraction of its chance loss that the baseline must have lost before others are judged by it."""

PROGRESS = 0.02
"""Fraction of the baseline's gain that a candidate must have made by the end of the window.

It is small, because losses of different batches differ, and one good candidate in six starts ten
times as slowly as the baseline.
"""

GRADIENT_RATIO = (1e-5, 1e7)
"""Smallest and largest norm of the first gradient, in units of the baseline's.

Scale alone kills few networks, because the optimiser's steps do not depend on it, so the bounds are
wide. Set on the outcomes of 1,034 expressions in two networks on digits.
"""


class StoppedError(ActsearchError):
    """A training shows in its first steps that it is not worth going on."""


class NoProgress:
    r"""Judge the losses of the first steps of a training by those of the baseline.

    At the end of the window, with the means :math:`\bar L_1` and :math:`\bar L_3` of the first and
    last third of the candidate's losses, :math:`\bar B_3` of the baseline's last third, and the
    baseline's first loss :math:`C`, that of a model that has learned nothing, a training is stopped
    where it neither is better than chance nor becomes better,

    .. math::
        C - \bar L_3 < 0.02 \, (C - \bar B_3) \text{ and }
        \bar L_1 - \bar L_3 < 0.02 \, (C - \bar B_3), \quad \text{if } C - \bar B_3 > 0.05 \, |C|

    and it is stopped at any step at which the loss is not finite.

    Args:
        baseline: losses of the baseline's first steps, as many as the window shall have: 3 % of a
            training, say.

    Raises:
        InvalidValueError: a baseline without losses, or with one that is not finite.

    >>> judge = NoProgress([2.3, 1.9, 1.5])
    >>> [judge.reason(loss) for loss in (2.3, 2.3)]
    ['', '']
    >>> judge.reason(2.3)
    'no better than chance: the loss is 2.3 after 3 steps, where the baseline has fallen by 0.8'
    """

    def __init__(self, baseline: Sequence[float]) -> None:
        if not baseline or not all(math.isfinite(loss) for loss in baseline):
            raise InvalidValueError(
                f"baseline must be losses, all finite, at least one, but got {list(baseline)!r}."
            )
        self.window = len(baseline)
        self.chance = baseline[0]
        self.gain = self.chance - _last_third(baseline)
        self.losses: list[float] = []

    def reason(self, loss: float) -> str:
        """Take the loss of the next step, and say why the training is not worth going on, if so."""
        step = len(self.losses)
        self.losses.append(loss)
        if not math.isfinite(loss):
            return f"diverged: the loss is {loss} at step {step}"
        if step != self.window - 1 or self.gain <= BASELINE_LEARNED * abs(self.chance):
            return ""
        late = _last_third(self.losses)
        first = _last_third(self.losses[::-1])
        if max(self.chance, first) - late >= PROGRESS * self.gain:
            return ""
        return (
            f"no better than chance: the loss is {late:.3g} after {self.window} steps, where the"
            f" baseline has fallen by {self.gain:.3g}"
        )


class EarlyStopping(L.Callback):
    """Note the first losses of a training and its first gradient, and judge them by the baseline's.

    A gradient that is not finite, or far from the baseline's, ends the training before its first
    step; a loss that is not finite, or no better than chance at the end of the window where the
    baseline's is, ends it there. A module that returns no loss from its training step (manual
    optimisation) is judged by its gradient alone.

    Args:
        baseline: what :attr:`found` was in the baseline's training; without it nothing is judged
            but a loss that is not finite.
    """

    def __init__(self, baseline: LossCurve | None = None) -> None:
        self.baseline = baseline
        self.losses: list[float] = []
        self.gradient: float | None = None
        self.window = 0
        self.judge = NoProgress(baseline.losses) if baseline and baseline.losses else None

    @property
    def found(self) -> LossCurve:
        """The first losses and the norm of the first gradient."""
        return LossCurve(self.losses, self.gradient)

    @override
    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.judge is not None:
            self.window = self.judge.window
            return
        batches = trainer.num_training_batches * (trainer.max_epochs or 1)
        limits = [steps for steps in (batches, trainer.max_steps) if steps > 0]
        steps = min(limits) if batches > 0 else FEWEST_STEPS
        watched = WATCHED * steps if math.isfinite(steps) else MOST_STEPS
        self.window = min(MOST_STEPS, max(FEWEST_STEPS, math.ceil(watched)))

    @override
    def on_before_backward(
        self, trainer: L.Trainer, module: L.LightningModule, loss: torch.Tensor
    ) -> None:
        # By hand, what is not a number may go backward as well, with a gradient.
        if trainer.global_step < self.window and not bool(loss.isfinite().all()):
            value = float(loss.detach().sum())
            raise DivergedError(
                f"the training loss became {value} in step {trainer.global_step + 1}"
            )

    @override
    def on_after_backward(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        # Scaled gradients overflow at first, and are meant to.
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        if self.gradient is not None or scaled:
            return
        norms = [p.grad.norm() for p in module.parameters() if p.grad is not None]
        self.gradient = float(torch.stack([n.double() for n in norms]).norm()) if norms else 0.0
        if not math.isfinite(self.gradient):
            raise DivergedError(f"the first gradient is {self.gradient}")
        if self.baseline is not None and self.baseline.gradient:
            low, high = GRADIENT_RATIO
            ratio = self.gradient / self.baseline.gradient
            if not low <= ratio <= high:
                word = "vanishes" if ratio < low else "explodes"
                raise StoppedError(
                    f"gradient: it {word} to {ratio:.2g} times the baseline's at initialisation"
                )

    @override
    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if len(self.losses) >= self.window or loss is None:
            return
        self.losses.append(float(loss))
        if self.judge is not None and (reason := self.judge.reason(self.losses[-1])):
            raise StoppedError(reason)


def _last_third(losses: Sequence[float]) -> float:
    last = losses[-max(1, len(losses) // 3) :]
    return sum(last) / len(last)
