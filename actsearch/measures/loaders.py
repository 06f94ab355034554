"""Where the batches of a split come from: given loaders, a data module, or the module itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

Part = Literal["train", "val", "test", "labelled", "second"]
"""A split; or training rows with labels, or the second data."""


def loader_of(part: Part, module: Any, data: Any = None) -> Iterable[Any]:
    """Return a loader of a split; one without batches where there is none.

    Of several loaders it is the first. Labelled training rows are those of training where there is
    no loader of their own.

    Args:
        part: the split.
        module: the model, whose own ``val_dataloader`` is taken where the data have none.
        data: a LightningDataModule, or loaders by part.
    """
    for name in ("labelled", "train") if part == "labelled" else (part,):
        if isinstance(data, Mapping):
            given: Iterable[Any] | None = data.get(name)
            if given is not None:
                return given
        for owner in (data, module):
            make = _defined(owner, f"{name}_dataloader")
            if make is not None:
                made = make()
                return made[0] if isinstance(made, (list, tuple)) else made  # type: ignore[no-any-return]
    return ()


def _defined(owner: Any, name: str) -> Callable[[], Any] | None:
    """Return a method where its class defines it; what Lightning's own classes have only raises."""
    method = getattr(owner, name, None)
    home = getattr(method, "__module__", "").partition(".")[0]
    return None if home in ("", "lightning", "pytorch_lightning") else method
