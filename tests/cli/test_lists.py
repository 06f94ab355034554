"""Lists of tasks and search spaces, and one of them whole."""

from __future__ import annotations

import pytest


def test_each_has_a_line_and_one_is_shown(actsearch):
    assert "flow             " in actsearch("tasks").stdout
    shown = actsearch("tasks", "flow").stdout
    assert shown.startswith("Density estimation by a normalizing flow")
    assert shown.endswith("Its options: actsearch search flow --help\n")
    assert "rectifiers       " in actsearch("spaces").stdout
    space = actsearch("spaces", "rectifiers").stdout
    assert "rectifiers.yaml\n# Piecewise linear" in space
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
