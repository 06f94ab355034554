"""Write the schemas anew from the code: ``python -m actsearch.schemas``."""

from __future__ import annotations

import json
from pathlib import Path

from actsearch.placement import Placement
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.space.settings import Choices, Learn, Range

FOLDER = Path(__file__).parent


def schemas() -> dict[str, str]:
    """Return the text of each schema by file name."""
    space = SearchSpace.model_json_schema()
    kinds = {kind.__name__: kind.model_json_schema() for kind in (Range, Choices, Learn)}
    space["$defs"] = {**space.get("$defs", {}), **kinds}
    found = {"placement": Placement.model_json_schema(), "search_space": space}
    return {f"{name}.schema.json": _dumped(name, schema) for name, schema in found.items()}


def _dumped(name: str, schema: dict[str, object]) -> str:
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:actsearch:{name}:1",
    }
    return json.dumps(head | schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, text in schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
