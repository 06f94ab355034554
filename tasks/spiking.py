"""Spiking networks trained through surrogate gradients: which surrogate belongs to which layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from actsearch.errors import InvalidValueError
from actsearch.placement.optimiser import parameter_groups
from actsearch.task.task import Task

from . import _images as images
from ._loader import TensorLoader, split
from ._options import at_least, between, one_of
from ._spiking_codes import Encoding, encode, intensities, read_events
from ._spiking_network import SpikingNetwork


class Spiking(Task):
    r"""Classification by leaky integrate-and-fire neurons.

    The searched activation is each layer's surrogate gradient.

    .. math:: u_t = \beta u_{t-1} + W x_t + b - \theta s_{t-1}, \quad s_t = \Theta(u_t - \theta)

    The forward pass is the Heaviside step exactly, whatever stands at a site; the backward pass replaces its derivative
    (0 almost everywhere) by the surrogate's. A surrogate's sharpness has no effect on the loss at given weights, so a
    learned one follows the gradient of the soft step, not of the loss. The readout integrates without firing, and the
    loss is the cross-entropy of its mean potential over time. The baseline is the arc tangent, snnTorch's default.

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
        weight_decay: decoupled weight decay, at least 0.
        schedule: ``constant`` learning rate, or ``cosine`` down to 0 over the epochs of training.
        validation_share: share of all samples for validation, in (0, 1).
        test_share: share of all samples for the test, in (0, 1).
        split_seed: seed of the splits.
        log_time_steps: whether each validation also logs the gradient norm of every layer at every
            time step (``gradient_norm/layer_1/step_01``).

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

    def __init__(
        self,
        data: str = "digits",
        data_home: str | None = None,
        encoding: Encoding | None = None,
        steps: int | None = None,
        decay: float = 0.9,
        threshold: float = 1.0,
        hidden: int = 128,
        depth: int = 2,
        batch_size: int = 64,
        lr: float = 2e-3,
        weight_decay: float = 0.01,
        schedule: Literal["constant", "cosine"] = "cosine",
        validation_share: float = 0.2,
        test_share: float = 0.2,
        split_seed: int = 0,
        log_time_steps: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("hidden", hidden), ("depth", depth), ("batch_size", batch_size)):
            at_least(name, value, 1, whole=True)
        if isinstance(decay, bool) or not 0 <= decay <= 1:
            raise InvalidValueError(f"decay must be between 0 and 1, but got {decay!r}.")
        between("threshold", threshold, 0, float("inf"))
        between("lr", lr, 0, float("inf"))
        at_least("weight_decay", weight_decay, 0)
        one_of("schedule", schedule, ("constant", "cosine"))
        self.save_hyperparameters()
        events = read_events(data) if data.endswith(".npz") else None
        found = events or images.load(data, data_home)
        self.classes = found.classes
        self._splits = split(len(found.y), split_seed, validation_share, test_share, found.y)
        self._labels = torch.from_numpy(found.y)
        if events is not None:
            if encoding is not None or steps is not None:
                given = {"encoding": encoding, "steps": steps}
                raise InvalidValueError(
                    "event data must have no encoding and no steps, being spikes already, but got"
                    f" {given}."
                )
            self._encoding: Encoding | None = None
            self.steps = found.x.shape[1]
            self._inputs = torch.from_numpy(found.x).nan_to_num(0.0)
        else:
            self._encoding = encoding or "rate"
            one_of("encoding", self._encoding, ("rate", "latency", "direct"))
            self.steps = 16 if steps is None else steps
            at_least("steps", self.steps, 1, whole=True)
            self._inputs = intensities(torch.from_numpy(found.x), self._splits.train)
        self.network = SpikingNetwork(
            self._inputs.shape[-1], hidden, depth, len(found.classes), decay, threshold
        )
        self.example_input_array = self.encode(self._inputs[self._splits.train[:4]], seed=0)
        self.loss = MeanMetric()
        self.accuracy = MulticlassAccuracy(len(found.classes), average="micro", validate_args=False)
        self._spikes: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of spike trains."""
        logits: Tensor = self.network(x)
        return logits

    def encode(self, x: Tensor, seed: int | None = None) -> Tensor:
        """Return inputs as trains ``(N, T, D)``.

        With a seed, the same train whenever it is called.
        """
        if self._encoding is None:
            return x
        generator = None if seed is None else torch.Generator(x.device).manual_seed(seed)
        return encode(x, self._encoding, self.steps, generator)

    def train_dataloader(self) -> TensorLoader:
        """Return the training split in shuffled batches."""
        return self._batches(self._splits.train, self.hparams["batch_size"], shuffle=True)

    def val_dataloader(self) -> TensorLoader:
        """Return the validation split."""
        return self._batches(self._splits.validation, 512)

    def test_dataloader(self) -> TensorLoader:
        """Return the test split, which neither training nor validation touches."""
        return self._batches(self._splits.test, 512)

    def _batches(self, rows: Tensor, batch_size: int, shuffle: bool = False) -> TensorLoader:
        return TensorLoader(
            self._inputs[rows], self._labels[rows], batch_size=batch_size, shuffle=shuffle
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the cross-entropy of a batch, encoded anew."""
        x, y = batch
        return F.cross_entropy(self(self.encode(x)), y)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a batch in."""
        self._count(batch, batch_idx)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a batch in."""
        self._count(batch, batch_idx)

    def _count(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        activity = self.network.run(self.encode(x, seed=batch_idx))
        self.loss.update(F.cross_entropy(activity.logits, y, reduction="none"))
        self.accuracy.update(activity.logits, y)
        self._spikes.append(torch.stack([spikes.sum((0, 1)) for spikes in activity.spikes]))

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of validation, and the gradient's norm in every layer."""
        counts = self._log_counts("val", len(self._splits.validation))
        flow = self.gradient_flow().square().sum(-1).sqrt()
        for name, count, steps in zip(self.network.layers, counts, flow, strict=True):
            self.log(f"spikes/{name}", count.sum() / len(self._splits.validation))
            self.log(f"silent/{name}", (count == 0).float().mean())
            self.log(f"gradient_norm/{name}", steps.square().sum().sqrt())
            if self.hparams["log_time_steps"]:
                width = len(str(self.steps))
                self.log_dict(
                    {
                        f"gradient_norm/{name}/step_{t + 1:0{width}}": norm
                        for t, norm in enumerate(steps)
                    }
                )

    def on_test_epoch_end(self) -> None:
        """Log ``test_loss``, ``test_accuracy`` and ``test_spikes``."""
        self._log_counts("test", len(self._splits.test))

    def _log_counts(self, part: str, samples: int) -> Tensor:
        """Log what was counted, and return how often each neuron of each layer fired."""
        counts = torch.stack(self._spikes).sum(0)
        self._spikes.clear()
        figures = {
            "loss": self.loss.compute(),
            "accuracy": self.accuracy.compute(),
            "spikes": counts.sum() / samples,
        }
        self.log_dict({f"{part}_{name}": value for name, value in figures.items()}, prog_bar=True)
        self.loss.reset()
        self.accuracy.reset()
        return counts

    def gradient_flow(self) -> Tensor:
        r"""Return :math:`\partial L / \partial u_t` on a training batch: layers × time steps × (samples × neurons)."""
        with torch.inference_mode(False), torch.enable_grad():
            rows = self._splits.train[: self.hparams["batch_size"]]
            activity = self.network.run(
                self.encode(self._inputs[rows].to(self.device).clone(), seed=0)
            )
            loss = F.cross_entropy(activity.logits, self._labels[rows].to(self.device))
            # The current enters the potential with factor 1, so its gradient is that of the
            # potential.
            return torch.stack([g.flatten(1) for g in torch.autograd.grad(loss, activity.currents)])

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
        """Write a spike raster of one validation sample, each layer's surrogate, and the gradient over time."""
        from ._spiking_pictures import gradient_over_time, spike_raster, surrogate_curves

        row = self._splits.validation[:1]
        train = self.encode(self._inputs[row].to(self.device), seed=0)
        with torch.no_grad():
            spikes = self.network.run(train).spikes
        spike_raster(
            folder / "spike_raster.png",
            [train[0].cpu(), *(s[:, 0].cpu() for s in spikes)],
            self.network.layers,
        )
        sites = [
            self.network.get_submodule(name).get_submodule("surrogate")
            for name in self.network.layers
        ]
        surrogate_curves(folder / "surrogates.png", sites, self.network.layers)
        gradient_over_time(
            folder / "gradient.png",
            self.gradient_flow().norm(dim=-1).detach().cpu(),
            self.network.layers,
        )
