"""Which measures a module can have, told before it is trained."""

from __future__ import annotations

from collections.abc import Iterable

from actsearch.errors import ActsearchError, MeasureError
from actsearch.measures.fitted import Fitted
from actsearch.measures.measure import Measure, Need
from actsearch.measures.registry import all_measures, build
from actsearch.measures.undisturbed import undisturbed


def missing(fitted: Fitted, measure: Measure | type[Measure]) -> dict[Need, str]:
    """Return what a measure needs and the module does not offer, each with the reason.

    Args:
        fitted: the module; it need not be trained yet.
        measure: the measure, or its class.
    """
    reasons = {need: fitted.lacking(need) for need in sorted(measure.needs)}
    return {need: reason for need, reason in reasons.items() if reason}


def possible(fitted: Fitted) -> list[str]:
    """Return the names of the measures that a module can have at their defaults.

    Args:
        fitted: the module; it need not be trained yet.
    """
    return [name for name, cls in all_measures().items() if _can_have(fitted, cls)]


def _can_have(fitted: Fitted, cls: type[Measure]) -> bool:
    if missing(fitted, cls):
        return False
    try:
        with undisturbed(fitted.module):
            build(cls).check(fitted)
    except ActsearchError:
        return False
    return True


def check(fitted: Fitted, measures: Iterable[Measure]) -> None:
    """Raise where a module cannot have a measure.

    Args:
        fitted: the module; it need not be trained yet.
        measures: those that are wanted.

    Raises:
        ActsearchError: one that it cannot have; the message has the reason, and what it can have.
    """
    for measure in measures:
        for need, reason in missing(fitted, measure).items():
            raise MeasureError(
                f"{measure.name} must have {need.replace('_', ' ')}, but {fitted.name} has none:"
                f" {reason}. Measures that {fitted.name} can have: {', '.join(possible(fitted))}."
            )
        with undisturbed(fitted.module):
            measure.check(fitted)
