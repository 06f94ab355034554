"""Coordinate networks: a picture as a function of where one looks.

The network is fitted to some pixels and judged on others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from actsearch.task.options import (
    Interval,
    NonNegativeFloat,
    OpenUnitInterval,
    PositiveFloat,
    PositiveInt,
)
from actsearch.task.pictures import DPI, new_figure
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split

from .data import photographs
from .nets.layers import Layout
from .nets.perceptron import MLP


class Coordinate(TensorTask):
    r"""A photograph as a coordinate network, fitted by the squared error.

    Also called an implicit neural representation.

    .. math:: f(x) = \frac{1 + g(x)}{2}, \qquad
              L = \frac{1}{NC} \sum_n \lVert f(x_n) - y_n \rVert^2,
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
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, or a picture that cannot be read.

    References:
        Implicit Neural Representations with Periodic Activation Functions, V. Sitzmann, J. Martel,
        A. Bergman, D. Lindell and G. Wetzstein, 2020, https://arxiv.org/abs/2006.09661
        On the Spectral Bias of Neural Networks, N. Rahaman, A. Baratin, D. Arpit, F. Draxler,
        M. Lin, F. Hamprecht, Y. Bengio and A. Courville, 2019, https://arxiv.org/abs/1806.08734
    """

    monitor = "val_psnr"
    mode = "max"
    test_metric = "test_psnr"
    space = "general"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 30}
    eval_batch_size = 4096
    least_batch = 1

    def __init__(
        self,
        image: str = "china",
        size: Annotated[int, Interval(4)] = 64,
        colour: bool = False,
        hidden: PositiveInt = 64,
        depth: PositiveInt = 3,
        scale: PositiveFloat = 3.0,
        batch_size: PositiveInt = 256,
        lr: PositiveFloat = 0.01,
        weight_decay: NonNegativeFloat = 0.0,
        validation_share: OpenUnitInterval = 0.25,
        test_share: OpenUnitInterval = 0.25,
        **options: Any,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            validation_share=validation_share,
            test_share=test_share,
            **options,
        )
        self.picture = photographs.load_photograph(image, size, colour)
        coordinates = torch.cartesian_prod(*[torch.linspace(-scale, scale, size)] * 2)
        self.hold(coordinates, self.picture.flatten(0, 1).clone())
        self.network = MLP(2, self.picture.shape[2], Layout(hidden, depth))
        for layer in self.network.modules():
            if isinstance(layer, nn.Linear):
                # The kinks lie anywhere; with biases of 0 all would pass through the middle.
                layer.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Return the intensities at coordinates, which may lie between pixels."""
        return cast(Tensor, (1 + self.network(x)) / 2)

    @override
    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return F.mse_loss(self(x), y)

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        x, y = batch
        return {"loss": (self(x) - y).square()}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"psnr": psnr(means["loss"])}

    @torch.no_grad()
    def drawn(self) -> Tensor:
        """Return the network's picture ``(size, size, C)``, at every pixel."""
        batches = self.tensors[0].split(self.eval_batch_size)
        parts = [self(x.to(self.device)).cpu() for x in batches]
        return torch.cat(parts).view(self.picture.shape)

    @override
    def pictures(self, folder: Path) -> None:
        """Write the photograph, the network's picture of it, and where they differ."""
        drawn = self.drawn()
        difference = (drawn - self.picture).abs().mean(2)
        rows = self.splits.val
        found = psnr(F.mse_loss(drawn.flatten(0, 1)[rows], self.tensors[1][rows]))
        figure, axes = new_figure(1, 3, size=3.2)
        for ax, picture in zip(axes[0], (self.picture, drawn.clamp(0, 1)), strict=False):
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
    r"""Return the peak signal-to-noise ratio in dB of a mean squared error, of peak 1.

    .. math:: -10 \log_{10} L
    """
    return -10 * error.log10()
