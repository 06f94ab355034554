"""Members of a stack: a module each, its random state, and its batches beside those of others."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.data import DataLoader, Subset, TensorDataset, default_collate

from actsearch.search.training.job import Job
from actsearch.search.training.stacked.checks import NotStackableError


class Member:
    """One training of a stack: its module, with views of the stack's numbers, and its random state.

    Args:
        job: what is trained.
        module: the module with its placement, as it is just before its training.
        data: its data module, or ``None``.
    """

    def __init__(self, job: Job, module: Any, data: Any) -> None:
        self.job, self.module, self.data = job, module, data
        self._state = _random_state()

    @contextmanager
    def drawing(self, keep: bool = True) -> Iterator[None]:
        """Draw random numbers as this member would alone.

        Args:
            keep: whether they are drawn for good, and not again by the next.
        """
        outside = _random_state()
        _set_random_state(self._state)
        try:
            yield
        finally:
            self._state = _random_state() if keep else self._state
            _set_random_state(outside)

    def loaders(self, part: str) -> list[Any]:
        """Return its loaders of a part of the data.

        Raises:
            NotStackableError: loaders with workers, of which there would be as many again, on data
                that are not tensors in memory.
        """
        with self.drawing():
            source = self.module if self.data is None else self.data
            found = getattr(source, f"{part}_dataloader")()
        loaders = list(map(_quick, found if isinstance(found, (list, tuple)) else [found]))
        if any(getattr(loader, "num_workers", 0) for loader in loaders):
            raise NotStackableError("its loaders have workers")
        return loaders


def _quick(loader: Any) -> Any:
    """Return a loader, one of tensors as one that gives the same batches at once."""
    plain = (
        type(loader) is DataLoader
        and type(_whole(loader.dataset)) is TensorDataset
        and loader.collate_fn is default_collate
        and loader.batch_sampler is not None
    )
    return _TensorBatches(loader) if plain else loader


def _whole(dataset: Any) -> Any:
    """Return what a subset is of."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    return dataset


class _TensorBatches:
    """The batches of a DataLoader on tensors, each taken by one index and not row by row."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.tensors = _whole(loader.dataset).tensors
        self.rows = torch.arange(len(loader.dataset))
        dataset = loader.dataset
        while type(dataset) is Subset:
            self.rows, dataset = torch.as_tensor(dataset.indices)[self.rows], dataset.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[Tensor]]:
        torch.empty((), dtype=torch.int64).random_(generator=self.loader.generator)  # as it begins
        for chosen in self.loader.batch_sampler:
            rows = self.rows[torch.tensor(chosen)]
            yield [tensor[rows] for tensor in self.tensors]


class Batches:
    """Batches of every member beside each other."""

    def __init__(self, members: Sequence[Member], ahead: int) -> None:
        self.members, self.ahead = members, ahead
        self.loaders = []
        for member in members:
            loader, *more = member.loaders("train")
            if more:
                raise NotStackableError("it has several training loaders")
            self.loaders.append(loader)

    def __len__(self) -> int:
        return len(self.loaders[0])

    def __iter__(self) -> Iterator[Any]:
        parts: list[Iterator[Any]] = []
        number = self.ahead
        while number == self.ahead:
            drawn = []
            for index, member in enumerate(self.members):
                with member.drawing():
                    if index == len(parts):
                        parts.append(iter(self.loaders[index]))
                    drawn.append(list(islice(parts[index], self.ahead)))
            number = len(drawn[0])
            if any(len(batches) != number for batches in drawn):
                raise NotStackableError("its seeds have different numbers of batches")
            yield from map(_beside, zip(*drawn, strict=True))


def _beside(batches: Sequence[Any]) -> Any:
    """Return batches as one, each tensor with a first dimension more."""
    flat = [tree_flatten(batch) for batch in batches]
    leaves = []
    for parts in zip(*(leaves for leaves, _ in flat), strict=True):
        if not all(isinstance(part, Tensor) for part in parts):
            raise NotStackableError(f"a batch has {type(parts[0]).__name__} beside tensors")
        if len({part.shape for part in parts}) > 1:
            raise NotStackableError("its seeds have batches of different shapes")
        leaves.append(torch.stack(parts))
    return tree_unflatten(leaves, flat[0][1])


def part_of(batch: Any, index: int) -> Any:
    """Return a member's batch of those that stand beside each other."""
    return tree_map(lambda leaf: leaf[index], batch)


def _random_state() -> tuple[Any, ...]:
    return torch.get_rng_state(), random.getstate(), np.random.get_state()


def _set_random_state(state: tuple[Any, ...]) -> None:
    torch.set_rng_state(state[0])
    random.setstate(state[1])
    np.random.set_state(state[2])
