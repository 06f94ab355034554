"""What the record has of a study and of each trial, by name; read without torch."""

from __future__ import annotations

from optuna.trial import FrozenTrial

ATTRIBUTE = "actsearch.plan"
"""The attribute of a study in the store that has its options."""

PHASE, RESULT = "stage", "outcome"
"""The attributes of a trial that have its phase and what came of it."""


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial counts as one of those that were asked for.

    It was trained, and not at a further learning rate.
    """
    return not is_spared(trial) and phase_of(trial) != "finalist"


def is_spared(trial: FrozenTrial) -> bool:
    """Whether a trial needed no training: refused, or of the same functions as an earlier one."""
    return bool(trial.user_attrs.get(RESULT, {}).get("spared"))


def phase_of(trial: FrozenTrial) -> str:
    """Return the phase that a trial was of; empty for one that nobody has begun."""
    return str(trial.user_attrs.get(PHASE, ""))
