"""Normalizing flows: exact density estimation whose nonlinearity is searched."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from actsearch.placement.optimiser import parameter_groups
from actsearch.task.task import Task

from . import _densities as densities
from . import _flows as flows
from ._flows import Architecture, Mixing, Univariate
from ._loader import TensorLoader, split, standardise
from ._options import at_least, between


class Flow(Task):
    r"""Density estimation by a normalizing flow, trained by maximum likelihood.

    .. math:: \log p(x) = \log N(f(x); 0, I) + \log\left|\det \frac{\partial f}{\partial x}\right|

    Rows are standardised with the mean and deviation of the training split; every density is that of the standardised
    rows.

    Logged in validation: ``val_log_likelihood`` (nats), ``val_loss`` (its negative) and
    ``val_bits_per_dimension`` (:math:`-\log_2 p(x) / D`); the same in test, and there also
    ``round_trip_error`` (largest :math:`|f^{-1}(f(x)) - x|`), ``log_det_error`` (largest difference
    to the log-determinant of the Jacobian by automatic differentiation) and ``samples_per_second``.

    The site of an elementwise bijection requires one that is onto the whole real line: through a
    bounded one the density would not integrate to 1.

    Shapes:
        input ``(N, D)``, output log-density ``(N,)``.

    Args:
        data: ``two_moons``, ``rings`` or ``checkerboard``; or a table, ``iris``, ``wine``,
            ``breast_cancer`` or ``diabetes``, without its labels and without columns of fewer than
            10 distinct values.
        samples: points to draw of a shape, for all three splits together, at least 50.
        architecture: ``linear`` alternates linear maps with the searched bijection; ``coupling``
            and ``autoregressive`` transform each feature by a function whose parameters a
            conditioner, a network with the searched activation, computes from other features.
        depth: number of steps, at least 1; 8 (linear) or 3 where not given.
        mixing: linear: ``lu`` or ``rotation`` maps.
        hidden: coupling, autoregressive: units of a conditioner's layer, at least 1.
        layers: coupling, autoregressive: hidden layers of a conditioner, at least 1.
        univariate: coupling, autoregressive: ``affine`` or rational-quadratic ``spline`` function
            of each feature.
        bins: bins of the spline, at least 2.
        bijection_sites: coupling, autoregressive: whether a site for an elementwise bijection
            follows each step, with ``identity`` in it at first.
        batch_size: rows of a training step, at least 1.
        lr: learning rate :math:`\eta` of AdamW, above 0; it falls to 0 along a cosine; 0.01
            (linear) or 0.003 where not given.
        weight_decay: decoupled weight decay :math:`\lambda`, at least 0.
        validation_share: share of all rows for validation, in (0, 1).
        test_share: share of all rows for the test, in (0, 1).
        split_seed: seed of the drawn points and of the splits.

    Raises:
        ActsearchError: an option out of its range, or data that does not exist.

    References:
        Normalizing Flows for Probabilistic Modeling and Inference, G. Papamakarios, E. Nalisnick,
        D. Rezende, S. Mohamed and B. Lakshminarayanan, 2021, https://arxiv.org/abs/1912.02762
        Neural Spline Flows, C. Durkan, A. Bekasov, I. Murray and G. Papamakarios, 2019,
        https://arxiv.org/abs/1906.04032
    """

    monitor = "val_log_likelihood"
    mode = "max"
    test_metric = "test_log_likelihood"
    space = "bijections"
    trainer_defaults: ClassVar[dict[str, Any]] = {"max_epochs": 60, "gradient_clip_val": 5.0}

    def __init__(
        self,
        data: str = "two_moons",
        samples: int = 5000,
        architecture: Architecture = "linear",
        depth: int | None = None,
        mixing: Mixing = "lu",
        hidden: int = 64,
        layers: int = 2,
        univariate: Univariate = "affine",
        bins: int = 8,
        bijection_sites: bool = False,
        batch_size: int = 256,
        lr: float | None = None,
        weight_decay: float = 0.0,
        validation_share: float = 0.2,
        test_share: float = 0.2,
        split_seed: int = 0,
    ) -> None:
        super().__init__()
        at_least("batch_size", batch_size, 1, whole=True)
        rate = (1e-2 if architecture == "linear" else 3e-3) if lr is None else lr
        between("lr", rate, 0, float("inf"))
        at_least("weight_decay", weight_decay, 0)
        self.save_hyperparameters()
        self.rate = rate
        rows = densities.load(data, samples, split_seed)
        self._splits = split(len(rows), split_seed, validation_share, test_share)
        self._rows = standardise(rows, self._splits.train)
        self.flow = flows.build(
            architecture, rows.shape[1], (8 if architecture == "linear" else 3) if depth is None else depth, hidden,
            layers, mixing, univariate, bins, bijection_sites,
        )  # fmt: skip
        self.example_input_array = self._rows[self._splits.train[:4]]
        self.log_likelihood = MeanMetric()

    def forward(self, x: Tensor) -> Tensor:
        """Return the log-density of every row, in nats."""
        return cast(Tensor, self.flow(x))

    def train_dataloader(self) -> TensorLoader:
        """Return the training split in shuffled batches."""
        return TensorLoader(
            self._rows[self._splits.train], batch_size=self.hparams["batch_size"], shuffle=True
        )

    def val_dataloader(self) -> TensorLoader:
        """Return the validation split."""
        return TensorLoader(self._rows[self._splits.validation], batch_size=4096)

    def test_dataloader(self) -> TensorLoader:
        """Return the test split, which neither training nor validation touches."""
        return TensorLoader(self._rows[self._splits.test], batch_size=4096)

    def training_step(self, batch: tuple[Tensor], batch_idx: int) -> Tensor:
        """Return the mean negative log-likelihood of a batch.

        Nothing is logged here, which would cost time.
        """
        return cast(Tensor, -self(batch[0]).mean())

    def validation_step(self, batch: tuple[Tensor], batch_idx: int) -> None:
        """Count a batch in."""
        self.log_likelihood.update(self(batch[0]))

    def test_step(self, batch: tuple[Tensor], batch_idx: int) -> None:
        """Count a batch in."""
        self.log_likelihood.update(self(batch[0]))

    def on_validation_epoch_end(self) -> None:
        """Log the likelihood of the validation split."""
        self._log_likelihood("val")

    def on_test_epoch_end(self) -> None:
        """Log the likelihood of the test split, and how exact and how fast the flow is."""
        self._log_likelihood("test")
        x = self._rows[self._splits.test[:256]].to(self.device)
        self.log("round_trip_error", self.round_trip_error(x))
        self.log("log_det_error", self.log_det_error(x))
        start = time.perf_counter()
        self.sample(4096)
        self.log("samples_per_second", 4096 / (time.perf_counter() - start))

    def _log_likelihood(self, part: str) -> None:
        mean = self.log_likelihood.compute()
        bits = -mean / (math.log(2) * self._rows.shape[1])
        self.log_dict({f"{part}_log_likelihood": mean, f"{part}_loss": -mean}, prog_bar=True)
        self.log(f"{part}_bits_per_dimension", bits)
        self.log_likelihood.reset()

    def configure_optimizers(self) -> Any:
        """Return AdamW, its rate falling along a cosine over the epochs of training."""
        # The fused kernel unscales gradients by itself, which Lightning does not allow with float16
        # and clipping.
        fused = self.device.type in ("cpu", "cuda", "mps", "xpu") and not str(
            self.trainer.precision
        ).startswith("16")
        groups = parameter_groups(self, lr=self.rate, weight_decay=self.hparams["weight_decay"])
        optimizer = torch.optim.AdamW(groups, fused=fused)
        if (self.trainer.max_epochs or 0) < 1:
            return optimizer
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=self.trainer.max_epochs or 1
        )
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Draw ``count`` standardised rows from the flow."""
        return cast(Tensor, self.flow.distribution().sample((count,)))

    @torch.no_grad()
    def round_trip_error(self, x: Tensor) -> float:
        """Return the largest difference between x and the inverse of the flow at f(x)."""
        transform = self.flow.distribution().transform
        return float((transform.inv(transform(x)) - x).abs().max())

    def log_det_error(self, x: Tensor) -> float:
        """Return the largest difference between the flow's log-determinant and that of the Jacobian by autograd."""
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().requires_grad_()
            y, log_det = self.flow.distribution().transform.call_and_ladj(x)
            rows = [
                torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0]
                for i in range(y.shape[1])
            ]
            jacobian = torch.stack(rows, 1).double()
        return float((torch.linalg.slogdet(jacobian).logabsdet - log_det).detach().abs().max())

    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write samples beside validation rows, and in the plane the density."""
        from ._pictures import density_map, scatter_pair

        actual = self._rows[self._splits.validation]
        drawn = self.sample(len(actual)).cpu()
        scatter_pair(
            folder / "samples.png",
            actual[:, :2],
            drawn[:, :2],
            ("validation rows", "samples of the flow"),
        )
        if actual.shape[1] == 2:
            density_map(folder / "density.png", lambda x: self(x.to(self.device)).cpu(), actual)
