"""``actsearch show STUDY``."""

from __future__ import annotations

from actsearch.run import SearchResult


def print_result(result: SearchResult, store: str) -> None:
    """Print what a search found."""
    print(result.best.dumps())
    if result.confirmation:
        print(result.confirmation.verdict())
