"""Models whose forward is a function of one tensor, and returns the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from actsearch.errors import MeasureError
from actsearch.measures.batch import arguments
from actsearch.measures.fitted import Fitted


def check_returned_logits(fitted: Fitted, what: str) -> None:
    """Raise where a module's forward is anything else than from one tensor to the logits.

    Args:
        fitted: the module; it need not be trained yet.
        what: asks for it; begins the message.

    Raises:
        MeasureError: it takes several arguments, or something else than a tensor, or returns
            something else than its ``logits(batch)``.
    """
    first = fitted.first()
    given, named = arguments(fitted.module, first)
    taken = (*given, *named.values())
    if len(taken) != 1 or not isinstance(taken[0], Tensor):
        raise MeasureError(
            f"{what} must have a model of one tensor, but {fitted.name} takes"
            f" {', '.join(type(each).__name__ for each in taken)}. Choose another model."
        )
    logits, returned = fitted.logits(first), fitted.predict(first)
    same = isinstance(returned, Tensor) and returned.shape == logits.shape
    if not same or not torch.allclose(returned, logits):
        raise MeasureError(
            f"{what} must have a forward that returns the logits, but that of {fitted.name}"
            " returns something else. Choose another model."
        )
