"""YAML is read as YAML 1.2, and what is dangerous or ambiguous is refused with its line."""

from __future__ import annotations

import pytest

from actsearch.errors import SearchSpaceError
from actsearch.search.space.strict_yaml import load


def read(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    return load(path)


def test_scalars_are_those_of_yaml_1_2(tmp_path):
    data, lines = read(tmp_path, "a: no\nb: 1e-3\nc: [010, true, null, 'x']\n")
    assert data == {"a": "no", "b": 0.001, "c": [10, True, None, "x"]}
    assert lines["c", 1] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", r"a.yaml:2: 'a' is given twice"),
        ("a: &x 1\nb: *x\n", r"a.yaml:1: anchors and aliases"),
        (
            "a: !!python/object:os.system ls\n",
            r"a.yaml:1: the tag tag:yaml.org,2002:python/object:os.system",
        ),
        ("a: [" * 200, "not valid YAML"),
        ("[" * 100_000, "not valid YAML"),
        ("a: " + "x" * 300_000, "it must have at most 256000 bytes"),
        ("\n".join("  " * depth + "a:" for depth in range(20)), "nested deeper than 12"),
        ("? - &l [x, x]\n  - [*l, *l]\n: 1\n", "a.yaml:1: a key must be a plain text"),
        ("? {a: b}\n: 1\n", "a.yaml:1: a key must be a plain text"),
        ("&k a: 1\n", "a.yaml:1: a key must be a plain text"),
        ("a: 2020-01-01\n", "the tag tag:yaml.org,2002:timestamp"),
    ],
)
def test_refused_with_file_and_line(tmp_path, text, message):
    with pytest.raises(SearchSpaceError, match=message):
        read(tmp_path, text)


def test_not_text(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SearchSpaceError, match="cannot be read"):
        load(tmp_path / "a.yaml")
