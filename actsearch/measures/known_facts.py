"""What the catalogue states of the activations of a network."""

from __future__ import annotations

from actsearch.activations import Properties
from actsearch.errors import MeasureError
from actsearch.measures.fitted import Fitted


def known_facts(fitted: Fitted, what: str, measured: str) -> list[Properties]:
    """Return the facts of what stands at each site.

    Args:
        fitted: the module; it need not be trained yet.
        what: the measure that asks for them; begins the message.
        measured: the measure that looks at the network instead.

    Raises:
        MeasureError: an activation that the catalogue does not know, with its site.
    """
    found = []
    for site in fitted.sites:
        if site.properties is None:
            raise MeasureError(
                f"{what} must have activations of the catalogue, but got {site.activation} at"
                f" {site.name}. Place one of `actsearch activations` there, or measure {measured}."
            )
        found.append(site.properties)
    return found
