"""Coordinate networks: a picture as a function of where one looks, fitted to some pixels and judged on others."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric

from actsearch.errors import InvalidValueError, UnknownNameError
from actsearch.placement.optimiser import parameter_groups
from actsearch.task.task import Task

from . import _backbones as backbones
from ._loader import TensorLoader, split
from ._options import at_least, between

SAMPLES = ("china", "flower")


class Coordinate(Task):
    r"""A photograph as a coordinate network (implicit neural representation), fitted by the squared error.

    .. math:: f(x) = \frac{1 + g(x)}{2}, \qquad L = \frac{1}{NC} \sum_n \lVert f(x_n) - y_n \rVert^2,
              \qquad \mathrm{PSNR} = -10 \log_{10} L

    A multilayer perceptron g, which so starts near grey, maps the coordinates :math:`x_n` of a
    pixel to its intensities :math:`y_n` in [0, 1]. It sees the pixels of the training split and is
    judged on others by the peak signal-to-noise ratio in dB, of peak 1 and of the split as a whole.
    Logged: ``val_loss`` (L) and ``val_psnr`` once an epoch; ``test_loss`` and ``test_psnr`` in
    test.

    Rectifiers fit what is smooth first and details late; a periodic activation draws them sooner.
    Layers start as torch's do: from He's initialisation ``relu`` at its best learning rate is no
    better.

    Shapes:
        input ``(N, 2)``: row and column, each in [-scale, scale]; output ``(N, C)``, C = 1 (grey)
        or 3.

    Args:
        image: ``china`` or ``flower``, photographs that come with scikit-learn, or a picture file
            of 8 bits a channel.
        size: pixels of a side, at least 4, after the middle is cropped to a square and averaged
            over areas.
        colour: whether red, green and blue are fitted rather than the luma.
        hidden: units of a layer, at least 1.
        depth: hidden layers, at least 1.
        scale: coordinates of the picture's edges, above 0: the larger, the faster an activation
            sees the picture change.
        batch_size: pixels of a training step, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        validation_share: share of all pixels for validation, in (0, 1).
        test_share: share of all pixels for the test, in (0, 1).
        split_seed: seed of the splits.

    Raises:
        ActsearchError: an option out of its range, or a picture that cannot be read.

    References:
        Implicit Neural Representations with Periodic Activation Functions, V. Sitzmann, J. Martel,
        A. Bergman, D. Lindell and G. Wetzstein, 2020, https://arxiv.org/abs/2006.09661 On the
        Spectral Bias of Neural Networks, N. Rahaman, A. Baratin, D. Arpit, F. Draxler, M. Lin, F.
        Hamprecht, Y. Bengio and A. Courville, 2019, https://arxiv.org/abs/1806.08734
    """

    monitor = "val_psnr"
    mode = "max"
    test_metric = "test_psnr"
    space = "general"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 30}

    def __init__(
        self,
        image: str = "china",
        size: int = 64,
        colour: bool = False,
        hidden: int = 64,
        depth: int = 3,
        scale: float = 3.0,
        batch_size: int = 256,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        validation_share: float = 0.25,
        test_share: float = 0.25,
        split_seed: int = 0,
    ) -> None:
        super().__init__()
        at_least("size", size, 4, whole=True)
        between("scale", scale, 0, float("inf"))
        at_least("batch_size", batch_size, 1, whole=True)
        between("lr", lr, 0, float("inf"))
        at_least("weight_decay", weight_decay, 0)
        self.save_hyperparameters()
        self._picture = load(image, size, colour)
        self._intensities = self._picture.flatten(0, 1).clone()
        self._coordinates = torch.cartesian_prod(*[torch.linspace(-scale, scale, size)] * 2)
        self._splits = split(size * size, split_seed, validation_share, test_share)
        self.network = backbones.build("mlp", (2,), 3 if colour else 1, hidden, depth)
        for layer in self.network.modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()  # the kinks lie anywhere; with biases of 0 all would pass through the middle
        self.example_input_array = self._coordinates[self._splits.train[:4]]
        self.squared_error = MeanMetric()

    def forward(self, x: Tensor) -> Tensor:
        """Return the intensities at coordinates, which may lie between pixels."""
        return cast(Tensor, (1 + self.network(x)) / 2)

    def train_dataloader(self) -> TensorLoader:
        """Return the training split in shuffled batches."""
        return self._batches(self._splits.train, self.hparams["batch_size"], shuffle=True)

    def val_dataloader(self) -> TensorLoader:
        """Return the validation split."""
        return self._batches(self._splits.validation, 4096)

    def test_dataloader(self) -> TensorLoader:
        """Return the test split, which neither training nor validation touches."""
        return self._batches(self._splits.test, 4096)

    def _batches(self, rows: Tensor, batch_size: int, shuffle: bool = False) -> TensorLoader:
        return TensorLoader(
            self._coordinates[rows], self._intensities[rows], batch_size=batch_size, shuffle=shuffle
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the mean squared error of a batch.

        Nothing is logged here, which would cost more than the step.
        """
        x, y = batch
        return F.mse_loss(self(x), y)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a batch in."""
        self._count(batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a batch in."""
        self._count(batch)

    def _count(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        self.squared_error.update((self(x) - y).square())

    def on_validation_epoch_end(self) -> None:
        """Log ``val_loss`` and ``val_psnr``."""
        self._log_counts("val")

    def on_test_epoch_end(self) -> None:
        """Log ``test_loss`` and ``test_psnr``."""
        self._log_counts("test")

    def _log_counts(self, part: str) -> None:
        error = self.squared_error.compute()
        self.log_dict({f"{part}_loss": error, f"{part}_psnr": psnr(error)}, prog_bar=True)
        self.squared_error.reset()

    def configure_optimizers(self) -> Any:
        """Return AdamW, its rate falling along a cosine over the epochs of training."""
        # The fused kernel unscales gradients by itself, which Lightning does not allow with float16
        # and clipping.
        fused = self.device.type in ("cpu", "cuda", "mps", "xpu") and not str(
            self.trainer.precision
        ).startswith("16")
        groups = parameter_groups(
            self, lr=self.hparams["lr"], weight_decay=self.hparams["weight_decay"]
        )
        optimizer = torch.optim.AdamW(groups, fused=fused)
        if (self.trainer.max_epochs or 0) < 1:
            return optimizer
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=self.trainer.max_epochs or 1
        )
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    @torch.no_grad()
    def drawn(self) -> Tensor:
        """Return the network's picture ``(size, size, C)``, at every pixel, those it was fitted to included."""
        parts = [self(x.to(self.device)).cpu() for x in self._coordinates.split(4096)]
        return torch.cat(parts).view(self._picture.shape)

    def pictures(self, folder: Path) -> None:
        """Write the photograph, the network's picture of it, and where they differ."""
        from ._pictures import DPI, new_figure

        drawn = self.drawn()
        difference = (drawn - self._picture).abs().mean(2)
        rows = self._splits.validation
        found = psnr(F.mse_loss(drawn.flatten(0, 1)[rows], self._intensities[rows]))
        figure, axes = new_figure(1, 3, size=3.2)
        for ax, picture in zip(axes[0], (self._picture, drawn.clamp(0, 1)), strict=False):
            ax.imshow(picture.expand(-1, -1, 3).numpy())
        axes[0, 2].imshow(difference.numpy(), cmap="magma", vmin=0, vmax=0.5)
        titles = (
            "photograph",
            f"network: {found:.1f} dB in validation",
            f"|error|: mean {difference.mean():.3f}, white: 0.5",
        )
        for ax, title in zip(axes[0], titles, strict=True):
            ax.axis("off")
            ax.set_title(title, fontsize=10)
        figure.savefig(folder / "picture.png", dpi=DPI)


