"""Sites and placements as a screen of text, and as a table in HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actsearch.markup import html_table

if TYPE_CHECKING:
    from actsearch.placement.entry import SiteEntry
    from actsearch.placement.placement import Placement

MOST_LINES = 24
"""Of a text; a table has them all."""


def given_parameters(entry: SiteEntry) -> dict[str, str]:
    """Return the parameters that an activation was given, as text."""
    return {
        key: f"{value:.3g}" if isinstance(value, float) else str(value)
        for key, value in entry.parameters.items()
    }


def placement_lines(placement: Placement) -> list[str]:
    """Return what stands where in lines, the first of them about all."""
    found, count = placement.found, len(placement.sites)
    told = [f"Placement of {count} site{'s' * (count != 1)}"]
    if placement.learning_rate_factor != 1.0:
        told.append(f"learning rate × {placement.learning_rate_factor:.3g}")
    told += [f"{key} {found[key]}" for key in ("study", "trial", "verdict") if key in found]
    width = max((len(site) for site in placement.sites), default=0)
    lines = [f"{site:<{width}}  {entry}" for site, entry in placement.sites.items()]
    return [", ".join(told), *(f"  {line}" for line in shortened_lines(lines))]


def placement_table(placement: Placement) -> str:
    """Return what stands where as a table in HTML."""
    rows = [
        [
            site,
            entry.activation,
            ", ".join(f"{key}={value}" for key, value in given_parameters(entry).items()),
            ", ".join(entry.learn or []) + (f" by {entry.share}" if entry.share else ""),
        ]
        for site, entry in placement.sites.items()
    ]
    header = ("site", "activation", "parameters", "learns")
    return html_table(header, rows, placement_lines(placement)[0])


def sites_table(rows: Sequence[Mapping[str, Any]], caption: str) -> str:
    """Return the rows of :meth:`actsearch.placement.Sites.table` as a table in HTML."""
    columns = ("site", "kind", "activation", "block", "elements", "share", "status", "reason")
    lines = [
        [f"{row[key]:.1%}" if key == "share" and row[key] else row[key] or "" for key in columns]
        for row in rows
    ]
    return html_table(columns, lines, caption)


def shortened_lines(lines: Sequence[str]) -> list[str]:
    """Return as many lines as a screen has, and how many more there are."""
    if len(lines) <= MOST_LINES:
        return list(lines)
    return [*lines[: MOST_LINES - 1], f"... and {len(lines) - MOST_LINES + 1} more"]
