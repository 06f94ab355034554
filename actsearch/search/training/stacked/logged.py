"""What a module logs by ``self.log``, gathered as Lightning gathers it, without its loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from actsearch.measures.batch import rows


class Logged:
    """The values that a module logs in one pass over a split.

    Args:
        on_step: whether a value counts as it is, and not as its mean over the pass, where the
            module does not say: so it is in training.
    """

    def __init__(self, on_step: bool) -> None:
        self.on_step = on_step
        self.batch_size = 1
        self._last: dict[str, Any] = {}
        self._sums: dict[str, tuple[Any, float]] = {}

    def add(self, name: str, value: Any, *, size: int | None = None, **options: Any) -> None:
        """Take a value, with the options that ``self.log`` has.

        Raises:
            NotImplementedError: an option that is not gathered here.
        """
        if options.get("reduce_fx", "mean") != "mean":
            raise NotImplementedError(f"{name} is logged with a reduce_fx of its own")
        on_step, on_epoch = options.get("on_step"), options.get("on_epoch")
        on_step = self.on_step if on_step is None else on_step
        on_epoch = not self.on_step if on_epoch is None else on_epoch
        if isinstance(value, Metric):
            self._sums[name] = (value, 0.0)
            return
        value = value.detach() if isinstance(value, Tensor) else torch.tensor(float(value))
        if on_step:
            self._last[f"{name}_step" if on_epoch else name] = value
        if on_epoch:
            weight = float(options.get("batch_size") or size or self.batch_size)
            total, count = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = (total + value * weight, count + weight)
            if on_step:
                self._last[f"{name}_epoch"] = value

    def values(self) -> dict[str, Any]:
        """Return what the pass came to, and begin another."""
        found = dict(self._last)
        for name, (total, count) in self._sums.items():
            found[name] = total.compute() if isinstance(total, Metric) else total / count
            if f"{name}_epoch" in found:
                found[f"{name}_epoch"] = found[name]
        for total, _ in self._sums.values():
            if isinstance(total, Metric):
                total.reset()
        self._last, self._sums = {}, {}
        return found


@contextmanager
def logging_to(module: Any, add: Callable[..., None]) -> Iterator[None]:
    """Send what a module logs to a function."""
    module.log = add
    try:
        yield
    finally:
        del module.log


def validate(module: Any, loaders: Sequence[Any], most: float = float("inf")) -> dict[str, Any]:
    """Go through the validation data with a module's own steps and hooks, and return what it logs.

    Args:
        module: a LightningModule.
        loaders: its loaders.
        most: batches of each loader.
    """
    logged = Logged(on_step=False)
    training = module.training
    module.eval()
    with torch.no_grad(), logging_to(module, logged.add):
        module.on_validation_start()
        module.on_validation_epoch_start()
        for index, loader in enumerate(loaders):
            which = [index] if len(loaders) > 1 else []
            for number, batch in enumerate(loader):
                if number >= most:
                    break
                moved = module.transfer_batch_to_device(batch, module.device, index)
                logged.batch_size = rows(moved) or 1
                module.validation_step(moved, number, *which)
        module.on_validation_epoch_end()
        module.on_validation_end()
    module.train(training)
    return logged.values()
