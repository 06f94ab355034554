"""The published schemas are those of the code, and the presets fulfil theirs."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from actsearch.placement import Placement
from actsearch.schemas import schemas
from actsearch.search.space import strict_yaml
from actsearch.task import plugins

DOCS = Path(__file__).parent.parent / "docs" / "schemas"


@pytest.mark.parametrize("name", schemas())
def test_published_schema_is_current(name):
    assert (DOCS / name).read_text() == schemas()[name], (
        "run: python -m actsearch.schemas docs/schemas"
    )


@pytest.mark.parametrize("name", plugins.members("search_spaces"))
def test_presets_fulfil_the_schema(name):
    data, _ = strict_yaml.load(plugins.find_member("search_spaces", name))
    jsonschema.validate(data, json.loads((DOCS / "search_space.schema.json").read_text()))


def test_placements_fulfil_the_schema():
    schema = json.loads((DOCS / "placement.schema.json").read_text())
    jsonschema.validate(json.loads(Placement.uniform("relu", ["a"]).dumps()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {"schema": 1, "sites": {"a": {"activation": "relu", "module": "os.system"}}}, schema
        )
