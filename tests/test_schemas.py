"""The published schemas are those of the code, and the presets fulfil theirs."""

from __future__ import annotations

import json

import jsonschema
import pytest

from actsearch.placement import Placement
from actsearch.schemas.__main__ import FOLDER, schemas
from actsearch.search.space import strict_yaml
from actsearch.task import plugins


@pytest.mark.parametrize("name", schemas())
def test_published_schema_is_current(name):
    assert (FOLDER / name).read_text() == schemas()[name], "run: python -m actsearch.schemas"
    assert json.loads(schemas()[name])["$id"].startswith("urn:actsearch:")


@pytest.mark.parametrize("name", plugins.members("search_spaces"))
def test_presets_fulfil_the_schema(name):
    file = plugins.find_member("search_spaces", name)
    data, _ = strict_yaml.load(file)
    editor, _, schema = file.read_text().splitlines()[0].partition("$schema=")
    assert editor == "# yaml-language-server: "
    # The folders stand beside each other in a checkout and where they are installed.
    jsonschema.validate(data, json.loads((file.parent / schema).read_text()))


def test_placements_fulfil_the_schema():
    schema = json.loads((FOLDER / "placement.schema.json").read_text())
    jsonschema.validate(json.loads(Placement.uniform("relu", ["a"]).dumps()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {"schema": 1, "sites": {"a": {"activation": "relu", "module": "os.system"}}}, schema
        )
