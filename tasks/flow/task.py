"""Density estimation by a normalizing flow."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

import torch
from torch import Tensor
from typing_extensions import override

from actsearch.task.options import (
    Interval,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from actsearch.task.pictures import density_map, scatter_pair
from actsearch.task.tensor_task import TensorTask
from actsearch.task.tensors import Batch, Split, standardise

from ..data import densities
from .architectures import Architecture, Conditioner, Mixing, Univariate, build_flow


class Flow(TensorTask):
    r"""Density estimation by a normalizing flow, trained by maximum likelihood.

    .. math:: \log p(x) = \log N(f(x); 0, I) + \log\left|\det \frac{\partial f}{\partial x}\right|

    Rows are standardised with the mean and deviation of the training split; every density is that
    of the standardised rows.

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
        split_seed: seed of the drawn points and of the splits.
        **options: those of every :class:`TensorTask`.

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
    eval_batch_size = 4096
    least_batch = 1

    def __init__(
        self,
        data: str = "two_moons",
        samples: Annotated[int, Interval(50)] = 5000,
        architecture: Architecture = "linear",
        depth: PositiveInt | None = None,
        mixing: Mixing = "lu",
        hidden: PositiveInt = 64,
        layers: PositiveInt = 2,
        univariate: Univariate = "affine",
        bins: Annotated[int, Interval(2)] = 8,
        bijection_sites: bool = False,
        batch_size: PositiveInt = 256,
        lr: PositiveFloat | None = None,
        weight_decay: NonNegativeFloat = 0.0,
        split_seed: NonNegativeInt = 0,
        **options: Any,
    ) -> None:
        usual_depth, usual_lr = (8, 1e-2) if architecture == "linear" else (3, 3e-3)
        super().__init__(
            batch_size=batch_size,
            lr=usual_lr if lr is None else lr,
            weight_decay=weight_decay,
            split_seed=split_seed,
            **options,
        )
        rows = densities.load_rows(data, samples, split_seed)
        self.hold(rows, scale=standardise)
        conditioner = Conditioner(hidden, layers, univariate, bins)
        self.flow = build_flow(
            architecture, rows.shape[1], depth or usual_depth, mixing, conditioner, bijection_sites
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the log-density of every row, in nats."""
        return cast(Tensor, self.flow(x))

    @override
    def loss(self, batch: Batch) -> Tensor:
        return cast(Tensor, -self(batch[0]).mean())

    @override
    def score(self, batch: Batch) -> dict[str, Tensor]:
        return {"log_likelihood": self(batch[0])}

    @override
    def figures(self, part: Split, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        loss = -means["log_likelihood"]
        bits = loss / (math.log(2) * self.tensors[0].shape[1])
        return {"loss": loss, "bits_per_dimension": bits}

    @override
    def on_test_epoch_end(self) -> None:
        """Log also how exact and how fast the flow is."""
        super().on_test_epoch_end()
        x = self.select("test")[0][:256].to(self.device)
        self.log("round_trip_error", self.round_trip_error(x))
        self.log("log_det_error", self.log_det_error(x))
        start = time.perf_counter()
        self.sample(4096)
        self.log("samples_per_second", 4096 / (time.perf_counter() - start))

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
        """Return the largest difference of log-determinants, the flow's and autograd's."""
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().requires_grad_()
            y, log_det = self.flow.distribution().transform.call_and_ladj(x)
            rows = [
                torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0]
                for i in range(y.shape[1])
            ]
            jacobian = torch.stack(rows, 1).double()
        return float((torch.linalg.slogdet(jacobian).logabsdet - log_det).detach().abs().max())

    @override
    @torch.no_grad()
    def pictures(self, folder: Path) -> None:
        """Write samples beside validation rows, and in the plane the density."""
        (actual,) = self.select("val")
        drawn = self.sample(len(actual)).cpu()
        scatter_pair(
            folder / "samples.png",
            actual[:, :2],
            drawn[:, :2],
            ("validation rows", "samples of the flow"),
        )
        if actual.shape[1] == 2:
            density_map(folder / "density.png", lambda x: self(x.to(self.device)).cpu(), actual)
