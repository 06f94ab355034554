"""Members as one module: their numbers beside each other, one step for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from typing_extensions import override

from actsearch.measures.batch import rows
from actsearch.search.training.stacked.checks import ELEMENTWISE, NotStackableError, is_near
from actsearch.search.training.stacked.differences import Activations, Rates
from actsearch.search.training.stacked.logged import Logged, logging_to
from actsearch.search.training.stacked.members import Batches, Member, part_of

AHEAD = 16
"""Batches of a member that are drawn at a time."""


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
        members: of one class; with the same placement, or with activations that neither learn nor
            draw at the same sites.

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
        self._activations = Activations(members)
        self._unchecked = self._activations.examples
        self._rates: Rates | None = None
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
            if name.startswith(tuple(f"{path}." for path in self._activations.paths)):
                continue
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
    def train_dataloader(self) -> Batches:
        return Batches(self.members, self.ahead)

    @override
    def configure_optimizers(self) -> Any:
        """Return the first member's optimiser, with the numbers of all in place of its own.

        Raises:
            NotStackableError: several optimisers, one that mixes the numbers of a tensor, or a
                schedule that follows a metric.
        """
        found = self.members[0].module.configure_optimizers()
        optimizer, parts = _optimizer(found)
        if type(optimizer) not in ELEMENTWISE or optimizer.state:
            raise NotStackableError(f"{type(optimizer).__name__} may mix the numbers of a tensor")
        if any(isinstance(part, torch.optim.lr_scheduler.ReduceLROnPlateau) for part in parts):
            raise NotStackableError("its schedule follows a metric")
        each = {
            factor: _optimizer(member.module.configure_optimizers())[0]
            for factor, member in reversed([(m.job.learning_rate_factor, m) for m in self.members])
        }
        each[self.members[0].job.learning_rate_factor] = optimizer
        self._rates = Rates([each[member.job.learning_rate_factor] for member in self.members])
        for group in optimizer.param_groups:
            group["params"] = [self._own[id(p)] for p in group["params"]]
        return found

    @override
    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        assert self._rates is not None, "configure_optimizers comes first"
        with self._rates.stepping(optimizer):
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

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
            with self._activations.standing():
                losses, values = torch.vmap(one)(self._parts, batch)
        except RuntimeError as error:
            raise NotStackableError(" ".join(str(error).split())[:200]) from error
        size = rows(part_of(batch, 0))
        for name, value, given in zip(names, values, options, strict=True):
            self.logged.add(name, value, size=size, **given)
        self.losses = losses.detach()
        for index in self._unchecked:
            self._check(index, part_of(batch, index), batch_idx)
        self._unchecked = []
        total: Tensor = losses.sum()
        return total

    def _check(self, index: int, batch: Any, batch_idx: int) -> None:
        """Refuse a member that does another step with its own activations in place.

        Raises:
            NotStackableError: its module asks what stands where, say.
        """
        member = self.members[index]
        with (
            member.drawing(keep=False),
            torch.no_grad(),
            logging_to(member.module, lambda *_, **__: None),
        ):
            out = member.module.training_step(batch, batch_idx)
        alone, beside = float(out["loss"] if isinstance(out, dict) else out), self.losses[index]
        if not is_near(alone, float(beside)):
            raise NotStackableError(
                f"its first loss is {alone:.7g} alone, {float(beside):.7g} beside other activations"
            )

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

    def call(self, *hooks: str) -> None:
        """Call hooks of each member's module that are its own, in its own random state."""
        cls = type(self.members[0].module)
        own = [name for name in hooks if getattr(cls, name) is not getattr(L.LightningModule, name)]
        for member in self.members if own else ():
            with member.drawing():
                for name in own:
                    getattr(member.module, name)()

    def trained(self) -> list[dict[str, float]]:
        """Return what each member's training steps have logged in this epoch."""
        values = {name: v.tolist() for name, v in self.logged.values().items()}
        return [{name: v[i] for name, v in values.items()} for i in range(len(self.members))]

    @contextmanager
    def gradient_of(self, index: int) -> Iterator[Any]:
        """Give a member its part of the gradient for a while."""
        module, first = self.members[index].module, self.members[0].module
        pairs = list(zip(module.parameters(), first.parameters(), strict=True))
        for parameter, of_first in pairs:
            gradient = self._own[id(of_first)].grad
            parameter.grad = None if gradient is None else gradient[index]
        yield module
        for parameter, _ in pairs:
            parameter.grad = None


def _optimizer(found: Any) -> tuple[torch.optim.Optimizer, list[Any]]:
    """Return the one optimiser of what a module has configured, and all parts of that."""
    parts = tree_leaves(found)
    optimizers = [part for part in parts if isinstance(part, torch.optim.Optimizer)]
    if len(optimizers) != 1:
        raise NotStackableError(f"it has {len(optimizers)} optimisers")
    return optimizers[0], parts
