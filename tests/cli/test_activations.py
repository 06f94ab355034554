"""The catalogue on the command line."""

from __future__ import annotations

import pytest


def test_table_filtered_by_facts(actsearch):
    shown = actsearch("activations", "--where", "smoothness >= 2 and bounded")
    assert shown.returncode == 0
    assert " tanh " in shown.stdout
    assert " relu " not in shown.stdout
    assert (
        "sigmoid"
        not in actsearch("activations", "--family", "surrogate", "--where", "bijective").stdout
    )


def test_one_entry_whole(actsearch):
    shown = actsearch("activations", "swish").stdout
    assert "φ(x) = x*sigmoid(β*x)" in shown
    assert "arxiv.org/abs/1710.05941" in shown
    assert "●" in shown
    assert "derivative_bound         1.1" in shown
    assert "hold for every value that training may reach" in shown
    assert "smoothness" in actsearch("activations", "min(abs(x),cos(x))").stdout


def test_picture(actsearch, tmp_path):
    assert (
        actsearch(
            "activations", "--family", "squasher", "--picture", tmp_path / "sheet.png"
        ).returncode
        == 0
    )
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["swsh"], "unknown activation 'swsh'; nearest: swish"),
        (["min(abs(x),cs(x))"], "got 'cs' at column 12"),
        (
            ["--where", "smoothnes >= 2"],
            "unknown fact of an activation 'smoothnes'; nearest: smoothness",
        ),
        (["--where", "__import__('os')"], "a requirement must join facts"),
        (["--family", "rectified"], "unknown family 'rectified'; nearest: rectifiers"),
        (["--picture", "nowhere/sheet.png"], "picture must be a file that can be written"),
        (["--nothing"], "unrecognized arguments: --nothing"),
    ],
)
def test_refused(arguments, message, actsearch):
    result = actsearch("activations", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
