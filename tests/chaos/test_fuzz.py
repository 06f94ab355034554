"""Whatever a text holds: an answer or one line, no code run, no time or memory lost."""

from __future__ import annotations

import importlib
import io
import itertools
import json
from contextlib import redirect_stderr, redirect_stdout
from random import Random

import pytest
from torch import nn

from actsearch import Placement, SearchSpace, find_sites
from actsearch.activations.expression.expression import Expression
from actsearch.activations.expression.generate import random_expression
from actsearch.cli.main import COMMANDS as MAIN
from actsearch.cli.main import main
from actsearch.search.space.choices import bind
from actsearch.search.space.search_space import find_space

from .hostile import WORDS, bent, check_all, torn

PIECES = ["(", ")", ",", "x", "a", "exp", "relu(", "mul(", "1e9", "where(", "-", "**", ".", "0"]


def full_and_slice(full, part):
    """Run all of them with the claims, and a part of them always."""
    return pytest.mark.parametrize(
        "count", [part, pytest.param(full, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
    )


@full_and_slice(200_000, 3000)
def test_expressions(count, tmp_path):
    def make(rng):
        return torn(random_expression(rng, rng.randint(1, 4), learnable=True), rng, PIECES)

    def read(text):
        expression = Expression(text)
        assert Expression(expression.text).tree == expression.tree

    check_all(make, read, count, tmp_path)


PLACEMENT = {
    "schema": 1,
    "sites": {
        "0": {"activation": "prelu", "parameters": {"negative_slope": 0.1}, "channels": 4},
        "2": {"activation": "mul(x,sigmoid(mul(a,x)))", "parameters": {"a": 1.5}},
        "4": {"activation": "mixture", "parameters": {"members": ["relu", "tanh"]}},
    },
    "found": {"study": "s", "trial": 3, "metric": "val_loss", "gain": 0.1, "significant": True},
}


def model():
    layers = [nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.GELU()]
    return nn.Sequential(*layers)


@full_and_slice(20_000, 300)
def test_placements(count, tmp_path):
    file, empty = tmp_path / "placement.json", tmp_path / "empty"
    empty.mkdir()
    placed = Placement(sites=PLACEMENT["sites"], found=PLACEMENT["found"]).dumps()

    def make(rng):
        if rng.random() < 0.3:
            return torn(placed, rng, ['"', "{", "}", "[", ",", ":"])
        data = json.loads(placed)
        for _ in range(rng.randint(1, 3)):
            data = bent(data, rng)
        return json.dumps(data)

    def read(text):
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        Placement.load(file).apply(model())

    check_all(make, read, count, empty)


@full_and_slice(20_000, 150)
def test_search_spaces(count, tmp_path):
    file, empty = tmp_path / "space.yaml", tmp_path / "empty"
    empty.mkdir()
    names = ("general", "learnable", "expressions", "per_layer", "splines")
    presets = [find_space(name).read_text() for name in names]
    sites = find_sites(model())

    def make(rng):
        return torn(rng.choice(presets), rng, ["\n", ":", "  ", "- ", "?", "&a ", "*a", "{", "!"])

    def read(text):
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        bind(SearchSpace.load(file), sites)

    check_all(make, read, count, empty)


SEARCH = [
    *["search", "classification", "--trials", "1", "--confirm", "0", "--executor", "inline"],
    *["--trainer.max_epochs", "1", "--time", "2"],
]
"""Short where it is understood."""

COMMANDS = [
    [*SEARCH, "--trials", "{}"],
    [*SEARCH, "--space", "{}"],
    [*SEARCH, "--store", "/dev/null/{}"],
    [*SEARCH, "--time", "{}"],
    [*SEARCH, "--objective", "{}"],
    [*SEARCH, "--require", "[{}]"],
    [*SEARCH, "--{}"],
    ["search", "{}", *SEARCH[2:]],
    [*SEARCH, "--data", "{}"],
    ["sites", "{}"],
    ["show", "{}"],
    ["best", "{}"],
    ["confirm", "{}"],
    ["sync", "{}"],
    ["activations", "{}"],
    ["activations", "--where", "{}"],
    ["spaces", "{}"],
    ["tasks", "{}"],
    ["measures", "{}"],
    ["ui", "--port", "{}"],
    ["{}"],
]


@full_and_slice(130, 13)
def test_command_lines(count, tmp_path, monkeypatch):
    here, empty = tmp_path / "here", tmp_path / "empty"
    here.mkdir()
    empty.mkdir()
    monkeypatch.chdir(here)
    words = [word for word in WORDS if len(word) < 10_000]
    lines = [
        [part.replace("{}", word) for part in command]
        for word, command in itertools.product(words, COMMANDS)
    ]
    Random(0).shuffle(lines)
    if count < 100:  # a search takes seconds until it sees what is wrong
        lines = [line for line in lines if line[0] != "search"]
    chosen = iter(lines)
    for command in [*(f"actsearch.cli.{name}" for name in MAIN), "actsearch.run", "mlflow.store"]:
        importlib.import_module(command)

    def make(_):
        return next(chosen)

    def read(line):
        with (
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()) as told,
            pytest.raises(SystemExit) as end,
        ):
            main(line)
        assert end.value.code in (0, 2), told.getvalue()
        assert "Traceback" not in told.getvalue()

    check_all(make, read, count, empty, megabytes=400)  # some are right, and train
    assert list(tmp_path.rglob("executed")) == []
