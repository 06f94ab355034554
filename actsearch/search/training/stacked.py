"""Several seeds of one placement, trained as one network: for the price of little more than one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from torch.utils.data import DataLoader, TensorDataset, default_collate
from typing_extensions import override

from actsearch.errors import ActsearchError
from actsearch.measures.batch import rows
from actsearch.search.training.logged import Logged, logging_to

AHEAD = 16
"""Batches of a seed that are drawn at a time."""

ELEMENTWISE = (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.Adamax,
    torch.optim.Adadelta,
    torch.optim.RMSprop,
    torch.optim.Rprop,
    torch.optim.ASGD,
)
"""Optimisers that treat every number alone, so that seeds beside each other do not meet."""

HOOKS = (
    "backward",
    "configure_callbacks",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "on_after_backward",
    "on_after_batch_transfer",
    "on_before_backward",
    "on_before_batch_transfer",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "on_train_batch_end",
    "on_train_batch_start",
    "on_validation_batch_end",
    "on_validation_batch_start",
    "optimizer_step",
    "optimizer_zero_grad",
    "transfer_batch_to_device",
)
"""What a module may do between its steps, where it would see one seed of several."""


class NotStackableError(ActsearchError):
    """A training that cannot stand beside others of other seeds in one network."""


class Member:
    """One seed of a stack: its module, with views of the stack's numbers, and its random state.

    Args:
        module: the module with its placement, as it is just before its training.
        data: its data module, or ``None``.
    """

    def __init__(self, module: Any, data: Any) -> None:
        self.module, self.data = module, data
        self._state = _random_state()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw random numbers as this member would alone."""
        outside = _random_state()
        _set_random_state(self._state)
        try:
            yield
        finally:
            self._state = _random_state()
            _set_random_state(outside)

    def loaders(self, part: str) -> list[Any]:
        """Return its loaders of a part of the data.

        Raises:
            NotStackableError: loaders with workers, of which there would be as many again.
        """
        with self.drawing():
            source = self.module if self.data is None else self.data
            found = getattr(source, f"{part}_dataloader")()
        loaders = found if isinstance(found, (list, tuple)) else [found]
        if any(getattr(loader, "num_workers", 0) for loader in loaders):
            raise NotStackableError("its loaders have workers")
        return list(map(_quick, loaders))


def _quick(loader: Any) -> Any:
    """Return a loader, one of tensors as one that gives the same batches at once."""
    plain = (
        type(loader) is DataLoader
        and type(loader.dataset) is TensorDataset
        and loader.collate_fn is default_collate
        and loader.batch_sampler is not None
        and not loader.num_workers
        and not loader.pin_memory
    )
    return _TensorBatches(loader) if plain else loader


class _TensorBatches:
    """The batches of a DataLoader on tensors, each taken by one index and not row by row."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[Tensor]]:
        iter(self.loader)  # draws the random number that it begins with
        for chosen in self.loader.batch_sampler:
            index = torch.tensor(chosen)
            yield [tensor[index] for tensor in self.loader.dataset.tensors]


class _Batches:
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
        parts = []
        for member, loader in zip(self.members, self.loaders, strict=True):
            with member.drawing():
                parts.append(iter(loader))
        while True:
            drawn = []
            for member, part in zip(self.members, parts, strict=True):
                with member.drawing():
                    drawn.append(list(islice(part, self.ahead)))
            if len({len(batches) for batches in drawn}) > 1:
                raise NotStackableError("its seeds have different numbers of batches")
            if not drawn[0]:
                return
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


class _TrainingStep(nn.Module):
    """A module's training step as a forward pass."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    @override
    def forward(self, batch: Any, batch_idx: int) -> Any:
        return self.module.training_step(batch, batch_idx)


