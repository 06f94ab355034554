"""Classification of images and tables: the task that a search starts with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from actsearch import Site
from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.measures import Fitted, missing
from actsearch.measures.builtin.novelty import Novelty
from actsearch.measures.dp_sgd import (
    DPSGD,
    PoissonLoader,
    PrivacyBudget,
    refuse_batch_norm,
    require_opacus,
)
from actsearch.measures.functional.novelty import detection
from actsearch.measures.functional.recalibration import fit_clip, fit_temperature
from actsearch.measures.undisturbed import undisturbed
from actsearch.task.options import PositiveInt
from actsearch.task.pictures import (
    confusion_matrix,
    evaluating,
    image_sheet,
    reliability_diagram,
    score_histogram,
)
from actsearch.task.tensor_task import Schedule, TensorTask
from actsearch.task.tensors import Batch, TensorLoader, mean_and_deviation, scaled

from .data import images
from .data.novel import NOVEL, hold_out, read_novel
from .nets.backbones import USUAL, Backbone, build_backbone
from .nets.constrained import Weights, constrain_weights
from .nets.layers import Layout, Normalisation, NormPosition, Residual


class Classification(TensorTask):
    r"""Classification of real images or tables by cross-entropy.

    .. math:: L = -\frac1N \sum_n \log \mathrm{softmax}(f(x_n))_{y_n}

    Inputs are standardised with the mean and deviation of the training split (per channel of an
    image, per column of a table). The splits are stratified and depend on ``split_seed`` alone.
    Logged: ``val_loss`` and ``val_accuracy`` once an epoch; ``test_loss`` and ``test_accuracy`` in
    test.

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
        weights: ``plain``; or, of an mlp without normalisation, each layer's held at a spectral
            norm of 1, the head's at 4: ``spectral`` (by power iteration, some percent off) or
            ``orthogonal``. Then ``robustness`` has something to certify, with activations of the
            space ``non_expansive``.
        patch: transformer: side of a patch in pixels.
        heads: transformer: attention heads.
        schedule: ``constant`` learning rate, or ``cosine`` down to 0 over the epochs of training.
        novel: what ``--measure novelty`` tells from the data: ``letters`` or ``photographs``
            (images alone), ``classes:NAMES`` (with commas), which are held out of all splits, or
            an ``.npz`` file with an array x or images on the scale of the data.
        logit_site: whether a site follows the logits, with ``identity`` in it, for odd monotone
            functions that bound or temper them; the space ``logits`` has some.
        privacy: trains by DP-SGD (:class:`actsearch.measures.dp_sgd.DPSGD`), so that accuracies are
            those of a private model: ``epsilon``, ``delta`` (1/(2N) where not given) and ``clip``.
            ``epsilon`` and ``clipped_share`` are logged at its end. Batches are drawn at random,
            ``batch_size`` in the mean, 128 or more; inputs are left as they are, since
            standardising tells of training rows. The space ``private`` goes with it. Needs Opacus.
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, data that cannot be read, or that the backbone
            cannot take.
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
        hidden: PositiveInt | None = None,
        depth: PositiveInt | None = None,
        normalisation: Normalisation | None = None,
        norm_position: NormPosition = "before",
        residual: Residual = "pre_activation",
        weights: Weights = "plain",
        patch: PositiveInt = 2,
        heads: PositiveInt = 4,
        schedule: Schedule = "cosine",
        novel: str = "letters",
        logit_site: bool = False,
        privacy: PrivacyBudget | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.schedule = schedule
        found = images.load_labelled(data, data_home, image_shape)
        source, _, names = novel.partition(":")
        self._held_out: Tensor | None = None
        if source == "classes":
            found, out = hold_out(found, names.split(",") if names else [])
            self._held_out = torch.from_numpy(out)
        elif novel not in NOVEL and not novel.endswith(".npz"):
            way_out = "Or classes:NAMES, or a file that ends in .npz."
            raise UnknownNameError.among("novel data", novel, NOVEL, way_out)
        self.classes = found.classes
        usual_hidden, usual_depth, usual_norm = USUAL[backbone]
        layout = Layout(
            hidden or usual_hidden,
            depth or usual_depth,
            normalisation or usual_norm,
            norm_position,
            residual,
            patch,
            heads,
        )
        self.network = build_backbone(backbone, found.x.shape[1:], len(found.classes), layout)
        if weights != "plain":
            constrain_weights(self.network, weights)
        if logit_site:
            site = Site("identity", requires="monotone and odd")
            parts = OrderedDict(linear=self.network.get_submodule("head"), logits=site)
            self.network.add_module("head", nn.Sequential(parts))
        labels = torch.from_numpy(found.y)
        self.privacy = privacy
        self.hold(torch.from_numpy(found.x), labels, stratify=labels, scale=self._standardised)
        self.dp_sgd: DPSGD | None = None
        if privacy:
            privacy.delta_among(len(self.splits.train))
            refuse_batch_norm(self)
            require_opacus()
            self.automatic_optimization = False

    def _standardised(self, x: Tensor, train: Tensor) -> Tensor:
        # Private: nothing that was measured on training rows may leave them.
        self._scale = (
            (torch.zeros(()), torch.ones(())) if self.privacy else mean_and_deviation(x[train])
        )
        return scaled(x, *self._scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return cast(Tensor, self.network(x))

    @override
    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return F.cross_entropy(self(x), y)

    @override
    def train_dataloader(self) -> Iterable[Batch]:
        if not self.privacy:
            return super().train_dataloader()
        return PoissonLoader(self.select("train"), self.batch_size)

    @override
    def build_optimizer(self) -> torch.optim.Optimizer:
        optimizer = super().build_optimizer()
        if not self.privacy:
            return optimizer
        count, steps = len(self.splits.train), self.trainer.estimated_stepping_batches
        self.dp_sgd = DPSGD(optimizer, self.privacy, count, self.batch_size, steps)
        return self.dp_sgd.optimizer

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if self.dp_sgd is None:
            return super().training_step(batch, batch_idx)
        loss = self.dp_sgd.take(self, batch, lambda _, one: self.loss(one))
        optimizer: Any = self.optimizers()
        schedule: Any = self.lr_schedulers()
        optimizer.step()
        if schedule and self.trainer.is_last_batch:
            schedule.step()
        return loss

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        x, y = batch
        logits = self(x)
        hit = (logits.argmax(1) == y).float()
        return {"loss": F.cross_entropy(logits, y, reduction="none"), "accuracy": hit}

    @override
    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        if self.dp_sgd and self.trainer.global_step >= self.dp_sgd.steps:
            self.log("epsilon", self.dp_sgd.epsilon)
            self.log("clipped_share", self.dp_sgd.clipped_share)

    def second_dataloader(self) -> TensorLoader:
        """Return what is novel to the model, as ``novel`` says, on the scale of the data.

        Raises:
            InvalidValueError: letters or photographs where the data are no images, a file that does
                not fit.
        """
        (seen,), novel = self.select("train")[:1], str(self.hparams["novel"])
        if novel in NOVEL:
            if seen.ndim != 4:
                raise InvalidValueError(
                    f"{novel} must be told from images, but got rows of a table: give --task.novel"
                    " classes:NAMES or an .npz file"
                )
            low, high = seen.amin((0, 2, 3), keepdim=True), seen.amax((0, 2, 3), keepdim=True)
            rows = low + (high - low) * NOVEL[novel](*seen.shape[1:])
        else:
            own = self._held_out
            own = read_novel(novel, tuple(seen.shape[1:])) if own is None else own
            rows = scaled(own, *self._scale)
        return TensorLoader(rows, batch_size=self.eval_batch_size)

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write what the validation rows come to, and what the model makes of what is novel.

        The confusion matrix, the reliability diagram, misclassified images, how the score of
        novelty is distributed, and the novel images that have most and least of it.
        """
        shown, actual = self.select("val")
        with evaluating(self):
            batches = shown.split(self.eval_batch_size)
            logits = torch.cat([self(x.to(self.device)).cpu() for x in batches])
        predicted = logits.argmax(1)
        confusion_matrix(folder / "confusion_matrix.png", actual, predicted, self.classes)
        temperature, clip = fit_temperature(logits, actual), fit_clip(logits, actual)
        ways = {
            "as trained": logits,
            f"temperature {temperature:.3g}": logits / temperature,
            f"clipped at {clip:.3g}": logits.clamp(-clip, clip),
        }
        confidences = {way: scores.softmax(1).amax(1) for way, scores in ways.items()}
        reliability_diagram(folder / "reliability.png", confidences, predicted == actual)
        wrong = (predicted != actual).nonzero().flatten()
        if shown.ndim == 4 and len(wrong):
            titles = [
                f"{self.classes[actual[i]]} taken for {self.classes[predicted[i]]}" for i in wrong
            ]
            image_sheet(folder / "misclassified.png", shown[wrong], titles)
        self._draw_novelty(folder)

    def _draw_novelty(self, folder: Path) -> None:
        measure, fitted = Novelty(), Fitted(self)
        if missing(fitted, measure):
            return
        with undisturbed(self):
            known, novel = (found["typical"] for found in measure.scores(fitted, "val", "second"))
            images = torch.cat([batch[0].cpu() for batch in fitted.batches("second")])
        scores, title = {"known": known, "novel": novel}, f"AUROC {detection(known, novel)[0]:.3f}"
        score_histogram(folder / "novelty.png", scores, f"typical: {title}")
        if images.ndim == 4:
            order = novel.argsort(descending=True)
            ends = torch.cat([order[:10], order[-10:]])
            image_sheet(folder / "novel.png", images[ends], [f"{novel[i]:.2f}" for i in ends])
