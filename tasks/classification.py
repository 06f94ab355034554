"""Classification of images and tables: the task that a search starts with."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from actsearch.measures.functional.gradient_flow import SiteFlow, gradient_flow
from actsearch.placement.optimiser import parameter_groups
from actsearch.task.task import Task

from . import _backbones as backbones
from . import _images as images
from ._backbone_layers import Normalisation, NormPosition, Residual
from ._backbones import Backbone
from ._loader import TensorLoader, split, standardise
from ._options import at_least, between, one_of


class Classification(Task):
    r"""Classification of real images or tables by cross-entropy.

    .. math:: L = -\frac1N \sum_n \log \mathrm{softmax}(f(x_n))_{y_n}

    Inputs are standardised with the mean and deviation of the training split (per channel of an image, per column of a
    table). The splits are stratified and depend on ``split_seed`` alone. Logged: ``val_loss`` and ``val_accuracy`` once
    an epoch; ``test_loss`` and ``test_accuracy`` in test.

    Shapes:
        input ``(N, C, H, W)`` or ``(N, D)``, output logits ``(N, classes)``.

    Args:
        data: ``digits``, ``iris``, ``wine``, ``breast_cancer``, ``openml:NAME`` (downloaded),
            ``torchvision:NAME`` (where it is installed and the set lies in ``data_home``), or an
            ``.npz`` file with arrays x and y, or images and labels.
        data_home: folder of downloaded data, where the set has one.
        image_shape: channels, height and width, to read rows of a table as images.
        backbone: ``mlp``, ``lenet``, ``resnet`` or ``transformer``; tables need ``mlp``.
        hidden: width: units of a layer (mlp; last layer of lenet), channels of the first stage
            (resnet), dimension of a token (transformer); the backbone's usual where not given.
        depth: hidden layers (mlp) or blocks (resnet, transformer), at least 1; the backbone's usual
            where not given.
        normalisation: ``none``, ``batch`` or ``layer``; the backbone's usual where not given.
        norm_position: whether normalisation stands ``before`` or ``after`` the activation;
            ``either`` puts a site on both sides, so that the search decides.
        residual: blocks of resnet and transformer: ``pre_activation`` (norm, activation and weights
            in the branch, a clean shortcut) or ``post_activation`` (norm or activation after the
            sum).
        patch: transformer: side of a patch in pixels.
        heads: transformer: attention heads.
        batch_size: samples of a training step, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        schedule: ``constant`` learning rate, or ``cosine`` down to 0 over the epochs of training.
        validation_share: share of all samples for validation, in (0, 1).
        test_share: share of all samples for the test, in (0, 1).
        split_seed: seed of the splits.
        log_gradient_flow: whether each validation also logs ``gradient_norm``, ``sparsity`` and
            ``dead`` of every site (``gradient_norm/layer_1.activation``), measured on one training
            batch.

    Raises:
        ActsearchError: an option out of its range, data that cannot be read, or that the backbone
            cannot take.

    References:
        Decoupled Weight Decay Regularization, I. Loshchilov and F. Hutter, 2017,
        https://arxiv.org/abs/1711.05101
    """

    monitor = "val_accuracy"
    mode = "max"
    test_metric = "test_accuracy"
    space = "rectifiers"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 30}

    def __init__(
        self,
        data: str = "digits",
        data_home: str | None = None,
        image_shape: tuple[int, int, int] | None = None,
        backbone: Backbone = "mlp",
        hidden: int | None = None,
        depth: int | None = None,
        normalisation: Normalisation | None = None,
        norm_position: NormPosition = "before",
        residual: Residual = "pre_activation",
        patch: int = 2,
        heads: int = 4,
        batch_size: int = 32,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        schedule: Literal["constant", "cosine"] = "cosine",
        validation_share: float = 0.2,
        test_share: float = 0.2,
        split_seed: int = 0,
        log_gradient_flow: bool = False,
    ) -> None:
        super().__init__()
        at_least("batch_size", batch_size, 1, whole=True)
        between("lr", lr, 0, float("inf"))
        at_least("weight_decay", weight_decay, 0)
        one_of("schedule", schedule, ("constant", "cosine"))
        self.save_hyperparameters()
        found = images.load(data, data_home, image_shape)
        self.classes = found.classes
        self._splits = split(len(found.y), split_seed, validation_share, test_share, found.y)
        self._inputs = standardise(torch.from_numpy(found.x), self._splits.train)
        self._labels = torch.from_numpy(found.y)
        self.network = backbones.build(
            backbone, tuple(found.x.shape[1:]), len(found.classes), hidden, depth, normalisation, norm_position,
            residual, patch, heads,
        )  # fmt: skip
        self.example_input_array = self._inputs[self._splits.train[:4]]
        self.loss = MeanMetric()
        self.accuracy = MulticlassAccuracy(len(found.classes), average="micro", validate_args=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.network(x)
        return logits

    def train_dataloader(self) -> TensorLoader:
        """Return the training split in shuffled batches."""
        # Batch normalisation cannot train on a last batch of one sample.
        drop_last = len(self._splits.train) % self.hparams["batch_size"] == 1
        return self._batches(
            self._splits.train, self.hparams["batch_size"], shuffle=True, drop_last=drop_last
        )

    def val_dataloader(self) -> TensorLoader:
        """Return the validation split."""
        return self._batches(self._splits.validation, 1024)

    def test_dataloader(self) -> TensorLoader:
        """Return the test split, which neither training nor validation touches."""
        return self._batches(self._splits.test, 1024)

    def _batches(self, rows: Tensor, batch_size: int, **options: bool) -> TensorLoader:
        return TensorLoader(
            self._inputs[rows], self._labels[rows], batch_size=batch_size, **options
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the cross-entropy of a batch.

        Nothing is logged here, which would cost more than the step.
        """
        x, y = batch
        return F.cross_entropy(self(x), y)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a batch in."""
        self._count(batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a batch in."""
        self._count(batch)

    def _count(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        logits = self(x)
        self.loss.update(F.cross_entropy(logits, y, reduction="none"))
        self.accuracy.update(logits, y)

    def on_validation_epoch_end(self) -> None:
        """Log ``val_loss`` and ``val_accuracy``, and the gradient flow where asked for."""
        self._log_counts("val")
        if self.hparams["log_gradient_flow"]:
            for site in self.gradient_flow():
                for measure in ("gradient_norm", "sparsity", "dead"):
                    self.log(f"{measure}/{site.name}", getattr(site, measure))

    def on_test_epoch_end(self) -> None:
        """Log ``test_loss`` and ``test_accuracy``."""
        self._log_counts("test")

    def _log_counts(self, part: str) -> None:
        self.log_dict(
            {f"{part}_loss": self.loss.compute(), f"{part}_accuracy": self.accuracy.compute()},
            prog_bar=True,
        )
        self.loss.reset()
        self.accuracy.reset()

    def gradient_flow(self) -> list[SiteFlow]:
        """Measure each site on one training batch, as training sees it, and leave the model as it is."""
        with torch.inference_mode(False):
            network = copy.deepcopy(
                self.network
            ).train()  # a copy, since normalisation counts every batch it sees
            rows = self._splits.train[: self.hparams["batch_size"]]
            x, y = self._inputs[rows].to(self.device), self._labels[rows].to(self.device)
            return gradient_flow(network, lambda: F.cross_entropy(network(x), y))

    def configure_optimizers(self) -> Any:
        """Return AdamW, and the schedule where one is asked for."""
        # The fused kernel unscales gradients by itself, which Lightning does not allow with float16
        # and clipping.
        fused = self.device.type in ("cpu", "cuda", "mps", "xpu") and not str(
            self.trainer.precision
        ).startswith("16")
        groups = parameter_groups(
            self, lr=self.hparams["lr"], weight_decay=self.hparams["weight_decay"]
        )
        optimizer = torch.optim.AdamW(groups, fused=fused)
        if self.hparams["schedule"] == "constant" or (self.trainer.max_epochs or 0) < 1:
            return optimizer
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=self.trainer.max_epochs or 1
        )
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write the validation split's confusion matrix, and a sheet of misclassified images where there are images."""
        from ._pictures import confusion_matrix, image_sheet

        rows = self._splits.validation
        training = self.training
        self.eval()
        predicted = torch.cat(
            [self(x.to(self.device)).argmax(1).cpu() for x, _ in self.val_dataloader()]
        )
        self.train(training)
        actual = self._labels[rows]
        confusion_matrix(folder / "confusion_matrix.png", actual, predicted, self.classes)
        wrong = (predicted != actual).nonzero().flatten()
        if self._inputs.ndim == 4 and len(wrong):
            titles = [
                f"{self.classes[actual[i]]} taken for {self.classes[predicted[i]]}" for i in wrong
            ]
            image_sheet(folder / "misclassified.png", self._inputs[rows[wrong]], titles)
