"""What a batch holds: the model's input, and labels. Tuples and mappings are read by convention."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from actsearch.errors import MeasureError

INPUTS = ("x", "input", "inputs", "image", "images", "pixel_values", "input_ids")
"""Keys of a batch that is a mapping, under which the input may stand."""

LABELS = ("y", "label", "labels", "target", "targets")
"""Keys of a batch that is a mapping, under which the labels may stand."""


def arguments(module: nn.Module, batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of ``forward`` in a batch.

    Of a tuple the first part, or as many as ``forward`` requires; of a mapping what ``forward``
    names, labels left out, else what stands under a usual key, else its first tensor.

    Args:
        module: the model.
        batch: as its loader gives it, or an input alone.
    """
    required, named = _parameters(module)
    if isinstance(batch, Mapping):
        taken = {
            key: value
            for key, value in batch.items()
            if key in required or (key in named and key not in LABELS)
        }
        if taken and required <= taken.keys():
            return (), taken
        usual = next((key for key in INPUTS if key in batch), None)
        return (batch[usual] if usual else next(_tensors(batch), batch),), {}
    if isinstance(batch, (tuple, list)) and batch:
        return tuple(batch[: max(1, len(required))]), {}
    return (batch,), {}


def tensors_of(module: nn.Module, batch: Any) -> list[Tensor]:
    """Return the arguments of ``forward`` in a batch where they are tensors with samples first.

    Raises:
        MeasureError: they are something else.
    """
    given, named = arguments(module, batch)
    values = [*given, *named.values()]
    if not values or not all(isinstance(one, Tensor) and one.ndim for one in values):
        kinds = ", ".join(type(one).__name__ for one in values) or "nothing"
        raise MeasureError(f"forward must take tensors, samples first, but it takes {kinds}")
    return values


def labels_of(batch: Any, rows: int) -> Tensor | None:
    """Return the integer labels ``(N,)`` of a batch, or ``None`` where there are none.

    They are the second part of a tuple, or stand under a usual key of a mapping.

    Args:
        batch: as a loader gives it.
        rows: N, the rows of the input.

    >>> labels_of((torch.zeros(2, 3), torch.tensor([0, 1])), 2)
    tensor([0, 1])
    >>> labels_of({"image": torch.zeros(2, 3), "label": torch.tensor([0, 1])}, 2)
    tensor([0, 1])
    >>> labels_of((torch.zeros(2, 3), torch.tensor([0.0, 1.0])), 2)
    """
    found: Any = None
    if isinstance(batch, Mapping):
        found = next((batch[key] for key in LABELS if key in batch), None)
    elif isinstance(batch, (tuple, list)) and len(batch) > 1:
        found = batch[1]
    if not isinstance(found, Tensor) or found.is_floating_point() or found.is_complex():
        return None
    return found.long() if found.shape == (rows,) else None


def rows(inputs: Any) -> int:
    """Return the number of samples of an input: the length of its first tensor."""
    return next((len(tensor) for tensor in _tensors(inputs) if tensor.ndim), 0)


def moved(module: nn.Module, batch: Any, data: Any = None) -> Any:
    """Return a batch on the module's device, through the transfer hooks of Lightning.

    Args:
        module: the model, which has hooks where it is a LightningModule.
        batch: as its loader gives it.
        data: its LightningDataModule, where it has one.
    """
    candidates: tuple[Any, Any] = (module, data)
    owners = [owner for owner in candidates if hasattr(owner, "transfer_batch_to_device")]
    if not owners:
        return to_device(module, batch)
    for owner in owners:
        batch = owner.on_before_batch_transfer(batch, 0)
    for owner in owners:
        batch = owner.transfer_batch_to_device(batch, _device(module), 0)
    for owner in owners:
        batch = owner.on_after_batch_transfer(batch, 0)
    return batch


def to_device(module: nn.Module, value: Any) -> Any:
    """Return nested tensors on the module's device."""
    device = _device(module)
    return tree_map(lambda v: v.to(device) if isinstance(v, Tensor) else v, value)


def _device(module: nn.Module) -> torch.device:
    parameter = next(module.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _parameters(module: nn.Module) -> tuple[set[str], set[str]]:
    """Return the names of what ``forward`` requires, and of all that it takes."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    known = inspect.signature(module.forward).parameters.values()
    taken = [p for p in known if p.kind in kinds or p.kind is p.KEYWORD_ONLY]
    return {p.name for p in taken if p.default is p.empty}, {p.name for p in taken}


def _tensors(inputs: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor))


def is_matrix(found: Any, rows: int | None = None) -> bool:
    """Whether something is a float tensor of so many rows, or of any."""
    tensor = isinstance(found, Tensor) and found.is_floating_point()
    return tensor and found.ndim == 2 and rows in (None, len(found))
