"""What is seen in a model before anything is searched: its sites, and what they take in."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from actsearch.errors import ActsearchError
from actsearch.placement import Sites, find_sites
from actsearch.placement.tracing.graph import leaves
from actsearch.search.training.job import Job, ModelInfo
from actsearch.search.training.site_ranges import UNKNOWN_RANGE, site_ranges


@dataclass(frozen=True)
class Seen:
    """What the part of a training showed that ran before the model is inspected.

    Args:
        batch: of training; the example, where it is known to have as many rows.
        called: paths of the modules that ran in it, where that is known.
        loader: of the training batches, where it is known.
    """

    batch: Any
    called: Collection[str] | None = None
    loader: Any = None


def inspect_model(
    module: Any, example: Any, job: Job, seen: Seen, measured: Sequence[str], **known: Any
) -> ModelInfo:
    """Return what the coordinator must know before it can suggest anything.

    Args:
        module: the model; it is not used afterwards.
        example: one input of it.
        job: the training that it has just seen a part of.
        seen: what that part showed.
        measured: what it is judged by that is measured.
        **known: ``has_test``, ``restores_best`` and ``origin`` of :class:`ModelInfo`.
    """
    notes: list[str] = []
    sites = sites_of(module, example, job.include_gates, seen.called, notes)
    if job.model and sites.method != "fx":  # a loop has no input at hand to apply a placement with
        sites = sites_of(module, None, job.include_gates, seen.called)
    return ModelInfo(
        sites=list(sites),
        method=sites.method,
        missed=list(sites.missed),
        elements=_elements(sites, example, seen.batch),
        parameters=sum(p.numel() for p in module.parameters()),
        max_epochs=job.config["trainer"].get("max_epochs"),
        batches=_batches(seen.loader, job.config["trainer"].get("limit_train_batches")),
        ranges=_ranges(module, example, notes),
        notes=notes,
        measured=list(measured),
        **known,
    )


def _elements(sites: Sites, example: Any, batch: Any) -> int:
    """Return the elements at the sites in one batch of training."""
    rows, of = (
        next((len(t) for t in leaves(part) if isinstance(t, Tensor) and t.ndim), 1)
        for part in (batch, example)
    )
    return round(sum(site.elements or 0 for site in sites) * max(1, rows) / max(1, of))


def example_input(module: Any, data: Any, trainer: Any) -> Any:
    """Return one input of the model, from Lightning's ``example_input_array`` or the training data.

    ``None`` where neither gives one.
    """
    if module.example_input_array is not None:
        return module.example_input_array
    source = module if data is None else data
    try:
        source.prepare_data()
        source.setup("fit")
        batch = next(iter(source.train_dataloader()))
    except Exception as error:
        missing = "train_dataloader" in str(error)
        logging.getLogger(__name__).warning(
            "no example input could be taken from the training data: %s",
            "there are none. Give them by --data CLASS" if missing else error,
        )
        return None
    return model_input(module, batch)


def model_input(module: Any, batch: Any) -> Any:
    """Return the model's input in a batch: the first part of it.

    Lightning's ``example_input_array`` goes first where the module has one.
    """
    if module.example_input_array is not None:
        return module.example_input_array
    return batch[0] if isinstance(batch, (tuple, list)) and batch else batch


def has_test(module: Any) -> bool:
    """Whether a module has a test step of its own."""
    base: Any = next(cls for cls in type(module).__mro__ if cls.__name__ == "LightningModule")
    own: bool = type(module).test_step is not base.test_step
    return own


def restores_best(trainer: Any) -> bool:
    """Whether a trainer's callbacks keep the weights of the best epoch by a metric."""
    return any(
        any(cls.__name__ == "ModelCheckpoint" for cls in type(callback).__mro__)
        and callback.monitor
        for callback in trainer.callbacks
    )


def sites_of(
    module: nn.Module,
    example: Any,
    include_gates: bool = False,
    called: Collection[str] | None = None,
    notes: list[str] | None = None,
) -> Sites:
    """Find a module's sites, with an example input where its forward pass takes it.

    Else by its modules alone; the reason is added to the notes.
    """
    if example is not None:
        try:
            return find_sites(module, example, include_gates=include_gates, called=called)
        except ActsearchError:
            raise
        except Exception as error:  # whatever a user's own forward pass raises
            note = f"the sites were found by modules alone: forward raised {_told(error)}"
            if notes is not None:
                notes.append(note)
    return find_sites(module, include_gates=include_gates, called=called)


def _batches(loader: Any, limit: float | None) -> int | None:
    """Return the number of batches of an epoch, where the loader tells it."""
    if not isinstance(loader, Sized):
        return None
    count = len(loader)
    if limit is None:
        return count
    return int(min(count, limit) if isinstance(limit, int) else count * limit)


def _ranges(
    module: nn.Module, example: Any, notes: list[str]
) -> dict[str, tuple[float, float, bool]]:
    """Return what the module's sites see, where its forward pass takes the example.

    The module is not used afterwards.
    """
    if example is None:
        return {}
    try:
        return site_ranges(module, example)
    except Exception as error:  # whatever a user's own forward pass raises
        low, high = UNKNOWN_RANGE
        notes.append(
            f"what the sites see is taken to be {low:g} to {high:g}: forward raised {_told(error)}"
        )
        return {}


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
