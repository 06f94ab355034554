"""Claims say what they measured: one table at the end, a row for each, also for those that failed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Claim = Callable[[str, str, str], None]


@pytest.fixture
def claim(record_property: Callable[[str, object], None]) -> Claim:
    """Add a row to the table at the end: what is claimed, what was measured, what was wanted ('' for a remark)."""

    def record(what: str, measured: str, wanted: str = "") -> None:
        record_property("claim", [what, measured, wanted])

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, in the Markdown that ``benchmarks/README.md`` keeps."""
    rows = [("claim", "measured", "wanted", "held")]
    for outcome, held in (("passed", "yes"), ("failed", "NO")):
        for report in terminalreporter.getreports(outcome):
            if report.when == "call":
                rows += [
                    (*row, held if row[2] else "")
                    for name, row in report.user_properties
                    if name == "claim"
                ]
    if len(rows) == 1:
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    terminalreporter.section("claims")
    for number, row in enumerate(rows):
        terminalreporter.write_line("| " + " | ".join(map(str.ljust, row, widths)) + " |")
        if number == 0:
            terminalreporter.write_line("|" + "|".join("-" * (width + 2) for width in widths) + "|")
