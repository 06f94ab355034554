"""``actsearch spaces``: the search spaces, a line each, or one whole."""

from __future__ import annotations

import argparse

from actsearch.cli.options import parse_arguments
from actsearch.cli.tables import add_json, print_json
from actsearch.errors import printable


def run(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="actsearch spaces", description="List the search spaces, or show one whole."
    )
    parser.add_argument("name", nargs="?", help="name of a space, whose file is shown")
    add_json(parser)
    options = parse_arguments(parser, arguments)

    from actsearch.search.space.search_space import SearchSpace, description
    from actsearch.task.plugins import find_member, members

    if options.name:
        path = find_member("search_spaces", options.name)
        if options.json:
            content = SearchSpace.load(options.name).model_dump(mode="json")
            print_json({"name": options.name, "file": path, **content})
        else:
            print(printable(f"# {path}\n{path.read_text(encoding='utf-8')}"), end="")
        return 0
    found = members("search_spaces")
    if options.json:
        print_json([{"name": n, "summary": description(p), "file": p} for n, p in found.items()])
        return 0
    for name, path in found.items():
        print(printable(f"{name:<16} {description(path)}"))
    print("\nYour own: --space FILE.yaml; the files of these lie in", found["rectifiers"].parent)
    return 0
