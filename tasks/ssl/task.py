"""A representation learned from two views of each image."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.func import functional_call
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.measures.builtin.spectrum import draw_spectrum
from actsearch.measures.functional.alignment import alignment
from actsearch.measures.functional.effective_rank import effective_rank
from actsearch.measures.functional.embedding_deviation import embedding_deviation
from actsearch.measures.functional.isotropy import isotropy
from actsearch.measures.functional.knn_accuracy import knn_accuracy
from actsearch.measures.functional.linear_probe import linear_probe
from actsearch.measures.functional.uniformity import uniformity
from actsearch.task.options import Interval, OpenUnitInterval, PositiveFloat, PositiveInt
from actsearch.task.pictures import evaluating, image_sheet
from actsearch.task.tensor_task import Schedule, TensorTask
from actsearch.task.tensors import Batch, Split, standardise

from ..data import images
from .augment import augment
from .networks import encoder, perceptron
from .objectives import negative_cosine, vicreg
from .pictures import projection

BANK = 5000  # training samples that the probes are fitted on, at most


class SelfSupervised(TensorTask):
    r"""Learn a representation of images without labels, and watch it collapse or not.

    It is learned from two random views of each image.

    .. math:: h = f(x), \quad z = g(h), \quad p = q(z)

    with encoder f, projector g and, for ``simsiam`` and ``byol``, predictor q. Labels serve the
    probes alone.

    Without ``anti_collapse`` the embedding's deviation falls below a tenth of 1/√D within the
    default training for ``simsiam`` and ``byol``, and within 200 epochs at ``lr`` 0.01 for
    ``vicreg``.

    Sites: ``encoder.*``, ``projector.*`` and ``predictor.*``, each part a block of the search.

    Logged once an epoch: ``val_probe_accuracy`` (ridge regression on h) and ``val_knn_accuracy``
    (on h), both against the training split; of the embedding z ``val_effective_rank`` (RankMe),
    ``val_isotropy`` (IsoScore), ``val_embedding_deviation`` (1/√D where even, 0 after collapse),
    ``val_alignment`` and ``val_uniformity``; ``val_loss``. The accuracies again in test.
    Objectives: ``val_probe_accuracy:max``, ``val_effective_rank:max``, both.

    With one activation at every site, simsiam on digits ends least isotropic and of far lower rank
    with identity; five seeds tell no order among mish, relu, prelu, gelu and swish
    (``benchmarks/README.md``), and the smooth non-monotone ones are not more isotropic than PReLU.

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
        schedule: ``constant`` learning rate, or ``cosine`` down to 0 over the epochs of training.
        neighbours: neighbours that vote in the k-NN accuracy, at least 1.
        **options: those of every :class:`TensorTask`.

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
        width: PositiveInt = 32,
        embedding: Annotated[int, Interval(2)] = 64,
        momentum: OpenUnitInterval = 0.98,
        strength: PositiveFloat = 1.0,
        batch_size: Annotated[int, Interval(2)] = 128,
        lr: PositiveFloat = 2e-3,
        schedule: Schedule = "cosine",
        neighbours: PositiveInt = 10,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, **options)
        self.schedule = schedule
        found = images.load_labelled(data, data_home, image_shape)
        if found.x.ndim != 4:
            raise InvalidValueError(
                f"data must be images, but {data} has rows of shape {found.x.shape[1:]}. Give"
                " image_shape or other data."
            )
        self.classes = found.classes
        self.encoder = encoder(found.x.shape[1], width)
        self.projector = perceptron(8 * width, 4 * width, embedding)
        self.predictor = None
        if objective != "vicreg":
            self.predictor = perceptron(embedding, max(1, embedding // 2), embedding)
        labels = torch.from_numpy(found.y)
        self.hold(torch.from_numpy(found.x), labels, stratify=labels, scale=standardise)
        self.target: dict[str, dict[str, Tensor]] = {}

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return representation, embedding, and prediction.

        The embedding again where there is no predictor.
        """
        representation = self.encoder(x)
        embedding = self.projector(representation)
        prediction = embedding if self.predictor is None else self.predictor(embedding)
        return representation, embedding, prediction

    def on_fit_start(self) -> None:
        """Start the momentum encoder where the encoder is.

        Not a module, since its sites are the encoder's.
        """
        if self._uses_momentum:
            parts = {"encoder": self.encoder, "projector": self.projector}
            self.target = {name: deepcopy(part.state_dict()) for name, part in parts.items()}

    @property
    def _uses_momentum(self) -> bool:
        return bool(self.hparams["objective"] == "byol" and self.hparams["anti_collapse"])

    @override
    def loss(self, batch: Batch) -> Tensor:
        return self.objective(*self.views(batch[0]))

    def views(self, x: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        """Return two random views of every image."""
        return [augment(x, self.hparams["strength"], generator) for _ in range(2)]

    def objective(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the loss of two views ``(N, C, H, W)`` each."""
        kept = self.hparams["anti_collapse"]
        (_, z1, p1), (_, z2, p2) = self(first), self(second)
        if self.hparams["objective"] == "vicreg":
            return vicreg(z1, z2) if kept else vicreg(z1, z2, variance=0.0)
        if self._uses_momentum and self.target:
            z1, z2 = self.target_embedding(first), self.target_embedding(second)
        if kept:
            z1, z2 = z1.detach(), z2.detach()
        return (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2

    @torch.no_grad()
    def target_embedding(self, x: Tensor) -> Tensor:
        """Embed by the momentum encoder, whose normalisation keeps statistics of its own."""
        for name, state in self.target.items():
            x = functional_call(self.get_submodule(name), state, (x,))
        return x

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Let the momentum encoder follow."""
        for name, state in self.target.items():
            for key, parameter in self.get_submodule(name).named_parameters():
                state[key].lerp_(parameter.detach(), 1 - self.hparams["momentum"])

    @override
    def score(self, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
        """Return the objective on two views, drawn alike in every epoch."""
        generator = torch.Generator(self.device).manual_seed(seed)
        return {"loss": self.objective(*self.views(batch[0], generator))}

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.count(self.score(batch, batch_idx))

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count nothing: the probes see the split as a whole."""

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the probes' accuracies, and in validation the measures of the embedding."""
        x, labels = self.select(part)
        h, z = self.represent(x)
        bank_rows = self.splits.train[:: -(-len(self.splits.train) // BANK)]
        bank, bank_labels = (tensor[bank_rows] for tensor in self.tensors)
        seen = h, labels, self.represent(bank)[0], bank_labels
        neighbours = min(self.hparams["neighbours"], len(bank))
        accuracies = {
            "probe_accuracy": linear_probe(*seen),
            "knn_accuracy": knn_accuracy(*seen, k=neighbours),
        }
        if part == "test":
            return accuracies
        generator = torch.Generator().manual_seed(0)
        views = [self.represent(x, generator)[1] for _ in range(2)]
        return accuracies | {
            "effective_rank": effective_rank(z),
            "isotropy": isotropy(z),
            "embedding_deviation": embedding_deviation(z),
            "alignment": alignment(*views),
            "uniformity": uniformity(z),
        }

    def embed(self, x: Tensor) -> Tensor:
        """Return the embeddings ``(N, 2 width)`` of images, as measures look at them."""
        embedded: Tensor = self(x)[1]
        return embedded

    @torch.no_grad()
    def represent(
        self, x: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return representations and embeddings of images.

        Of random views of them where a generator is given.
        """
        parts = []
        for images_ in x.split(self.eval_batch_size):
            if generator is not None:
                images_ = augment(images_, self.hparams["strength"], generator)
            parts.append(self(images_.to(self.device))[:2])
        h, z = zip(*parts, strict=True)
        return torch.cat(h).cpu(), torch.cat(z).cpu()

    @override
    def pictures(self, folder: Path) -> None:
        """Write the embedding's spectrum, the representation in the plane, and some views."""
        x, labels = self.select("val")
        with evaluating(self):
            h, z = self.represent(x)
        draw_spectrum(folder / "spectrum.png", z)
        projection(folder / "projection.png", h, labels, self.classes)
        shown = x[:5].repeat(5, 1, 1, 1)
        views = augment(shown, self.hparams["strength"], torch.Generator().manual_seed(0))
        views[:5] = shown[:5]
        image_sheet(folder / "views.png", views, ["image"] * 5 + ["view"] * 5 + [""] * 15)
