"""What is seen in a model before anything is searched: its sites, what they take in, and the input to see it by."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sized
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from actsearch.errors import ActsearchError
from actsearch.placement import Sites, find_sites
from actsearch.placement.tracing.graph import leaves
from actsearch.search.trainability.gate import site_ranges
from actsearch.search.training.job import Specification

SMALL = 100_000
"""Parameters, and elements at the sites in one batch, up to which one thread trains as fast as two, or faster: measured on
multilayer perceptrons and small convolutional networks."""


def look(
    module: Any,
    example: Any,
    specification: Specification,
    batch: Any,
    called: Collection[str] | None,
    loader: Any = None,
    limit: float | None = None,
) -> dict[str, Any]:
    """Return what the coordinator must know before it can suggest anything.

    Args:
        module: the model; it is not used afterwards.
        example: one input of it.
        specification: of the training that it has just seen a part of.
        batch: of training; the example, where it is known to have as many rows.
        called: paths of the modules that ran in it, where that is known.
        loader: of the training batches, where it is known.
        limit: of the trainer, on the batches of an epoch.
    """
    sites = sites_of(module, example, specification.include_gates, called)
    if (
        specification.model and sites.method != "fx"
    ):  # a loop has no input at hand when a placement is applied
        sites = sites_of(module, None, specification.include_gates, called)
    return {
        "sites": [asdict(site) for site in sites],
        "ranges": _ranges(module, example),
        "method": sites.method,
        "missed": [list(item) for item in sites.missed],
        "parameters": sum(p.numel() for p in module.parameters()),
        "small": _is_small(module, sites, example, batch),
        "max_epochs": specification.config["trainer"].get("max_epochs"),
        "batches": _batches(loader, limit),
    }


def _is_small(module: nn.Module, sites: Sites, example: Any, batch: Any) -> bool:
    """Whether a second thread would cost a training step more than it gives."""
    rows, of = (
        next((len(t) for t in leaves(part) if isinstance(t, Tensor) and t.ndim), 1)
        for part in (batch, example)
    )
    elements = sum(site.elements or 0 for site in sites) * max(1, rows) / max(1, of)
    return max(elements, sum(p.numel() for p in module.parameters())) <= SMALL


def example_input(module: Any, data: Any, trainer: Any) -> Any:
    """Return one input of the model: Lightning's ``example_input_array``, or the first part of the first training batch."""
    if module.example_input_array is not None:
        return module.example_input_array
    source = module if data is None else data
    try:
        source.prepare_data()
        source.setup("fit")
        batch = next(iter(source.train_dataloader()))
    except Exception as error:
        logging.getLogger(__name__).warning(
            "no example input could be taken from the training data: %s", error
        )
        return None
    return model_input(module, batch)


def model_input(module: Any, batch: Any) -> Any:
    """Return the model's input in a batch: Lightning's ``example_input_array`` where the module has one, else the first part."""
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
) -> Sites:
    """Find a module's sites with an example input where its forward pass takes it, else by its modules alone."""
    if example is not None:
        try:
            return find_sites(module, example, include_gates=include_gates, called=called)
        except ActsearchError:
            raise
        except Exception as error:
            logging.getLogger(__name__).warning(
                "the forward pass refused the example input: %s", error
            )
    return find_sites(module, include_gates=include_gates, called=called)


def _batches(loader: Any, limit: float | None) -> int | None:
    """Return the number of batches of an epoch, where the loader tells it."""
    if not isinstance(loader, Sized):
        return None
    return (
        min(len(loader), limit)
        if isinstance(limit, int)
        else int(len(loader) * (1.0 if limit is None else limit))
    )


def _ranges(module: nn.Module, example: Any) -> dict[str, tuple[float, float, bool]]:
    """Return what the module's sites see, where its forward pass takes the example.

    The module is not used afterwards.
    """
    if example is None:
        return {}
    try:
        return site_ranges(module, example)
    except Exception as error:
        logging.getLogger(__name__).warning(
            "the ranges that the sites see could not be measured: %s", error
        )
        return {}
