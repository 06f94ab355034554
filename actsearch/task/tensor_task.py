"""A task whose data fit in memory: splits, loaders, meters and the optimiser in one place."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import MeanMetric
from typing_extensions import override

from actsearch.placement.optimiser import parameter_groups
from actsearch.task.options import (
    NonNegativeFloat,
    NonNegativeInt,
    OpenUnitInterval,
    PositiveFloat,
    PositiveInt,
    check_options,
)
from actsearch.task.task import Task
from actsearch.task.tensors import Batch, Split, Splits, TensorLoader, divide, divide_in_time

Schedule = Literal["constant", "cosine"]


class TensorTask(Task):
    r"""A task whose data are aligned tensors, trained by AdamW.

    A subclass passes its own ``**options`` up, builds its network, takes its data with
    :meth:`hold`, and states :meth:`loss` of a batch and :meth:`score` of each sample, whose means
    are logged as ``val_<name>`` once an epoch and as ``test_<name>`` in test. :meth:`figures` adds
    what is no mean over samples. All else may be overridden, as in any LightningModule.

    Args:
        batch_size: samples of a training step, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        validation_share: share of all samples for validation, in (0, 1).
        test_share: share of all samples for the test, in (0, 1).
        split_seed: seed of the splits.

    Attributes:
        splits: the row numbers of each part.
        tensors: all rows; the first tensor is the model's input.
        schedule: ``constant`` learning rate, or ``cosine`` down to 0 over the epochs of training.
        eval_batch_size: samples of a batch of validation and test.
        epoch_steps: training steps of an epoch, at least; few rows are gone through repeatedly.
        least_batch: samples that the last training batch must have not to be left out; batch
            normalisation cannot train on a single one.

    Raises:
        InvalidValueError: an option that its annotation does not allow.

    References:
        Decoupled Weight Decay Regularization, I. Loshchilov and F. Hutter, 2017,
        https://arxiv.org/abs/1711.05101
    """

    schedule: Schedule = "cosine"
    eval_batch_size: ClassVar[int] = 1024
    epoch_steps: ClassVar[int] = 1
    least_batch: ClassVar[int] = 2
    splits: Splits
    tensors: Batch

    def __init__(
        self,
        batch_size: PositiveInt = 32,
        lr: PositiveFloat = 1e-3,
        weight_decay: NonNegativeFloat = 0.01,
        validation_share: OpenUnitInterval = 0.2,
        test_share: OpenUnitInterval = 0.2,
        split_seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()  # those of the subclass too
        check_options(self)
        self.batch_size, self.lr, self.weight_decay = batch_size, lr, weight_decay
        self._division = split_seed, validation_share, test_share
        self._meters: dict[str, MeanMetric] = {}

    def hold(
        self,
        *tensors: Tensor,
        stratify: Tensor | None = None,
        scale: Callable[[Tensor, Tensor], Tensor] | None = None,
        in_time: bool = False,
    ) -> None:
        """Take the data and divide them; the first tensor is the model's input.

        Args:
            *tensors: aligned by their first dimension.
            stratify: classes of which each part gets its share.
            scale: maps all inputs and the training row numbers to what the model sees, such as
                :func:`actsearch.task.tensors.standardise`.
            in_time: whether the rows follow each other in time; later ones are then held out, and
                ``split_seed`` changes nothing.
        """
        rows, (seed, validation, test) = len(tensors[0]), self._division
        splits = (
            divide_in_time(rows, validation, test)
            if in_time
            else divide(rows, seed, validation, test, stratify)
        )
        inputs, *others = tensors
        if scale is not None:
            inputs = scale(inputs, splits.train)
        self.hold_divided((inputs, *others), splits)

    def hold_divided(self, tensors: Batch, splits: Splits) -> None:
        """Take data whose rows are divided already, such as :func:`actsearch.task.tensors.join`."""
        self.tensors, self.splits = tensors, splits
        self.example_input_array = tensors[0][splits.train[:4]]

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a training batch."""

    @abstractmethod
    def score(self, batch: Batch) -> dict[str, Tensor]:
        """Return figures of each sample ``(N, *)``, whose means over a split are logged."""

    def figures(self, part: Split, means: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """Return further figures of a whole split by name, none by default.

        Args:
            part: of which split.
            means: what is logged already, by the names of :meth:`score`.
        """
        return {}

    def select(self, part: Split) -> Batch:
        """Return the rows of a split."""
        rows = getattr(self.splits, part)
        return tuple(tensor[rows] for tensor in self.tensors)

    @override
    def train_dataloader(self) -> Iterable[Batch]:
        rows = len(self.splits.train)
        batches, rest = -(-rows // self.batch_size), rows % self.batch_size
        return TensorLoader(
            *self.select("train"),
            batch_size=self.batch_size,
            shuffle=True,
            drop_last=0 < rest < self.least_batch,
            repeats=-(-self.epoch_steps // batches),
        )

    @override
    def val_dataloader(self) -> TensorLoader:
        return TensorLoader(*self.select("val"), batch_size=self.eval_batch_size)

    @override
    def test_dataloader(self) -> TensorLoader:
        return TensorLoader(*self.select("test"), batch_size=self.eval_batch_size)

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.loss(batch)  # nothing is logged here, which would cost more than the step

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.count(self.score(batch))

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.count(self.score(batch))

    def count(self, scores: Mapping[str, Tensor]) -> None:
        """Add figures of samples to the means of the split that is gone through."""
        for name, values in scores.items():
            if name not in self._meters:
                self._meters[name] = MeanMetric().to(self.device)
            self._meters[name].update(values)

    @override
    def on_validation_epoch_end(self) -> None:
        self.log_means("val")

    @override
    def on_test_epoch_end(self) -> None:
        self.log_means("test")

    def log_means(self, part: Split) -> None:
        """Log the means that were counted and the further figures of a split."""
        means = {name: meter.compute() for name, meter in self._meters.items()}
        self._meters.clear()
        found = {**means, **self.figures(part, means)}
        self.log_dict({f"{part}_{name}": value for name, value in found.items()}, prog_bar=True)

    def build_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser, which :meth:`configure_optimizers` schedules."""
        # The fused kernel unscales gradients by itself, which Lightning does not allow with float16
        # and clipping.
        half = str(self.trainer.precision).startswith("16")
        fused = self.device.type in ("cpu", "cuda", "mps", "xpu") and not half
        groups = parameter_groups(self, lr=self.lr, weight_decay=self.weight_decay)
        return torch.optim.AdamW(groups, fused=fused)

    @override
    def configure_optimizers(self) -> Any:
        optimizer = self.build_optimizer()
        epochs = self.trainer.max_epochs or 0
        if self.schedule == "constant" or epochs < 1:
            return optimizer
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
        return {"optimizer": optimizer, "lr_scheduler": schedule}
