"""What a search runs: space, sampler, trial, study, confirmation. Names load when used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actsearch.search.samplers.function_space import (
        FunctionSpaceSampler as FunctionSpaceSampler,
    )

_HOME = {
    "FunctionSpaceSampler": "actsearch.search.samplers.function_space",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'actsearch.search' has no attribute {name!r}")
