"""``actsearch spaces``: the search spaces, a line each, or one whole."""

from __future__ import annotations

import argparse

from actsearch.cli.options import parse_arguments


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch spaces", description="List the search spaces, or show one whole."
    )
    parser.add_argument("name", nargs="?", help="name of a space, whose file is shown")
    options = parse_arguments(parser, arguments)

    from actsearch.search.space.search_space import description
    from actsearch.task.plugins import find_member, members

    if options.name:
        path = find_member("search_spaces", options.name)
        print(f"# {path}\n{path.read_text(encoding='utf-8')}", end="")
        return 0
    for name, path in members("search_spaces").items():
        print(f"{name:<16} {description(path)}")
    print(
        "\nYour own: --space FILE.yaml; the files of these lie in",
        members("search_spaces")["rectifiers"].parent,
    )
    return 0
