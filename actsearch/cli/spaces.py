"""``actsearch spaces``: the search spaces, a line each."""

from __future__ import annotations

import argparse

from actsearch.cli.options import parse_arguments


def run(arguments: list[str]) -> int:
    """Run the command."""
    parse_arguments(
        argparse.ArgumentParser(prog="actsearch spaces", description="List the search spaces."),
        arguments,
    )

    from actsearch.search.space.search_space import description
    from actsearch.task.plugins import members

    for name, path in members("search_spaces").items():
        print(f"{name:<16} {description(path)}")
    print(
        "\nYour own: --space FILE.yaml; the files of these lie in",
        members("search_spaces")["rectifiers"].parent,
    )
    return 0
