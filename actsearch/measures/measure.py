"""The contract of a measure: a name, a direction, what it needs, and a call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from actsearch.errors import MeasureError
from actsearch.measures.undisturbed import undisturbed

if TYPE_CHECKING:
    from actsearch.measures.fitted import Fitted

Direction = Literal["min", "max"]
When = Literal["epoch", "end", "confirm"]
Need = Literal[
    "example",
    "sites",
    "loss",
    "embeddings",
    "views",
    "labels",
    "logits",
    "labelled_training",
    "second_data",
    "derivatives",
    "losses",
]
NEEDS: Mapping[Need, str] = MappingProxyType(
    {
        "example": "an input of the model: `example_input_array`, or that of the first batch",
        "sites": "places where activations act, as `actsearch sites` finds them",
        "loss": "automatic optimisation, with a `training_step` that returns the loss",
        "embeddings": "a method `embed(x)`, else what the last linear layer takes in; (N, D)",
        "views": "a method `views(x)` that returns two random views of each sample",
        "labels": "a method `labels(batch)`, else the integer (N,) of a batch (x, y)",
        "logits": "a method `logits(batch)`, else a forward that returns (N, C), for labels < C",
        "labelled_training": "labels of the training batches, or of `labelled_dataloader()`",
        "second_data": "a `second_dataloader()`: rows of another distribution",
        "derivatives": "a method `derivatives(batch)`: true values (N, *), and their derivatives by"
        " the inputs, (N, *, D) and (N, *, D, D), as far as they are known",
        "losses": "a method `losses(batch)` that returns the scalar losses of a batch by name",
    }
)
"""What a measure may need, and how a module offers it."""

WHEN: Mapping[When, str] = MappingProxyType(
    {
        "epoch": "after each epoch: cheap enough to feed a pruner",
        "end": "once, after the fit",
        "confirm": "on what is confirmed alone: costly",
    }
)
"""When a measure is computed."""


class Measure(ABC):
    """A number of a trained model, or several by name.

    A subclass states ``name`` and ``direction``, and what it needs; its constructor's arguments,
    with types and a docstring, are its options (``--measure.certified_accuracy.radius 0.1``).
    :class:`actsearch.measures.laws.MeasureLaws` tests it. It is found by its dotted path, or by
    its name through an entry point::

        [project.entry-points."actsearch.measures"]
        weight_norm = "my_package.weight_norm:WeightNorm"

    Laws: the value is a finite number, the same on the same fitted module; :meth:`values` leaves
    the module, its gradients and the random state as they were; it works at any batch size.

    Attributes:
        name: what it is logged under; several values go under ``name/key``.
        direction: ``"max"`` or ``"min"``; ``None`` where neither is better.
        needs: what the module must offer, of :data:`NEEDS`.
        when: when it is computed, of :data:`WHEN`.

    >>> import torch
    >>> from actsearch.measures import Fitted
    >>> from actsearch.measures.builtin.parameters import Parameters
    >>> Parameters().values(Fitted(torch.nn.Linear(2, 3)))
    {'parameters': 9.0}
    """

    name: ClassVar[str]
    direction: ClassVar[Direction | None]
    needs: ClassVar[frozenset[Need]] = frozenset()
    when: ClassVar[When] = "end"

    @abstractmethod
    def __call__(self, fitted: Fitted) -> float | Mapping[str, float]:
        """Return the number, or several by key.

        The module is in evaluation mode, gradients are recorded, and draws are seeded. What it
        changes of the module's mode, buffers and gradients is put back.
        """

    def check(self, fitted: Fitted) -> None:  # noqa: B027 - most measures have nothing to check
        """Raise where a module that offers what is needed cannot be measured all the same.

        It is asked before any training; nothing is checked by default.

        Raises:
            ActsearchError: the reason, in one line.
        """

    def pictures(self, fitted: Fitted, folder: Path) -> None:  # noqa: B027 - most draw nothing
        """Write into ``folder`` the pictures (PNG) that a person would look at.

        None by default. The module is as in a call.
        """

    def values(self, fitted: Fitted) -> dict[str, float]:
        """Return what is logged: by the measure's name, or by ``name/key`` where it has several.

        Raises:
            MeasureError: it gave something else than numbers.
        """
        with undisturbed(fitted.module):
            found = self(fitted)
        named: Mapping[str, Any] = {self.name: found}
        if isinstance(found, Mapping):
            named = {f"{self.name}/{key}": value for key, value in found.items()}
        try:
            return {name: float(value) for name, value in named.items()}
        except (TypeError, ValueError):
            raise MeasureError(
                f"{self.name} must be a number or a mapping of numbers, but got {found!r}."
            ) from None
