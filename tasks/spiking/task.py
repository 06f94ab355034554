"""Classification by a spiking network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from actsearch.errors import InvalidValueError
from actsearch.task.options import ClosedUnitInterval, PositiveFloat, PositiveInt
from actsearch.task.tensor_task import Schedule, TensorTask
from actsearch.task.tensors import Batch

from ..data import images
from .encoding import SpikeEncoding, encode, intensities, read_events
from .network import SpikingNetwork
from .pictures import gradient_over_time, spike_raster, surrogate_curves


class Spiking(TensorTask):
    r"""Classification by leaky integrate-and-fire neurons.

    The searched activation is each layer's surrogate gradient.

    .. math:: u_t = \beta u_{t-1} + W x_t + b - \theta s_{t-1}, \quad s_t = \Theta(u_t - \theta)

    The forward pass is the Heaviside step exactly, whatever stands at a site; the backward pass
    replaces its derivative (0 almost everywhere) by the surrogate's. A surrogate's sharpness has no
    effect on the loss at given weights, so a learned one follows the gradient of the soft step, not
    of the loss. The readout integrates without firing, and the loss is the cross-entropy of its
    mean potential over time. The baseline is the arc tangent, snnTorch's default.

    Logged once an epoch: ``val_loss``, ``val_accuracy``, ``val_spikes`` (spikes per sample of all
    layers, which an event-driven chip's energy grows with), and of each layer ``spikes/layer_1``,
    ``silent/layer_1`` (share of neurons that no validation sample made fire) and
    ``gradient_norm/layer_1``. Two objectives give a Pareto front: ``--objective
    '[val_accuracy:max,val_spikes:min]'``.

    Shapes:
        input ``(N, T, D)``, output logits ``(N, classes)``.

    Args:
        data: ``digits``, ``iris``, ``wine``, ``breast_cancer``, ``openml:NAME``,
            ``torchvision:NAME``, an ``.npz`` file of images and labels, or one of event data:
            arrays spikes (samples, time steps, ...) and labels.
        data_home: folder of downloaded data, where the set has one.
        encoding: how intensities become spikes: ``rate`` (the default), ``latency`` or ``direct``;
            none for event data.
        steps: time steps T of the encoding, at least 1; 16 by default, none for event data.
        decay: membrane decay :math:`\beta` per time step, in [0, 1].
        threshold: firing threshold :math:`\theta`, above 0.
        hidden: neurons of a layer, at least 1.
        depth: spiking layers, at least 1.
        batch_size: samples of a training step, at least 1.
        lr: learning rate of AdamW, above 0.
        schedule: ``constant`` learning rate, or ``cosine`` down to 0 over the epochs of training.
        log_time_steps: whether each validation also logs the gradient norm of every layer at every
            time step (``gradient_norm/layer_1/step_01``).
        **options: those of every :class:`TensorTask`.

    Raises:
        ActsearchError: an option out of its range, or data that cannot be read.

    References:
        Surrogate Gradient Learning in Spiking Neural Networks, E. Neftci, H. Mostafa and F. Zenke,
        2019, https://arxiv.org/abs/1901.09948
    """

    monitor = "val_accuracy"
    mode = "max"
    test_metric = "test_accuracy"
    space = "surrogates"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 20}
    eval_batch_size = 512
    least_batch = 1

    def __init__(
        self,
        data: str = "digits",
        data_home: str | None = None,
        encoding: SpikeEncoding | None = None,
        steps: PositiveInt | None = None,
        decay: ClosedUnitInterval = 0.9,
        threshold: PositiveFloat = 1.0,
        hidden: PositiveInt = 128,
        depth: PositiveInt = 2,
        batch_size: PositiveInt = 64,
        lr: PositiveFloat = 2e-3,
        schedule: Schedule = "cosine",
        log_time_steps: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, lr=lr, **options)
        self.schedule = schedule
        events = read_events(data) if data.endswith(".npz") else None
        if events is not None and (encoding is not None or steps is not None):
            raise InvalidValueError(
                "event data must have no encoding and no steps, being spikes already, but got"
                f" {encoding=}, {steps=}."
            )
        found = events or images.load_labelled(data, data_home)
        self.classes = found.classes
        self.steps = found.x.shape[1] if events else steps or 16
        self.encoding = None if events else encoding or "rate"
        labels = torch.from_numpy(found.y)
        scale = None if events else intensities
        self.hold(torch.from_numpy(found.x), labels, stratify=labels, scale=scale)
        inputs = self.tensors[0]
        self.network = SpikingNetwork(
            inputs.shape[-1], hidden, depth, len(found.classes), decay, threshold
        )
        self.example_input_array = self.encode(inputs[self.splits.train[:4]], seed=0)
        self._spikes: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of spike trains."""
        return cast(Tensor, self.network(x))

    def encode(self, x: Tensor, seed: int | None = None) -> Tensor:
        """Return inputs as trains ``(N, T, D)``.

        With a seed, the same train whenever it is called.
        """
        if self.encoding is None:
            return x
        generator = None if seed is None else torch.Generator(x.device).manual_seed(seed)
        return encode(x, self.encoding, self.steps, generator)

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits of a batch of inputs, always encoded alike, for measures."""
        return self.forward(self.encode(batch[0], seed=0))

    def embed(self, x: Tensor) -> Tensor:
        """Return the firing rates ``(N, D)`` of the last hidden layer for inputs."""
        return self.network.run(self.encode(x, seed=0)).spikes[-1].mean(0)

    @override
    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return F.cross_entropy(self(self.encode(x)), y)

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch
        super().validation_step((self.encode(x, seed=batch_idx), y), batch_idx)

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch
        super().test_step((self.encode(x, seed=batch_idx), y), batch_idx)

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        trains, y = batch
        activity = self.network.run(trains)
        self._spikes.append(torch.stack([spikes.sum((0, 1)) for spikes in activity.spikes]))
        return {
            "loss": F.cross_entropy(activity.logits, y, reduction="none"),
            "accuracy": (activity.logits.argmax(1) == y).float(),
            "spikes": torch.stack([spikes.sum((0, 2)) for spikes in activity.spikes]).sum(0),
        }

    @override
    def on_validation_epoch_start(self) -> None:
        self._spikes.clear()

    @override
    def on_validation_epoch_end(self) -> None:
        """Log also how often each layer fired, and the gradient's norm in it."""
        super().on_validation_epoch_end()
        counts = torch.stack(self._spikes).sum(0)
        flow = self.gradient_flow().square().sum(-1).sqrt()
        for name, count, steps in zip(self.network.layers, counts, flow, strict=True):
            self.log(f"spikes/{name}", count.sum() / len(self.splits.val))
            self.log(f"silent/{name}", (count == 0).float().mean())
            self.log(f"gradient_norm/{name}", steps.square().sum().sqrt())
            if self.hparams["log_time_steps"]:
                width = len(str(self.steps))
                for step, norm in enumerate(steps, 1):
                    self.log(f"gradient_norm/{name}/step_{step:0{width}}", norm)

    def gradient_flow(self) -> Tensor:
        r"""Return :math:`\partial L / \partial u_t` on a training batch.

        Shapes:
            output: layers × time steps × (samples × neurons).
        """
        with torch.inference_mode(False), torch.enable_grad():
            x, y = (rows[: self.batch_size].to(self.device) for rows in self.select("train"))
            activity = self.network.run(self.encode(x, seed=0))
            loss = F.cross_entropy(activity.logits, y)
            # The current enters the potential with factor 1, so its gradient is that of the
            # potential.
            return torch.stack([g.flatten(1) for g in torch.autograd.grad(loss, activity.currents)])

    @override
    def pictures(self, folder: Path) -> None:
        """Write a spike raster, each layer's surrogate, and the gradient over time."""
        network = self.network
        train = self.encode(self.select("val")[0][:1].to(self.device), seed=0)
        with torch.no_grad():
            spikes = network.run(train).spikes
        trains = [train[0].cpu(), *(s[:, 0].cpu() for s in spikes)]
        spike_raster(folder / "spike_raster.png", trains, network.layers)
        sites = [network.get_submodule(f"{name}.surrogate") for name in network.layers]
        surrogate_curves(folder / "surrogates.png", sites, network.layers)
        norms = self.gradient_flow().norm(dim=-1).detach().cpu()
        gradient_over_time(folder / "gradient.png", norms, network.layers)
