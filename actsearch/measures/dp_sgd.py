"""DP-SGD: training that tells next to nothing of any single sample."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.utils._pytree import tree_map

from actsearch.errors import InvalidValueError, TaskError
from actsearch.measures.batch import rows
from actsearch.measures.functional.sample_gradients import Loss, sample_gradients


@dataclass(frozen=True)
class PrivacyBudget:
    r"""What a training may tell of any sample.

    Whether it is among the data or not changes the probability p of any outcome to
    :math:`e^\varepsilon p + \delta` at most.

    Args:
        epsilon: ε, above 0.
        delta: δ, above 0 and below 1/N, of N training rows; 1/(2N) where not given.
        clip: C, the norm to which the gradient of each sample is clipped, above 0.
    """

    epsilon: float
    delta: float | None = None
    clip: float = 1.0

    def delta_among(self, count: int) -> float:
        """Return δ for so many training rows.

        Raises:
            InvalidValueError: an option out of its range.
        """
        for name, value in (("epsilon", self.epsilon), ("clip", self.clip)):
            if not 0 < value < math.inf:
                raise InvalidValueError(
                    f"{name} of privacy must be a finite number above 0, but got {value!r}."
                )
        delta = 1 / (2 * count) if self.delta is None else self.delta
        if not 0 < delta < 1 / count:
            raise InvalidValueError(
                f"delta of privacy must be above 0 and below 1/N, {1 / count:.3g} of {count} rows,"
                f" but got {delta!r}. Otherwise a whole row may be told."
            )
        return delta


class PoissonLoader:
    """Draw batches as the accountant counts on: each row is in each with the same probability.

    So their sizes differ, and a batch may be empty. The generator is seeded from torch's seed when
    the loader is built.

    Args:
        data: nested tensors that are aligned by their first dimension.
        batch_size: rows of a batch, in the mean.

    >>> loader = PoissonLoader((torch.arange(60.0),), batch_size=20)
    >>> len(loader), len({len(x) for (x,) in loader}) > 1
    (3, True)
    """

    def __init__(self, data: Any, batch_size: int) -> None:
        self.data = data
        self.rows = rows(data)
        self.batch_size = min(batch_size, self.rows)
        self._generator = torch.Generator().manual_seed(torch.initial_seed() % 2**63)

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        for _ in range(len(self)):
            drawn = torch.rand(self.rows, generator=self._generator) < self.batch_size / self.rows
            yield tree_map(lambda tensor, drawn=drawn: tensor[drawn.to(tensor.device)], self.data)


class DPSGD:
    r"""The steps of a private training: of each sample's gradient a part that noise covers.

    .. math::
        g = \frac{1}{qN} \left( \sum_{n \in B} g_n \min\left(1, \frac{C}{\|g_n\|}\right)
        + \mathcal N(0, \sigma^2 C^2 I) \right)

    over a batch B that each of N rows is in with probability q. The noise σ is the least that keeps
    ε over all steps, by the accountant of privacy loss variables. It depends on q, δ and the number
    of steps alone, never on the model: a bounded activation does not need less noise, it loses less
    by clipping.

    The guarantee is of this training. A scale that the data had set before, the choice among
    several trainings, and who knows the seed that the noise is drawn with, are outside of it.

    Args:
        optimizer: makes the steps; it holds the parameters that are learned.
        budget: ε, δ and C.
        count: N, the training rows.
        batch_size: qN, as a :class:`PoissonLoader` draws.
        steps: in all.

    Attributes:
        optimizer: the given one behind clipping and noise; to be stepped after each :meth:`take`.
        noise: σ.
        delta: δ.
        steps: in all.

    Raises:
        InvalidValueError: δ that is not below 1/N, or steps without an end.
        TaskError: Opacus is not installed.

    References:
        Deep Learning with Differential Privacy, M. Abadi et al., 2016,
        https://arxiv.org/abs/1607.00133
        Numerical Composition of Differential Privacy, S. Gopi, Y. T. Lee and L. Wutschitz, 2021,
        https://arxiv.org/abs/2106.02848
    """

    def __init__(
        self, optimizer: Optimizer, budget: PrivacyBudget, count: int, batch_size: int, steps: float
    ) -> None:
        require_opacus()
        from opacus.accountants import PRVAccountant
        from opacus.optimizers import DPOptimizer

        if not 0 < steps < math.inf:
            raise InvalidValueError(
                f"steps of a private training must be known before, but got {steps}. Set the"
                " trainer's max_epochs or max_steps."
            )
        self.delta = budget.delta_among(count)
        self.steps = int(steps)
        rate = min(batch_size, count) / count
        self.noise = noise_for(budget.epsilon, self.delta, rate, self.steps)
        self._clip = budget.clip
        self._norms: list[Tensor] = []
        self._accountant = PRVAccountant()
        private = DPOptimizer(
            optimizer,
            noise_multiplier=self.noise,
            max_grad_norm=budget.clip,
            expected_batch_size=min(batch_size, count),
        )
        private.attach_step_hook(self._accountant.get_optimizer_hook_fn(sample_rate=rate))
        self.optimizer: Optimizer = private

    def take(self, model: nn.Module, batch: Any, loss: Loss) -> Tensor:
        """Take the gradients of a batch in place of those before, and return its mean loss.

        Args:
            model: what is trained.
            batch: of a :class:`PoissonLoader`.
            loss: from the model and a batch to the loss; a batch that it sees has one sample.
        """
        self.optimizer.zero_grad()
        learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not rows(batch):
            for parameter in learned.values():
                parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))  # type: ignore[attr-defined]
            return torch.zeros(())
        gradients, losses = sample_gradients(model, batch, loss)
        for name, parameter in learned.items():
            parameter.grad_sample = gradients[name]  # type: ignore[attr-defined]
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()]).norm(dim=0)
        self._norms.append(norms)
        return losses.mean()

    @property
    def epsilon(self) -> float:
        """What is spent of ε by the steps so far."""
        if not self._accountant.history:
            return 0.0
        with _quiet_accountant():
            return float(self._accountant.get_epsilon(self.delta))

    @property
    def clipped_share(self) -> float:
        """Share of the gradients so far that were longer than C."""
        norms = torch.cat(self._norms) if self._norms else torch.zeros(1)
        return float((norms > self._clip).double().mean())


def refuse_batch_norm(model: nn.Module) -> None:
    """Raise where a model mixes the samples of a batch.

    Raises:
        InvalidValueError: batch normalisation, with its place.
    """
    for name, part in model.named_modules():
        if isinstance(part, _BatchNorm):
            raise InvalidValueError(
                "privacy must have no batch normalisation, whose statistics tell of all samples,"
                f" but got {type(part).__name__} at {name!r}. Use layer normalisation or none."
            )


def require_opacus() -> None:
    """Raise where Opacus is not installed.

    Raises:
        TaskError: with the way to install it.
    """
    try:
        import opacus  # noqa: F401 - whether it can be
    except ImportError as error:
        raise TaskError(
            f"privacy needs Opacus, which cannot be imported: {error}. Install actsearch[privacy]."
        ) from error


@functools.cache
def noise_for(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """Return the least noise σ with which so many steps keep ε, to within 0.01.

    Args:
        epsilon: ε.
        delta: δ.
        rate: q, the probability with which a row is in a batch.
        steps: of the training.

    Raises:
        InvalidValueError: an ε that no noise keeps.
    """
    from opacus.accountants.utils import get_noise_multiplier

    try:
        with _quiet_accountant():
            noise = get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=rate,
                steps=steps,
                accountant="prv",
            )
    except ValueError as error:
        raise InvalidValueError(
            f"epsilon of privacy must be large enough for {steps} steps, but got {epsilon!r}:"
            f" {error} Raise it, or take fewer steps."
        ) from None
    return float(noise)


@contextmanager
def _quiet_accountant() -> Iterator[None]:
    """Leave out warnings of the bounds that it begins with, and of log(1 - q) where q is 1."""
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.filterwarnings("ignore", "Optimal order is the largest alpha")
        yield
