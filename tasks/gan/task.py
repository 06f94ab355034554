"""Generative adversarial networks, judged by the distance of their samples to real images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.measures import Fitted
from actsearch.measures.functional.gradient_flow import sparsity
from actsearch.measures.undisturbed import undisturbed
from actsearch.placement.optimiser import parameter_groups
from actsearch.task.options import Interval, PositiveFloat, PositiveInt
from actsearch.task.pictures import DPI, new_figure
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split

from ..data.images import load_labelled
from .features import ImageFeatures, as_bytes, classes_covered, distances
from .networks import Discriminator, DiscriminatorNorm, Generator

COMPARED = 1000
"""Samples that are compared with the images of a split."""

ROWS, COLUMNS = 6, 8
"""Of the picture."""


class GAN(TensorTask):
    r"""A generative adversarial network, DCGAN in small.

    The discriminator D learns to tell images from samples :math:`G(u), u \sim N(0, I)`, the
    generator G to be taken for real. By the ``logistic`` loss

    .. math:: L_D = E[s(-D(x))] + E[s(D(G(u)))], \quad L_G = E[s(-D(G(u)))],
        \quad s(z) = \log(1 + e^z)

    Sites: two layers of each network. What is judged, and what is left after training, is a moving
    average of the generator.

    Logged: ``val_frechet`` and ``val_kernel_distance`` of 1,000 samples to the split's images, in
    the features of a small classifier that is trained on the training images;
    ``val_frechet_floor``, what the training images come to there, and ``val_feature_accuracy``,
    what the features are worth; ``val_classes_covered``, from 1, where one class is all that is
    drawn; ``val_realness``, the probability that D gives to images it has not seen;
    ``val_sparsity/SITE``, the share of zeros; and in training ``generator_gradient_norm``, of
    :math:`\partial L_G` by one sample's image.

    Images of one's own, with classes, whose sides are multiples of 4::

        np.savez("own.npz", images=images, labels=labels)  # (N, H, W) or (N, H, W, C), (N,)
        actsearch search gan --task.data own.npz

    Shapes:
        input latents ``(N, latent)``; output images in (0, 1) ``(N, C, H, W)`` and their logits
        ``(N, 1)``.

    Args:
        data: images with classes: ``digits``, ``openml:NAME``, ``torchvision:NAME``, or an ``.npz``
            file.
        data_home: folder of downloaded data.
        image_shape: channels, height and width to read rows of a table as images.
        latent: size of a latent u, at least 1.
        width: channels of each network's layer next to the image, at least 1.
        loss: ``logistic``, not saturating; or ``hinge``.
        discriminator_norm: ``spectral`` normalisation of the discriminator's layers, or ``none``.
        ema: share of the moving average that each step leaves, in [0, 1).
        betas: :math:`\beta_1` and :math:`\beta_2` of Adam, each in [0, 1).
        batch_size: images of a training step, at least 1.
        lr: learning rate of Adam in both networks, above 0.
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, or data that are no labelled images.

    References:
        Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
        Networks, A. Radford, L. Metz and S. Chintala, 2015, https://arxiv.org/abs/1511.06434
    """

    monitor = "val_frechet"
    mode = "min"
    test_metric = "test_frechet"
    space = "rectifiers"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 9, "check_val_every_n_epoch": 3}
    search_defaults: ClassVar[dict[str, Any]] = {"trials": 10, "confirm": 2, "seeds": 5}

    def __init__(
        self,
        data: str = "digits",
        data_home: str | None = None,
        image_shape: tuple[int, int, int] | None = None,
        latent: PositiveInt = 32,
        width: PositiveInt = 16,
        loss: Literal["logistic", "hinge"] = "logistic",
        discriminator_norm: DiscriminatorNorm = "spectral",
        ema: Annotated[float, Interval(0, 1)] = 0.99,
        betas: tuple[float, float] = (0.5, 0.999),
        batch_size: PositiveInt = 32,
        lr: PositiveFloat = 2e-3,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, **options)
        found = load_labelled(data, data_home, image_shape)
        if found.x.ndim != 4:
            raise InvalidValueError(
                f"data must be images, but {data} has rows of {found.x.shape[1]} values. Name"
                " their shape by image_shape."
            )
        labels = torch.from_numpy(found.y)
        self.hold(torch.from_numpy(found.x), labels, stratify=labels, scale=_between)
        self.classes = found.classes
        shape: Any = found.x.shape[1:]
        self.generator = Generator(latent, width, shape)
        self.discriminator = Discriminator(shape, width, discriminator_norm)
        self.example_input_array = self.fixed_latents(64)
        self.automatic_optimization = False
        self.hinge, self.ema, self.betas = loss == "hinge", ema, betas
        self._average: dict[str, Tensor] = {}  # not a module, since its sites are the generator's
        self._features: tuple[ImageFeatures, ...] = ()  # not a part of this module
        # What no training changes, by split.
        self._known: dict[Split, dict[str, Tensor]] = {}
        self._image_features: dict[Split, Tensor] = {}

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return samples, and the logits that they are real."""
        images = self.generator(latents)
        return images, self.discriminator(images)

    @override
    def configure_optimizers(self) -> Any:
        fused = self.device.type in ("cpu", "cuda", "mps", "xpu")

        def adam(network: torch.nn.Module) -> torch.optim.Optimizer:
            groups = parameter_groups(network, lr=self.lr, weight_decay=0.0)
            return torch.optim.Adam(groups, betas=self.betas, fused=fused)

        return [adam(self.discriminator), adam(self.generator)]

    @override
    def on_fit_start(self) -> None:
        self._average = {name: x.clone() for name, x in self._generator().items()}

    def on_fit_end(self) -> None:
        """Leave the averaged generator."""
        self.generator.load_state_dict(self._average, strict=False)
        self._average = {}

    def _generator(self) -> dict[str, Tensor]:
        state = self.generator.state_dict().items()
        return {name: x.detach() for name, x in state if x.is_floating_point()}

    @override
    def loss(self, batch: Batch) -> Tensor:
        """Return the discriminator's loss of images, and of as many samples."""
        images = batch[0]
        return self.discriminator_loss(images, self.generator(self._latents(images)).detach())

    def discriminator_loss(self, images: Tensor, samples: Tensor) -> Tensor:
        """Return what the discriminator minimises."""
        of_images, of_samples = self.discriminator(torch.cat([images, samples])).chunk(2)
        if self.hinge:
            return F.relu(1 - of_images).mean() + F.relu(1 + of_samples).mean()
        return F.softplus(-of_images).mean() + F.softplus(of_samples).mean()

    def generator_loss(self, samples: Tensor) -> Tensor:
        """Return what the generator minimises."""
        logits: Tensor = self.discriminator(samples)
        return -logits.mean() if self.hinge else F.softplus(-logits).mean()

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        images = batch[0]
        of_discriminator, of_generator = self._optimisers()
        samples = self.generator(self._latents(images))
        of_discriminator.zero_grad()
        self.manual_backward(self.discriminator_loss(images, samples.detach()))
        of_discriminator.step()
        # The gradient goes through the discriminator, and leaves none there.
        loss = self.generator_loss(samples)
        (gradient,) = torch.autograd.grad(loss, samples)
        of_generator.zero_grad()
        self.manual_backward(samples, gradient)
        of_generator.step()
        now = list(self._generator().values())
        torch._foreach_lerp_(list(self._average.values()), now, 1 - self.ema)
        # Of one sample: the loss is a mean.
        norm = len(images) * gradient.flatten(1).norm(dim=1).mean()
        self.log("generator_gradient_norm", norm, on_step=False, on_epoch=True)

    def _optimisers(self) -> list[Any]:
        found = self.optimizers()
        assert isinstance(found, list)  # there are two
        return found

    def _latents(self, images: Tensor) -> Tensor:
        return torch.randn(len(images), self.hparams["latent"], device=self.device)

    def fixed_latents(self, count: int) -> Tensor:
        """Return latents, always the same."""
        draws = torch.Generator().manual_seed(0)
        return torch.randn(count, self.hparams["latent"], generator=draws)

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Return samples of the averaged generator, always of the same latents."""
        latents = self.fixed_latents(count).to(self.device)
        found: Tensor = functional_call(self.generator, self._average, (latents,))
        return found

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        return {"realness": self.discriminator(batch[0]).sigmoid()}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Any]:
        with undisturbed(self):
            space = self.feature_space()
            real, samples = self._real(part), space(as_bytes(self.sample(COMPARED)))
            frechet, kernel = distances(real, samples)
            if part not in self._known:
                taken = space.probabilities(real).argmax(1).cpu()
                self._known[part] = {
                    "frechet_floor": distances(real, self._real("train"))[0],
                    "feature_accuracy": (taken == self.select(part)[1]).float().mean(),
                }
            covered = classes_covered(space.probabilities(samples))
        return {
            "frechet": frechet,
            "kernel_distance": kernel,
            **self._known[part],
            "classes_covered": covered,
            **{f"sparsity/{s.name}": sparsity(*s.outputs()) for s in Fitted(self).sites},
        }

    def _real(self, part: Split) -> Tensor:
        """Return the features of a split's images."""
        if part not in self._image_features:
            images = as_bytes(self.select(part)[0]).to(self.device)
            self._image_features[part] = self.feature_space()(images)
        return self._image_features[part]

    def feature_space(self) -> ImageFeatures:
        """Return the feature space, which the training images alone decide."""
        if not self._features:
            images, labels = self.select("train")
            found = ImageFeatures.trained(images, labels, len(self.classes))
            self._features = (found.to(self.device),)
        return self._features[0]

    @override
    def pictures(self, folder: Path) -> None:
        """Write a sheet of samples."""
        with undisturbed(self):
            images = F.pad(self.sample(ROWS * COLUMNS).cpu(), [1, 1, 1, 1], value=0.3)
        sheet = (
            images.unflatten(0, (ROWS, COLUMNS)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
        )
        figure, axes = new_figure(size=5.0)
        axes[0, 0].imshow((sheet if sheet.shape[-1] == 3 else sheet[..., 0]).numpy(), cmap="gray")
        axes[0, 0].axis("off")
        figure.savefig(folder / "samples.png", dpi=DPI)


def _between(x: Tensor, train: Tensor) -> Tensor:
    """Return images scaled to [0, 1] by the range of the training images."""
    low, high = x[train].nan_to_num().aminmax()
    return ((x.nan_to_num() - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
