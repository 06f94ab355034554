"""The training loss of a batch, outside of a training."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from actsearch.errors import MeasureError


def training_loss(module: nn.Module, batch: Any) -> Any:
    """Return what a LightningModule's ``training_step`` gives for a batch; nothing is logged.

    Args:
        module: the module.
        batch: of its training data.

    Raises:
        MeasureError: it has no training_step, or optimises by hand.
    """
    step: Any = getattr(module, "training_step", None)
    if step is None:
        raise MeasureError("it has no training_step")
    if not module.automatic_optimization:
        raise MeasureError("it optimises by hand")
    numbered = len(inspect.signature(step).parameters) > 1
    with _unlogged(module):
        return step(batch, 0) if numbered else step(batch)


def scalar(found: Any) -> Tensor:
    """Return the loss in what a training step gave: a tensor, or a mapping with a ``loss``.

    Raises:
        MeasureError: there is none.
    """
    value = found.get("loss") if isinstance(found, Mapping) else found
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise MeasureError("its training_step returns no loss")
    return value


@contextmanager
def _unlogged(module: nn.Module) -> Iterator[None]:
    """Let ``log`` and ``log_dict`` do nothing: there is no loop to log for."""
    own = vars(module)
    kept = {name: own.get(name) for name in ("log", "log_dict")}
    own.update(dict.fromkeys(kept, _nothing))
    try:
        yield
    finally:
        for name, before in kept.items():
            if before is None:
                del own[name]
            else:
                own[name] = before


def _nothing(*_: Any, **__: Any) -> None:
    """Stand in for what logs."""