class Stack(L.LightningModule):
    """Members as one module: its parameters and buffers are theirs beside each other.

    The members' own are views of these, so that each is at any time the module that it would be
    alone.

    Args:
        members: of one class, with the same placement.

    Attributes:
        ahead: batches of a member that are drawn at a time; 1 where the trainer may leave some out,
            since each may draw random numbers.
        losses: of each member in the last step.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__()
        self.members = tuple(members)
        self.losses = torch.zeros(len(members))
        self.logged = Logged(on_step=True)
        first = members[0].module
        self.ahead = AHEAD
        self._step = (_TrainingStep(first),)  # not a part of this module
        modules = [member.module for member in members]
        self._parts: dict[str, Tensor] = {}
        self._own: dict[int, nn.Parameter] = {}
        self.numbers = nn.ParameterList()
        for name, parameter in first.named_parameters():
            beside = nn.Parameter(
                torch.stack([m.get_parameter(name).detach() for m in modules]),
                requires_grad=parameter.requires_grad,
            )
            self.numbers.append(beside)
            self._parts[f"module.{name}"] = beside
            self._own[id(parameter)] = beside
            for part, module in zip(beside.detach(), modules, strict=True):
                module.get_parameter(name).data = part
        for name, _ in first.named_buffers():
            beside_buffers = torch.stack([m.get_buffer(name) for m in modules])
            self._parts[f"module.{name}"] = beside_buffers
            for part, module in zip(beside_buffers, modules, strict=True):
                path, _, key = name.rpartition(".")
                setattr(module.get_submodule(path), key, part)

    @override
    def setup(self, stage: str) -> None:
        for member in self.members:
            member.module.trainer = self.trainer
            if member.data is not None:
                member.data.trainer = self.trainer
                member.data.prepare_data()
                member.data.setup(stage)
            member.module.prepare_data()
            member.module.setup(stage)

    @override
    def train_dataloader(self) -> _Batches:
        return _Batches(self.members, self.ahead)

    @override
    def configure_optimizers(self) -> Any:
        """Return the first member's optimiser, with the numbers of all in place of its own.

        Raises:
            NotStackableError: several optimisers, one that mixes the numbers of a tensor, or a
                schedule that follows a metric.
        """
        found = self.members[0].module.configure_optimizers()
        parts = tree_leaves(found)
        optimizers = [part for part in parts if isinstance(part, torch.optim.Optimizer)]
        if len(optimizers) != 1:
            raise NotStackableError(f"it has {len(optimizers)} optimisers")
        (optimizer,) = optimizers
        if type(optimizer) not in ELEMENTWISE or optimizer.state:
            raise NotStackableError(f"{type(optimizer).__name__} may mix the numbers of a tensor")
        if any(isinstance(part, torch.optim.lr_scheduler.ReduceLROnPlateau) for part in parts):
            raise NotStackableError("its schedule follows a metric")
        for group in optimizer.param_groups:
            group["params"] = [self._own[id(p)] for p in group["params"]]
        return found

    @override
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        first = self.members[0].module
        names: list[str] = []
        options: list[dict[str, Any]] = []

        def one(parts: dict[str, Tensor], batch: Any) -> tuple[Tensor, list[Tensor]]:
            values: list[Tensor] = []

            def log(name: str, value: Any, *_: Any, **given: Any) -> None:
                names.append(name)
                options.append(given)
                values.append(torch.as_tensor(value).detach())

            with logging_to(first, log):
                out = torch.func.functional_call(self._step[0], parts, (batch, batch_idx))
            loss = out["loss"] if isinstance(out, dict) else out
            if not isinstance(loss, Tensor):
                raise NotStackableError("its training step returns no loss")
            return loss, values

        try:
            losses, values = torch.vmap(one)(self._parts, batch)
        except RuntimeError as error:
            raise NotStackableError(" ".join(str(error).split())[:200]) from error
        size = rows(part_of(batch, 0))
        for name, value, given in zip(names, values, options, strict=True):
            self.logged.add(name, value, size=size, **given)
        self.losses = losses.detach()
        total: Tensor = losses.sum()
        return total

    @override
    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each member's gradient by its own norm."""
        if not gradient_clip_val:
            return
        if gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
            return
        gradients = [
            p.grad
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
        scale = (gradient_clip_val / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.reshape(-1, *[1] * (gradient.ndim - 1)))

    def separate(self) -> None:
        """Give each member numbers of its own again."""
        for member in self.members:
            for tensor in [*member.module.parameters(), *member.module.buffers()]:
                tensor.data = tensor.data.clone()

    def each(self, function: Callable[[Any], Any]) -> list[Any]:
        """Call a function with each member's module, in its own random state."""
        found = []
        for member in self.members:
            with member.drawing():
                found.append(function(member.module))
        return found

    def trained(self) -> list[dict[str, float]]:
        """Return what each member's training steps have logged in this epoch."""
        values = {name: v.tolist() for name, v in self.logged.values().items()}
        return [{name: v[i] for name, v in values.items()} for i in range(len(self.members))]

    @contextmanager
    def first_gradient(self) -> Iterator[Any]:
        """Give the first member its part of the gradient for a while."""
        first = self.members[0].module
        for parameter in first.parameters():
            gradient = self._own[id(parameter)].grad
            parameter.grad = None if gradient is None else gradient[0]
        yield first
        for parameter in first.parameters():
            parameter.grad = None


def check_trainer(trainer: Any) -> None:
    """Refuse a trainer that would treat the members otherwise than one by one.

    Raises:
        NotStackableError: and why.
    """
    reasons = {
        "it is no trainer of lightning.pytorch": not isinstance(trainer, L.Trainer),
        "it trains on several devices": type(trainer.strategy) is not SingleDeviceStrategy,
        "its precision scales the loss": str(trainer.precision) not in ("32-true", "64-true"),
        "it validates within an epoch": trainer.val_check_interval != 1.0,
        "its trainer has callbacks": bool(trainer.callbacks),
        "its trainer has a logger": bool(trainer.loggers),
    }
    for reason, holds in reasons.items():
        if holds:
            raise NotStackableError(reason)


def check_module(module: Any) -> None:
    """Refuse a module that does more than steps, each a function of its batch.

    Raises:
        NotStackableError: and why.
    """
    if not isinstance(module, L.LightningModule):
        raise NotStackableError("it is no module of lightning.pytorch")
    if not module.automatic_optimization:
        raise NotStackableError("it optimises by itself")
    for name in HOOKS:
        if getattr(type(module), name) is not getattr(L.LightningModule, name):
            raise NotStackableError(f"it has a {name} of its own")


def _random_state() -> tuple[Any, ...]:
    return torch.get_rng_state(), random.getstate(), np.random.get_state()


def _set_random_state(state: tuple[Any, ...]) -> None:
    torch.set_rng_state(state[0])
    random.setstate(state[1])
    np.random.set_state(state[2])
