"""Trials that run: what each has taken, told to those that are asked for meanwhile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from actsearch.search.samplers.function_space.encoding import Encoding

Array = NDArray[np.float64]

IN_FLIGHT = "function_space:in_flight"
ATTRIBUTE_LENGTH = 2000
"""Longest text that every storage keeps in one attribute."""


def announce(study: Study, trial: FrozenTrial, chosen: dict[str, Any]) -> None:
    """Let trials that are asked for before this one suggests its values know of them.

    Optuna has no public way for a sampler to keep something with a trial that runs; its own
    samplers do it as here.
    """
    text = json.dumps(chosen)
    for part, start in enumerate(range(0, len(text), ATTRIBUTE_LENGTH)):
        study._storage.set_trial_system_attr(
            trial._trial_id, f"{IN_FLIGHT}:{part}", text[start : start + ATTRIBUTE_LENGTH]
        )


def in_flight(trials: Sequence[FrozenTrial], encoding: Encoding) -> tuple[Array, list[FrozenTrial]]:
    """Return the configurations of trials that run, and the trials of which none is known yet."""
    rows: list[Array] = []
    unknown: list[FrozenTrial] = []
    for trial in filter(is_running, trials):
        parts: list[str] = []
        while (text := trial.system_attrs.get(f"{IN_FLIGHT}:{len(parts)}")) is not None:
            parts.append(text)
        parameters = (json.loads("".join(parts)) if parts else {}) | trial.params
        if encoding.holds(parameters):
            rows.append(encoding.encode(parameters))
        elif not parameters:
            unknown.append(trial)
    return np.array(rows).reshape(-1, len(encoding.dimensions)), unknown


def is_running(trial: FrozenTrial) -> bool:
    """Whether a trial was asked for and has no values yet."""
    return trial.state == TrialState.RUNNING
