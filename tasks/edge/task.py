"""Classification on a small device, by a network that is written to C."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.placement import find_sites
from actsearch.task.options import PositiveFloat, PositiveInt
from actsearch.task.pictures import evaluating
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split, standardise

from ..data.images import load_labelled
from .network import ByteConv2d, ByteLinear, convolutional_network, dense_network
from .pictures import draw_approximations


class Edge(TensorTask):
    r"""Classification of small images or tables, on a device that counts its cycles.

    Exact tanh, sigmoid and GELU call the mathematical library; the space has what approximates
    them by a few additions and multiplications. What a placement costs is the measure ``cost``,
    counted in the network's own C source, so two objectives give a Pareto front::

        actsearch search edge --objective '[val_accuracy:max,cost:min]' --measure '[footprint]'
        actsearch export edge-edge --to c        # one file of C99; --to onnx

    ``--measure.cost.unit cycles`` counts those of a Cortex-M4F, where a division takes 14, and
    ``latency`` runs the compiled source. Latency in PyTorch ranks the other way round: its tanh is
    one kernel, and a cheap form several.

    Logged in validation and test: ``loss``, ``accuracy``, and with ``quantise`` also
    ``quantisation_error``, the root mean square of what bytes change in the logits, over that of
    the logits.

    Own data: an ``.npz`` file with arrays x, rows or images, and y, classes.

    Shapes:
        input ``(N, C, H, W)`` or ``(N, D)``, output logits ``(N, classes)``.

    Args:
        data: ``digits``, ``iris``, ``wine``, ``breast_cancer``, or an ``.npz`` file.
        backbone: ``mlp``, or ``convolution``: two small ones and a dense layer, for images.
        hidden: units of a dense layer.
        depth: dense layers of ``mlp``.
        start: the exact activation that stands at each site before the search: its name or an
            expression.
        quantise: ``int8``: after training each weight matrix becomes bytes with one scale; sums and
            activations stay in float. (Where these were bytes too, every activation would be a
            table of 256 entries and cost the same.)
        batch_size: samples of a training step, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine.
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, or data that cannot be read.

    References:
        MCUNet: Tiny Deep Learning on IoT Devices, J. Lin et al., 2020,
        https://arxiv.org/abs/2007.10319
        TensorFlow Lite Micro: Embedded Machine Learning on TinyML Systems, R. David et al., 2021,
        https://arxiv.org/abs/2010.08678
    """

    monitor = "val_accuracy"
    mode = "max"
    test_metric = "test_accuracy"
    space = "edge"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 15}
    search_defaults: ClassVar[dict[str, Any]] = {"trials": 20, "confirm": 2, "seeds": 7}

    def __init__(
        self,
        data: str = "digits",
        backbone: Literal["mlp", "convolution"] = "mlp",
        hidden: PositiveInt = 32,
        depth: PositiveInt = 2,
        start: str = "tanh",
        quantise: Literal["none", "int8"] = "none",
        batch_size: PositiveInt = 32,
        lr: PositiveFloat = 3e-3,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, **options)
        found = load_labelled(data)
        shape, classes = found.x.shape[1:], len(found.classes)
        self.quantise = quantise
        linear = ByteLinear if quantise == "int8" else nn.Linear
        if backbone == "mlp":
            inputs = int(torch.tensor(shape).prod())
            self.network = dense_network(inputs, classes, hidden, depth, start, linear)
        else:
            if len(shape) != 3 or min(shape[1:]) < 4:
                raise InvalidValueError(
                    f"convolution must be given images of at least 4×4, but got inputs of shape"
                    f" {shape}. Use mlp."
                )
            convolution = ByteConv2d if quantise == "int8" else nn.Conv2d
            self.network = convolutional_network(shape, classes, hidden, start, convolution, linear)
        labels = torch.from_numpy(found.y)
        self.hold(torch.from_numpy(found.x), labels, stratify=labels, scale=standardise)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return cast(Tensor, self.network(x))

    @override
    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return F.cross_entropy(self(x), y)

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        x, y = batch
        logits = self(x)
        hit = (logits.argmax(1) == y).float()
        return {"loss": F.cross_entropy(logits, y, reduction="none"), "accuracy": hit}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> Mapping[str, Any]:
        if self.quantise == "none":
            return {}
        x = self.select(part)[0].to(self.device)
        with torch.no_grad(), evaluating(self):
            in_bytes = self(x)
            self._of_bytes(False)
            exact = self(x)
            self._of_bytes(True)
        return {"quantisation_error": (in_bytes - exact).norm() / exact.norm()}

    def _of_bytes(self, in_bytes: bool) -> None:
        for layer in self.modules():
            if isinstance(layer, (ByteLinear, ByteConv2d)):
                layer.in_bytes = in_bytes

    @override
    def pictures(self, folder: Path) -> None:
        """Write what each approximation of the space errs by, over what it costs in C.

        Those that the network has are marked.
        """
        sites = find_sites(self, self.example_input_array)
        draw_approximations(folder / "approximations.png", {site.activation for site in sites})
