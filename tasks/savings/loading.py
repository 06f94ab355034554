"""A problem by name, from a file, or of a class of one's own."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from actsearch.errors import InvalidValueError, UnknownNameError

from .life_cycle import ECONOMIES, LifeCycle, SolvedEconomy, read_economy
from .problem import PolicyTable, SavingsProblem


def load_problem(name: str, high: float) -> SavingsProblem:
    """Return the problem of a name, a file or a class.

    Args:
        name: as the option ``model``.
        high: cash that a solution shall cover.

    Raises:
        ActsearchError: none of these.
    """
    if name.endswith(".csv"):
        return PolicyTable(name)
    if name.endswith((".yaml", ".yml")) or name in ECONOMIES:
        economy = ECONOMIES.get(name) or read_economy(name)
        return (SolvedEconomy if economy.work_cost else LifeCycle)(economy, high)
    module, _, member = name.rpartition(".")
    if not module:
        raise UnknownNameError.among("model", name, ECONOMIES, "Or a file, or a class.")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = getattr(importlib.import_module(module), member, None)
    except ModuleNotFoundError as error:
        raise InvalidValueError(
            f"model must be importable, but there is no module {error.name!r} from this folder."
        ) from None
    if not (isinstance(found, type) and issubclass(found, SavingsProblem)):
        raise InvalidValueError(
            "model must be a subclass of actsearch_tasks.savings.SavingsProblem, but"
            f" {name} is {found!r}."
        )
    return found()