def psnr(error: Tensor) -> Tensor:
    r"""Return the peak signal-to-noise ratio in dB of a mean squared error, :math:`-10 \log_{10} L`, of peak 1."""
    return -10 * error.log10()


@cache
def load(image: str, size: int, colour: bool = False) -> Tensor:
    """Return a picture ``(size, size, C)`` with intensities in [0, 1].

    Read once a process, so leave it as it is.

    Args:
        image: ``china``, ``flower``, or a picture file that Pillow reads, of 8 bits a channel.
        size: pixels of a side, at most those of the picture's shorter one.
        colour: whether it has three channels rather than its luma (ITU-R 601).

    Raises:
        UnknownNameError: neither a known name nor a file.
        InvalidValueError: a file that is no such picture, or a picture smaller than ``size``.
    """
    from PIL import Image, ImageOps

    if image in SAMPLES:
        from sklearn.datasets import load_sample_image

        found: Image.Image = Image.fromarray(load_sample_image(f"{image}.jpg"))
    elif not Path(image).expanduser().is_file():
        raise UnknownNameError.among("image", image, SAMPLES, "Or a picture file.")
    else:
        try:
            with Image.open(Path(image).expanduser()) as file:
                found = ImageOps.exif_transpose(file)  # a copy, whose pixels are read
        except (
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
        ) as error:  # Pillow's, by format
            reason = str(error).splitlines()[0]
            raise InvalidValueError(
                f"image must be a picture that Pillow reads, but got {image!r}: {reason}."
            ) from None
    if found.mode[0] in "IF":
        raise InvalidValueError(
            f"image must have 8 bits a channel, but got {image!r} of mode {found.mode}. Convert it"
            " to an 8-bit file."
        )
    side = min(found.size)
    if size > side:
        raise InvalidValueError(
            f"size must be at most the picture's {side} pixels, but got {size}."
        )
    left, top = (found.width - side) // 2, (found.height - side) // 2
    square = found.convert("RGB" if colour else "L").resize(
        (size, size), Image.Resampling.BOX, box=(left, top, left + side, top + side)
    )
    return torch.from_numpy(np.asarray(square, dtype=np.float32) / 255).view(size, size, -1)
