"""What a trainer, a module and its optimiser may not do, where seeds stand beside each other."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from actsearch.errors import ActsearchError

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


TOLERANCE = 1e-5
"""How far the losses of these steps may be off, and what is logged after them, relative to 1."""


class NotStackableError(ActsearchError):
    """A training that cannot stand beside others of other seeds in one network."""


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


def is_near(one: float, other: float) -> bool:
    """Whether two numbers are the same but for rounding."""
    same = one == other or (math.isnan(one) and math.isnan(other))
    return same or abs(one - other) <= TOLERANCE * max(1.0, abs(one))
