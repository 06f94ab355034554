"""Find which activation function belongs where in a neural network.

Names load when used: reusing a placement imports torch, and neither Optuna, MLflow nor Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actsearch.activations import activation as activation
    from actsearch.activations import properties as properties
    from actsearch.errors import ActsearchError as ActsearchError
    from actsearch.placement import Placement as Placement
    from actsearch.placement import Site as Site
    from actsearch.placement import find_sites as find_sites
    from actsearch.result import SearchResult as SearchResult
    from actsearch.run import confirm as confirm
    from actsearch.run import run_search as run_search
    from actsearch.search.samplers.function_space import (
        FunctionSpaceSampler as FunctionSpaceSampler,
    )
    from actsearch.search.space.search_space import SearchSpace as SearchSpace
    from actsearch.task.task import Task as Task

_HOME = {
    "activation": "actsearch.activations",
    "properties": "actsearch.activations",
    "ActsearchError": "actsearch.errors",
    "Placement": "actsearch.placement",
    "Site": "actsearch.placement",
    "find_sites": "actsearch.placement",
    "FunctionSpaceSampler": "actsearch.search.samplers.function_space",
    "SearchSpace": "actsearch.search.space.search_space",
    "SearchResult": "actsearch.result",
    "Task": "actsearch.task.task",
    "confirm": "actsearch.run",
    "run_search": "actsearch.run",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        try:
            return getattr(import_module(_HOME[name]), name)
        except Exception as error:
            from actsearch.errors import ActsearchError
            from actsearch.imports import why_broken

            if told := why_broken(error):
                raise ActsearchError(told) from error
            raise
    raise AttributeError(f"module 'actsearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
