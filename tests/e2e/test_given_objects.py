"""What a user gives in Python and what can go wrong on its way to the processes of a search."""

from __future__ import annotations

import subprocess
import sys

import pytest
from torch import nn

import actsearch

CACHED = """
import functools
import torch
from torch import nn
import actsearch

@functools.cache
def rows(seed):
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(seed))
    return x, x[:, :1].sin()

def build():
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))

def train(model, report):
    x, y = rows(0)
    report(0, {"val_loss": float((model(x) - y).square().mean())})

few = actsearch.SearchSpace(activations={"relu": None, "tanh": None, "silu": None})
found = actsearch.run_search(
    train, few, model=build, objectives=["val_loss:min"], trials=3, confirm=0
)
print([t.state.name for t in found.trials])
"""

ODD = """
class Odd:
    def __reduce__(self):
        return int, ("odd",)

odd = Odd()
"""


def ran(script, folder):
    (folder / "go.py").write_text(script)
    return subprocess.run(
        [sys.executable, "go.py"], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_a_cached_function_of_the_script(tmp_path):
    done = ran(CACHED, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "'COMPLETE']"


def test_what_cannot_be_made_again_elsewhere_says_why(tmp_path):
    done = ran(
        CACHED.replace("@functools.cache", ODD).replace("x, y = rows(0)", "odd; x, y = rows(0)"),
        tmp_path,
    )
    assert "invalid literal for int" in done.stderr.strip().splitlines()[-1], done.stderr[-600:]


@pytest.mark.parametrize("which", ["model", "task"])
def test_an_instance_is_told_in_one_line(which):
    instance = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    def train(model, report): ...

    given = (
        {"task": instance, "model": train}
        if which == "task"
        else {"task": train, "model": instance}
    )
    with pytest.raises(actsearch.ActsearchError, match=r"but got an instance of Sequential\.$"):
        actsearch.run_search(**given, objectives=["val_loss:min"])


def test_a_training_function_without_a_model_says_what_is_missing():
    def train(model, report): ...

    with pytest.raises(
        actsearch.ActsearchError, match="is a training function, which must come with model="
    ):
        actsearch.run_search(train, objectives=["val_loss:min"])


def test_the_users_logging_is_left_as_it_is(own):
    script = """
import logging, own, actsearch
few = actsearch.SearchSpace(activations={"relu": None, "tanh": None, "silu": None})
actsearch.run_search(own.Own, few, trials=2, confirm=1, seeds=2, config={"trainer.max_epochs": 1})
print(logging.getLogger().handlers, logging.getLogger().level)
"""
    done = ran(script, own)
    assert done.stdout.strip() == "[] 30", done.stdout + done.stderr[-600:]
