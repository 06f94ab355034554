"""One forward pass on an example, as Lightning reads ``example_input_array``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


def forward(model: nn.Module, example: Any) -> Any:
    """Run the model: a tuple is several arguments, a mapping named ones, all else is one.

    Args:
        model: any module.
        example: one input of it.
    """
    if isinstance(example, Mapping):
        return model(**example)
    return model(*example) if isinstance(example, tuple) else model(example)
