"""A task whose rows are one batch, fitted as closely as Adam and then L-BFGS can."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.placement.optimiser import parameter_groups
from actsearch.task.adam_lbfgs import AdamLBFGS
from actsearch.task.options import NonNegativeFloat, PositiveFloat, PositiveInt
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Splits


class FullBatchTask(TensorTask):
    r"""A :class:`TensorTask` of few rows, all in one batch, fitted by Adam and then L-BFGS.

    Args:
        optimizer: ``adam_lbfgs``, or ``adam`` alone.
        batch_size: rows of a training step, at least 1; all where there are fewer, as L-BFGS needs.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        weight_decay: decoupled weight decay :math:`\lambda` of AdamW, at least 0.
        **options: those of every :class:`TensorTask`.

    Attributes:
        adam_share: of all steps, how many are Adam's.
        iterations: of L-BFGS in each later step.

    Raises:
        InvalidValueError: an option out of its range, or batches that are not all training rows
            with ``adam_lbfgs``, which would not see one loss.
    """

    eval_batch_size = 1 << 20
    epoch_steps = 50
    least_batch = 1
    adam_share: ClassVar[float] = 0.5
    iterations: ClassVar[int] = 1

    def __init__(
        self,
        optimizer: Literal["adam_lbfgs", "adam"] = "adam_lbfgs",
        batch_size: PositiveInt = 1 << 20,
        lr: PositiveFloat = 0.02,
        weight_decay: NonNegativeFloat = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, weight_decay=weight_decay, **options)

    @override
    def hold_divided(self, tensors: Batch, splits: Splits) -> None:
        super().hold_divided(tensors, splits)
        rows = len(splits.train)
        if self.by_lbfgs and self.batch_size < rows:
            raise InvalidValueError(
                f"batch_size must be at least {rows}, all training rows, with adam_lbfgs, but got"
                f" {self.batch_size}. Or take optimizer adam."
            )

    @property
    def by_lbfgs(self) -> bool:
        """Whether L-BFGS follows on Adam."""
        return bool(self.hparams["optimizer"] == "adam_lbfgs")

    def adam_steps(self) -> int:
        """Return how many steps are Adam's, where L-BFGS follows."""
        return math.ceil(self.adam_share * self.epoch_steps * (self.trainer.max_epochs or 0))

    @override
    def build_optimizer(self) -> torch.optim.Optimizer:
        if not self.by_lbfgs:
            return super().build_optimizer()
        groups = parameter_groups(self, lr=self.lr, weight_decay=self.weight_decay)
        options = {"lr": self.lr, "weight_decay": self.weight_decay}
        return AdamLBFGS(groups, self.adam_steps(), self.iterations, **options)
