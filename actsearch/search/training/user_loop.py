"""A user's own training loop as something to train: what builds the model, and what trains it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actsearch.errors import InvalidValueError, TaskError
from actsearch.search.training import given
from actsearch.search.training.job import Report

CONFIG: dict[str, Any] = {"task": {}, "trainer": {}}
"""The options of a loop: it has none, since what is to be set is set in its functions."""


@dataclass(frozen=True)
class Loop:
    """A model and the function that trains it, in plain PyTorch.

    Args:
        name: dotted path of ``train``.
        train: called with the model and ``report``; ``report(epoch, {"val_loss": 0.3})`` answers
            whether to stop. Returns the final metrics, or nothing where those of the last report
            are final. A metric that is a vector has a value for each row of the test data; its mean
            counts.
        build: returns the model; a class or a function.
    """

    name: str
    train: Callable[..., Any]
    build: Callable[..., nn.Module]

    @classmethod
    def resolve(cls, name: str, model: str) -> Loop:
        """Find the functions behind the dotted paths.

        Raises:
            TaskError: no function there.
        """
        return cls(name, _function(name), _function(model))

    def default(self, attribute: str, fallback: Any) -> Any:
        """Return the fallback: a loop says nothing of itself."""
        return fallback

    def configure(self, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the options of a loop.

        Raises:
            InvalidValueError: some were given.
        """
        if options:
            raise InvalidValueError(
                f"a training function must have no options in config, but got {sorted(options)}."
                " Set them in the function."
            )
        return CONFIG

    def splits(self, option: str) -> bool:
        """Whether one of the functions takes the seed of the split by that name."""
        return any(
            option in inspect.signature(function).parameters
            for function in (self.build, self.train)
        )

    def make(self, split: tuple[str, int] | None) -> nn.Module:
        """Build the model.

        Raises:
            TaskError: it is no module.
        """
        model = self.build(**self._seed(self.build, split))
        if not isinstance(model, nn.Module):
            raise TaskError(
                f"the model must be an nn.Module, but {self.build.__qualname__} returned {model!r}."
            )
        return model

    def run(
        self, model: nn.Module, report: Report, split: tuple[str, int] | None
    ) -> dict[str, Any]:
        """Train, and return the final metrics; a vector stays one.

        Raises:
            TaskError: what the function returned is no mapping of numbers.
        """
        last: dict[str, Any] = {}

        def noting(epoch: int, metrics: Mapping[str, Any]) -> bool:
            last.clear()
            last.update(_numbers(metrics, self.name))
            return report(int(epoch), {name: mean(value) for name, value in last.items()})

        final = self.train(model, noting, **self._seed(self.train, split))
        return last | ({} if final is None else _numbers(final, self.name))

    @staticmethod
    def _seed(function: Callable[..., Any], split: tuple[str, int] | None) -> dict[str, int]:
        return (
            {split[0]: split[1]}
            if split and split[0] in inspect.signature(function).parameters
            else {}
        )


def mean(value: Any) -> float:
    """Return the number that a metric is: itself, or the mean of its rows."""
    return float(torch.as_tensor(value, dtype=torch.float64).mean())


def row_values(metrics: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the metrics that have a value for each row."""
    vectors = {name: torch.as_tensor(value) for name, value in metrics.items()}
    return {
        name: value.tolist()
        for name, value in vectors.items()
        if value.ndim == 1 and len(value) > 1
    }


def _numbers(metrics: Any, name: str) -> dict[str, Any]:
    if not isinstance(metrics, Mapping):
        raise TaskError(
            f"metrics must be a mapping such as {{'val_loss': 0.3}}, but {name} gave {metrics!r}."
        )
    found = {}
    for key, value in metrics.items():
        try:
            found[str(key)] = (
                value.detach().cpu() if isinstance(value, Tensor) else torch.as_tensor(value)
            )
        except (TypeError, ValueError, RuntimeError):
            raise TaskError(
                f"metric {key!r} must be a number, but {name} gave {value!r}."
            ) from None
    return found


def _function(path: str) -> Callable[..., Any]:
    """Return what stands at a dotted path: given in Python, or importable.

    Raises:
        TaskError: nothing that can be called.
    """
    found = given.look_up(path)
    module, _, name = path.rpartition(".")
    if found is None and module and not module.startswith("."):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError as error:
            raise TaskError(f"{path!r} must be importable, but: {error}. Check the path.") from None
    if not callable(found):
        raise TaskError(
            f"{path!r} must be a function, but is {found!r}. Give it in Python where it is defined"
            " in a notebook."
        )
    function: Callable[..., Any] = found
    return function
