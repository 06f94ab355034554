"""Lists of tasks and search spaces, and one of them whole."""

from __future__ import annotations

import json

import pytest


def test_each_has_a_line_and_one_is_shown(actsearch):
    assert "flow             " in actsearch("tasks").stdout
    shown = actsearch("tasks", "flow").stdout
    assert shown.startswith("Density estimation by a normalizing flow")
    assert shown.endswith("Its options: actsearch search flow --help\n")
    assert "rectifiers       " in actsearch("spaces").stdout
    space = actsearch("spaces", "rectifiers").stdout
    assert "rectifiers.yaml\n# yaml-language-server" in space
    assert "\n# Piecewise linear" in space
    assert "activations:\n" in space


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tasks", "flw"], "unknown task 'flw'; nearest: flow"),
        (["spaces", "rectifierz"], "unknown search space 'rectifierz'; nearest: rectifiers"),
    ],
)
def test_refused(arguments, message, actsearch):
    told = actsearch(*arguments)
    assert (told.returncode, told.stdout) == (2, "")
    assert message in told.stderr


def test_tables_are_json_for_scripts(actsearch, own):
    def data(*arguments):
        told = actsearch(*arguments, "--json")
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout)

    assert {"name": "flow"}.items() <= {one["name"]: one for one in data("tasks")}["flow"].items()
    assert data("tasks", "flow")["summary"].startswith("Density estimation")
    assert "rectifiers" in [one["name"] for one in data("spaces")]
    assert "relu" in data("spaces", "rectifiers")["activations"]
    (swish,) = data("activations", "swish")
    assert swish["parameters"] == {"beta": 1.0}
    assert swish["facts"]["maximum"] is None  # infinite
    assert {"dead_units", "latency"} <= {one["name"] for one in data("measures")}
    found = data("sites", "own.Own")
    assert [site["site"] for site in found["sites"]] == ["net.1", "net.3"]
    assert found["totals"]["open"] == 2
    facts = {one["name"]: one["what"] for one in data("activations", "--facts")}
    assert facts["zero_preserving"] == "φ(0) = 0."
    assert facts["bounded"] == "Whether both bounds are finite."
