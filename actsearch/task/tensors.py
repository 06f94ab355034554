"""Data that fit in memory: splits made once, by seed, and batches by slicing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from actsearch.errors import InvalidValueError

Batch = tuple[Tensor, ...]
Split = Literal["train", "val", "test"]


class TensorLoader:
    """Iterate over aligned tensors in batches, without a worker and without collating.

    Shuffling has a generator of its own, seeded from torch's seed when the loader is built: the
    same seed gives the same batches, whatever else draws random numbers on the way.

    Args:
        *tensors: tensors with the same first dimension.
        batch_size: samples of a batch; the last batch of an epoch may be smaller.
        shuffle: whether every epoch goes through a new permutation.
        drop_last: whether a smaller last batch is left out (never the only one).
        repeats: times that an epoch goes through all samples.

    Shapes:
        tensors ``(N, *)``; each batch is a tuple of ``(batch_size, *)``.

    Raises:
        InvalidValueError: tensors of different lengths, none at all, or a batch size below 1.

    >>> [len(batch[0]) for batch in TensorLoader(torch.arange(5), batch_size=2)]
    [2, 2, 1]
    """

    def __init__(
        self,
        *tensors: Tensor,
        batch_size: int,
        shuffle: bool = False,
        drop_last: bool = False,
        repeats: int = 1,
    ) -> None:
        if batch_size < 1:
            raise InvalidValueError(f"batch_size must be at least 1, but got {batch_size!r}.")
        lengths = {len(tensor) for tensor in tensors}
        if len(lengths) != 1 or not lengths.pop():
            raise InvalidValueError(
                f"tensors must have one common length above 0, but got {[len(t) for t in tensors]}."
            )
        self.dataset = TensorDataset(*tensors)
        self.batch_size = min(batch_size, len(tensors[0]))
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.repeats = repeats
        self._generator = torch.Generator().manual_seed(torch.initial_seed() % 2**63)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return self.repeats * (whole + (rest > 0 and not self.drop_last))

    def __iter__(self) -> Iterator[Batch]:
        count = len(self.dataset)
        for _ in range(self.repeats):
            order = torch.randperm(count, generator=self._generator) if self.shuffle else None
            for batch in range(len(self) // self.repeats):
                rows = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
                chosen = rows if order is None else order[rows]
                yield tuple(tensor[chosen] for tensor in self.dataset.tensors)


@dataclass(frozen=True)
class Splits:
    """Row numbers of the training, validation and test part of one data set."""

    train: Tensor
    val: Tensor
    test: Tensor


def divide(
    count: int,
    seed: int,
    validation_share: float = 0.2,
    test_share: float = 0.2,
    labels: Tensor | None = None,
) -> Splits:
    """Divide ``count`` rows into training, validation and test, once and for all by ``seed``.

    Args:
        count: number of rows.
        seed: seed of the division; the seed of training plays no part in it.
        validation_share: share of all rows that go to validation, in (0, 1).
        test_share: share of all rows that go to test, in (0, 1).
        labels: classes ``(count,)``; each part gets its share of every class.

    Raises:
        InvalidValueError: shares that leave nothing to train on, or a class too rare to be in every
            part.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < test_share < 1 - validation_share:
        raise InvalidValueError(
            f"test_share must be between 0 and {1 - validation_share:g}, but got {test_share!r}."
        )
    strata = None if labels is None else labels.numpy()
    try:
        rest, test = train_test_split(
            np.arange(count), test_size=test_share, random_state=seed, stratify=strata
        )
        train, val = train_test_split(
            rest,
            test_size=validation_share / (1 - test_share),
            random_state=seed,
            stratify=None if strata is None else strata[rest],
        )
    except ValueError as error:
        # scikit-learn names the class that is too small, or the part that would be empty.
        raise InvalidValueError(
            f"{count} rows cannot be split: {error} Choose other shares or other data."
        ) from None
    return Splits(*(torch.from_numpy(np.sort(part)) for part in (train, val, test)))


def divide_in_time(count: int, validation_share: float = 0.2, test_share: float = 0.2) -> Splits:
    """Divide ``count`` rows that follow each other in time: the last test, those before validate.

    Neighbours in time are alike, so that a random division would hold nothing out.

    Raises:
        InvalidValueError: shares that leave nothing to train on.
    """
    held_out = [max(1, round(share * count)) for share in (validation_share, test_share)]
    train = count - sum(held_out)
    if train < 1:
        raise InvalidValueError(
            f"{count} rows cannot be divided in time with validation_share={validation_share:g} and"
            f" test_share={test_share:g}: nothing is left to train on."
        )
    return Splits(*torch.arange(count).split([train, *held_out]))


def join(train: Batch, val: Batch, test: Batch) -> tuple[Batch, Splits]:
    """Return the rows of three parts in one batch, and which part each row is of."""
    rows = sum(sizes := [len(part[0]) for part in (train, val, test)])
    tensors = tuple(torch.cat(column) for column in zip(train, val, test, strict=True))
    return tensors, Splits(*torch.arange(rows).split(sizes))


def standardise(x: Tensor, train: Tensor) -> Tensor:
    """Return ``x`` with mean 0 and deviation 1, as measured on training rows.

    Each column of a table and each channel of images has its own. Missing values (NaN) become the
    training mean; a constant column becomes 0.

    Args:
        x: all rows ``(N, D)``, or images ``(N, C, H, W)``.
        train: the row numbers that the mean and the deviation are measured on.
    """
    return scaled(x, *mean_and_deviation(x[train]))


def mean_and_deviation(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the deviation of each column or channel, missing values left out.

    Args:
        x: rows ``(N, D)``, or images ``(N, C, H, W)``.
    """
    over = (0,) if x.ndim == 2 else (0, 2, 3)
    mean = x.nanmean(over, keepdim=True)
    return mean, (x - mean).square().nanmean(over, keepdim=True).sqrt()


def scaled(x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return ``x`` less a mean over a deviation (0 counts as 1); missing values become 0."""
    return ((x - mean) / torch.where(deviation > 0, deviation, 1.0)).nan_to_num(0.0)
