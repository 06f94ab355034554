"""One word, one thing: no name stands for two things at the top of two modules."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = ROOT / "actsearch" / "cli"


def names(module: Path) -> Iterator[tuple[str, str]]:
    """Yield what a module defines at its top, and the definition."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        found = []
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found = [node.name]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = [target.id for target in targets if isinstance(target, ast.Name)]
        for name in found:
            # `run` is what every command of the command line has.
            if not name.startswith("_") and not (name == "run" and module.parent == COMMANDS):
                yield name, ast.dump(node)


def test_no_name_stands_for_two_things():
    meanings = defaultdict(dict)
    for folder in ("actsearch", "tasks"):
        for module in sorted((ROOT / folder).rglob("*.py")):
            for name, definition in names(module):
                meanings[name].setdefault(definition, str(module.relative_to(ROOT)))
    twice = {name: list(found.values()) for name, found in meanings.items() if len(found) > 1}
    assert not twice
    assert len(meanings) > 500, "the test reads what it should"


def test_the_test_sees_a_second_meaning(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("LIMIT = 1\n_private = 2\ndef limit(): ...\nclass Limit: ...\nx: int = 3\n")
    assert [name for name, _ in names(module)] == ["LIMIT", "limit", "Limit", "x"]
