"""One training of a judged module by Lightning's trainer alone, with README's two lines in it."""

from __future__ import annotations

import functools
import importlib
import inspect
from dataclasses import dataclass
from typing import Any, Literal
from unittest import mock

import lightning.pytorch as L
from lightning.pytorch.utilities.parsing import lightning_getattr, lightning_hasattr

from actsearch import Placement
from actsearch.errors import InvalidValueError
from actsearch.search.study.metric_names import in_test

RATES = "lr", "learning_rate"
"""Where a module keeps its learning rate, as an attribute or among its hyperparameters."""


@dataclass(frozen=True)
class Task:
    """A LightningModule that is judged, and how its author trains it.

    Args:
        name: of the task.
        module: dotted path of its class, which brings its own data.
        epochs: of a training.
        split_option: option of the class that seeds the division of the data.
        monitor: metric of the validation that contestants choose by.
        mode: its better direction.
    """

    name: str
    module: str
    epochs: int
    split_option: str = "split_seed"
    monitor: str = "val_loss"
    mode: Literal["min", "max"] = "min"

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.mode == "max" else -1

    def build(self, split: int | None = None) -> L.LightningModule:
        """Return a fresh module, on its own division of the data or on another.

        Raises:
            InvalidValueError: the class does not take the option of the split.
        """
        path, _, name = self.module.rpartition(".")
        cls = getattr(importlib.import_module(path), name)
        if self.split_option not in inspect.signature(cls).parameters:
            raise InvalidValueError(
                f"{self.module} must divide its data by an option, but has no"
                f" {self.split_option!r}. Name it by --split-option."
            )
        return cls(**({} if split is None else {self.split_option: split}))


def fit(task: Task, placement: Placement, seed: int, split: int | None = None) -> L.Trainer:
    """Train a module as its author does, with what a contestant found, and return the trainer.

    Args:
        task: what is trained.
        placement: without sites the module keeps its own activations.
        seed: of weights, batches and dropout.
        split: seed of the division of the data; the module's own where not given.
    """
    L.seed_everything(seed, verbose=False)
    module = task.build(split)
    if placement.sites:
        placement.apply(module)
    if placement.sites or placement.learning_rate_factor != 1:
        optimisers = functools.partial(_configure_optimisers, module, placement)
        module.configure_optimizers = optimisers  # type: ignore[method-assign]
    L.seed_everything(seed, verbose=False)  # the same batches, whatever the building drew
    trainer = L.Trainer(
        max_epochs=task.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module)
    return trainer


def _configure_optimisers(module: Any, placement: Placement) -> Any:
    """Run the author's ``configure_optimizers`` with README's second line in it.

    What is edited by hand there is ``self.parameters()``, which becomes
    ``placement.optimizer_parameters(self, lr=self.lr)``.

    Raises:
        InvalidValueError: the module has no learning rate, or its code no place for the line.
    """
    rate = next((name for name in RATES if lightning_hasattr(module, name)), None)
    if rate is None:
        raise InvalidValueError(
            f"{type(module).__name__} must have its learning rate as {' or '.join(RATES)}, but has"
            " neither. Set it in the constructor."
        )
    groups = placement.optimizer_parameters(module, lr=lightning_getattr(module, rate))
    with mock.patch.object(module, "parameters", return_value=groups) as parameters:
        built = type(module).configure_optimizers(module)
    if parameters.call_count != 1:
        raise InvalidValueError(
            f"configure_optimizers of {type(module).__name__} must call self.parameters() once,"
            f" but called it {parameters.call_count} times. Give all parameters to one optimiser."
        )
    return built


def validated(task: Task, placement: Placement, seed: int) -> float:
    """Return what a training on the module's own division comes to in validation."""
    return float(fit(task, placement, seed).callback_metrics[task.monitor])


def tested(task: Task, placement: Placement, seed: int, split: int) -> float:
    """Return what a training on a division of its own comes to on the test rows."""
    trainer = fit(task, placement, seed, split)
    (metrics,) = trainer.test(trainer.lightning_module, verbose=False)
    return float(metrics[in_test(task.monitor)])
