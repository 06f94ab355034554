"""Claims say what they measured: one table at the end, with those that failed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Claim = Callable[[str, str, str], None]


@pytest.fixture
def claim(record_property: Callable[[str, object], None]) -> Claim:
    """Add a row to the table at the end.

    What is claimed, what was measured, what was wanted ('' for a remark).
    """

    def record(what: str, measured: str, wanted: str = "") -> None:
        record_property("claim", [what, measured, wanted])

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, in the Markdown that ``benchmarks/README.md`` keeps."""
    rows: list[tuple[str, ...]] = []
    for outcome, held in (("passed", "yes"), ("failed", "NO")):
        for report in terminalreporter.getreports(outcome):
            if report.when == "call":
                rows += [
                    (*row, held if row[2] else "")
                    for name, row in report.user_properties
                    if name == "claim"
                ]
    if rows:
        rows.insert(0, ("claim", "measured", "wanted", "held"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, tuple("-" * width for width in widths))
        terminalreporter.section("claims")
        for row in rows:
            terminalreporter.write_line("| " + " | ".join(map(str.ljust, row, widths)) + " |")
