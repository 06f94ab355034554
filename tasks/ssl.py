"""Self-supervised representation learning, and its collapse."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.func import functional_call
from torchmetrics import MeanMetric

from actsearch.errors import InvalidValueError
from actsearch.measures.functional.alignment import alignment
from actsearch.measures.functional.effective_rank import effective_rank
from actsearch.measures.functional.embedding_deviation import embedding_deviation
from actsearch.measures.functional.isotropy import isotropy
from actsearch.measures.functional.knn_accuracy import knn_accuracy
from actsearch.measures.functional.linear_probe import linear_probe
from actsearch.measures.functional.uniformity import uniformity
from actsearch.placement.optimiser import parameter_groups
from actsearch.task.task import Task

from . import _images as images
from ._augment import augment
from ._loader import TensorLoader, split, standardise
from ._options import at_least, between, one_of
from ._ssl_networks import encoder, perceptron
from ._ssl_objectives import negative_cosine, vicreg

BANK = 5000  # training samples that the probes are fitted on, at most


class SelfSupervised(Task):
    r"""Learn a representation h of images without labels, from two random views of each, and watch it collapse or not.

    .. math:: h = f(x), \quad z = g(h), \quad p = q(z)

    with encoder f, projector g and, for ``simsiam`` and ``byol``, predictor q. Labels serve the probes alone.

    Without ``anti_collapse`` the embedding's deviation falls below a tenth of 1/√D within the
    default training for ``simsiam`` and ``byol``, and within 200 epochs at ``lr`` 0.01 for
    ``vicreg``.

    Sites: ``encoder.*``, ``projector.*`` and ``predictor.*``, each part a block of the search.

    Logged once an epoch: ``val_probe_accuracy`` (ridge regression on h) and ``val_knn_accuracy``
    (on h), both against the training split; of the embedding z ``val_effective_rank`` (RankMe),
    ``val_isotropy`` (IsoScore), ``val_embedding_deviation`` (1/√D where even, 0 after collapse),
    ``val_alignment`` and ``val_uniformity``; ``val_loss``. The accuracies again in test.
    Objectives: ``val_probe_accuracy:max``, ``val_effective_rank:max``, both.

    One activation at every site, simsiam on digits with the defaults, five seeds (mean ± standard
    deviation), in order of isotropy:

    ========  ===============  ==============  =================
    all       isotropy         effective rank  k-NN accuracy
    ========  ===============  ==============  =================
    mish      0.034 ± 0.010    16.2 ± 1.2      0.962 ± 0.005
    relu      0.031 ± 0.005    16.9 ± 0.5      0.964 ± 0.008
    prelu     0.031 ± 0.007    16.9 ± 0.9      0.957 ± 0.011
    gelu      0.029 ± 0.006    16.5 ± 0.8      0.966 ± 0.005
    swish     0.028 ± 0.005    16.5 ± 0.7      0.961 ± 0.010
    identity  0.022 ± 0.005     6.4 ± 0.2      0.963 ± 0.003
    ========  ===============  ==============  =================

    So identity ends least isotropic and of far lower rank; five seeds tell no order among the
    others, and the smooth non-monotone ones are not more isotropic than PReLU.

    Shapes:
        input ``(N, C, H, W)``; output representation ``(N, 8 width)``, embedding and prediction
        ``(N, D)``.

    Args:
        data: ``digits``, ``openml:NAME``, ``torchvision:NAME``, or an ``.npz`` file of images.
        data_home: folder of downloaded data, where the set has one.
        image_shape: channels, height and width, to read rows of a table as images.
        objective: ``simsiam``, ``byol`` or ``vicreg``.
        anti_collapse: keep what prevents collapse: simsiam's stop-gradient, byol's momentum encoder
            with its stop-gradient, vicreg's variance term.
        width: channels of the encoder's first layer, at least 1.
        embedding: dimensions D of the embedding, at least 2.
        momentum: byol: share of the target encoder that each step keeps, in (0, 1).
        strength: factor on the augmentation, above 0.
        batch_size: images of a training step, at least 2.
        lr: learning rate of AdamW, above 0.
        weight_decay: decoupled weight decay, at least 0.
        schedule: ``constant`` learning rate, or ``cosine`` down to 0 over the epochs of training.
        neighbours: neighbours that vote in the k-NN accuracy, at least 1.
        validation_share: share of all samples for validation, in (0, 1).
        test_share: share of all samples for the test, in (0, 1).
        split_seed: seed of the splits.

    Raises:
        ActsearchError: an option out of its range, or data that cannot be read, or are no images.

    References:
        RankMe: Assessing the downstream performance of pretrained self-supervised representations
        by their rank, Q. Garrido, R. Balestriero, L. Najman and Y. LeCun, 2022,
        https://arxiv.org/abs/2210.02885
    """

    monitor = "val_probe_accuracy"
    mode = "max"
    test_metric = "test_probe_accuracy"
    space = "ssl"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 40}

    def __init__(
        self,
        data: str = "digits",
        data_home: str | None = None,
        image_shape: tuple[int, int, int] | None = None,
        objective: Literal["simsiam", "byol", "vicreg"] = "simsiam",
        anti_collapse: bool = True,
        width: int = 32,
        embedding: int = 64,
        momentum: float = 0.98,
        strength: float = 1.0,
        batch_size: int = 128,
        lr: float = 2e-3,
        weight_decay: float = 0.01,
        schedule: Literal["constant", "cosine"] = "cosine",
        neighbours: int = 10,
        validation_share: float = 0.2,
        test_share: float = 0.2,
        split_seed: int = 0,
    ) -> None:
        super().__init__()
        one_of("objective", objective, ("simsiam", "byol", "vicreg"))
        one_of("schedule", schedule, ("constant", "cosine"))
        for name, count, least in (
            ("width", width, 1),
            ("embedding", embedding, 2),
            ("batch_size", batch_size, 2),
        ):
            at_least(name, count, least, whole=True)
        at_least("neighbours", neighbours, 1, whole=True)
        between("momentum", momentum, 0, 1)
        between("strength", strength, 0, float("inf"))
        between("lr", lr, 0, float("inf"))
        at_least("weight_decay", weight_decay, 0)
        self.save_hyperparameters()
        found = images.load(data, data_home, image_shape)
        if found.x.ndim != 4:
            raise InvalidValueError(
                f"data must be images, but {data} has rows of shape {found.x.shape[1:]}. Give"
                " image_shape or other data."
            )
        self.classes = found.classes
        self._splits = split(len(found.y), split_seed, validation_share, test_share, found.y)
        self._inputs = standardise(torch.from_numpy(found.x), self._splits.train)
        self._labels = torch.from_numpy(found.y)
        self.encoder = encoder(found.x.shape[1], width)
        self.projector = perceptron(8 * width, 4 * width, embedding)
        self.predictor = (
            None
            if objective == "vicreg"
            else perceptron(embedding, max(1, embedding // 2), embedding)
        )
        self.example_input_array = self._inputs[self._splits.train[:4]]
        self.loss = MeanMetric()
        self._target: dict[str, dict[str, Tensor]] = {}

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return representation, embedding, and prediction (the embedding again where there is no predictor)."""
        representation = self.encoder(x)
        embedding = self.projector(representation)
        return (
            representation,
            embedding,
            embedding if self.predictor is None else self.predictor(embedding),
        )

    def train_dataloader(self) -> TensorLoader:
        """Return the training split in shuffled batches."""
        rows = self._splits.train
        drop_last = (
            len(rows) % self.hparams["batch_size"] == 1
        )  # batch normalisation cannot train on one sample
        return TensorLoader(
            self._inputs[rows],
            batch_size=self.hparams["batch_size"],
            shuffle=True,
            drop_last=drop_last,
        )

    def val_dataloader(self) -> TensorLoader:
        """Return the validation split."""
        return self._batches(self._splits.validation)

    def test_dataloader(self) -> TensorLoader:
        """Return the test split, which neither training nor validation touches."""
        return self._batches(self._splits.test)

    def _batches(self, rows: Tensor) -> TensorLoader:
        return TensorLoader(self._inputs[rows], self._labels[rows], batch_size=1024)

    def on_fit_start(self) -> None:
        """Start the momentum encoder where the encoder is.

        Not a module, since its sites are the encoder's.
        """
        if self._uses_momentum:
            self._target = {
                name: {
                    key: tensor.detach().clone()
                    for key, tensor in self.get_submodule(name).state_dict().items()
                }
                for name in ("encoder", "projector")
            }

    @property
    def _uses_momentum(self) -> bool:
        return bool(self.hparams["objective"] == "byol" and self.hparams["anti_collapse"])

    def training_step(self, batch: tuple[Tensor], batch_idx: int) -> Tensor:
        """Return the objective on two views of a batch."""
        (x,) = batch
        return self._objective(*(augment(x, self.hparams["strength"]) for _ in range(2)))

    def _objective(self, first: Tensor, second: Tensor) -> Tensor:
        kept = self.hparams["anti_collapse"]
        (_, z1, p1), (_, z2, p2) = self(first), self(second)
        if self.hparams["objective"] == "vicreg":
            return vicreg(z1, z2) if kept else vicreg(z1, z2, variance=0.0)
        if self._uses_momentum and self._target:
            z1, z2 = self._target_embedding(first), self._target_embedding(second)
        if kept:
            z1, z2 = z1.detach(), z2.detach()
        return (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2

    @torch.no_grad()
    def _target_embedding(self, x: Tensor) -> Tensor:
        """Embed by the momentum encoder, whose batch normalisation keeps statistics of its own."""
        for name, state in self._target.items():
            x = functional_call(self.get_submodule(name), state, (x,))
        return x

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Let the momentum encoder follow."""
        for name, state in self._target.items():
            for key, parameter in self.get_submodule(name).named_parameters():
                state[key].lerp_(parameter.detach(), 1 - self.hparams["momentum"])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Add the objective on two views, drawn alike in every epoch."""
        generator = torch.Generator(self.device).manual_seed(batch_idx)
        views = [augment(batch[0], self.hparams["strength"], generator) for _ in range(2)]
        self.loss.update(self._objective(*views))

    def on_validation_epoch_end(self) -> None:
        """Log the measures of representation and embedding."""
        rows = self._splits.validation
        _, z = self._embed(rows)
        generator = torch.Generator().manual_seed(0)
        views = [self._embed(rows, generator)[1] for _ in range(2)]
        figures: dict[str, Any] = {
            "val_loss": self.loss.compute(),
            "val_effective_rank": effective_rank(z),
            "val_isotropy": isotropy(z),
            "val_embedding_deviation": embedding_deviation(z),
            "val_alignment": alignment(*views),
            "val_uniformity": uniformity(z),
        }
        self.loss.reset()
        self.log_dict({**figures, **self._accuracies("val", rows)}, prog_bar=True)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count nothing: the probes see the split as a whole."""

    def on_test_epoch_end(self) -> None:
        """Log the probes' accuracy on the test split."""
        self.log_dict(self._accuracies("test", self._splits.test))

    def _accuracies(self, part: str, rows: Tensor) -> dict[str, float]:
        bank_rows = self._splits.train[:: -(-len(self._splits.train) // BANK)]
        bank, labels = self._embed(bank_rows)[0], self._labels[bank_rows]
        seen = self._embed(rows)[0], self._labels[rows], bank, labels
        neighbours = min(self.hparams["neighbours"], len(bank))
        return {
            f"{part}_probe_accuracy": linear_probe(*seen),
            f"{part}_knn_accuracy": knn_accuracy(*seen, k=neighbours),
        }

    @torch.no_grad()
    def _embed(
        self, rows: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return representations and embeddings of images, or of random views of them where a generator is given."""
        parts = []
        for first in range(0, len(rows), 1024):
            x = self._inputs[rows[first : first + 1024]]
            x = x if generator is None else augment(x, self.hparams["strength"], generator)
            parts.append(self(x.to(self.device))[:2])
        h, z = zip(*parts, strict=True)
        return torch.cat(h).cpu(), torch.cat(z).cpu()

    def configure_optimizers(self) -> Any:
        """Return AdamW, and the schedule where one is asked for."""
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

    def pictures(self, folder: Path) -> None:
        """Write the spectrum of the embedding's covariance, the representation in two dimensions, and some views."""
        from ._pictures import image_sheet
        from ._ssl_pictures import projection, spectrum

        training = self.training
        self.eval()
        rows = self._splits.validation
        h, z = self._embed(rows)
        self.train(training)
        spectrum(folder / "spectrum.png", z)
        projection(folder / "projection.png", h, self._labels[rows], self.classes)
        shown = self._inputs[rows[:5]].repeat(5, 1, 1, 1)
        views = augment(shown, self.hparams["strength"], torch.Generator().manual_seed(0))
        views[:5] = shown[:5]
        image_sheet(folder / "views.png", views, ["image"] * 5 + ["view"] * 5 + [""] * 15)
