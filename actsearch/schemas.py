"""The published JSON schemas of the two files that people write and read.

``python -m actsearch.schemas docs/schemas`` writes them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from actsearch.placement import Placement
from actsearch.search.space.search_space import SearchSpace
from actsearch.search.space.settings import Choices, Learn, Range


def schemas() -> dict[str, str]:
    """Return the text of each schema by file name."""
    space = SearchSpace.model_json_schema()
    kinds = {kind.__name__: kind.model_json_schema() for kind in (Range, Choices, Learn)}
    space["$defs"] = {**space.get("$defs", {}), **kinds}
    return {
        f"{name}.schema.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
        for name, schema in (("placement", Placement.model_json_schema()), ("search_space", space))
    }


if __name__ == "__main__":
    for name, text in schemas().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
