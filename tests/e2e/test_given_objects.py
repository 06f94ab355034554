"""What a user gives in Python and what can go wrong on its way to the processes of a search."""

from __future__ import annotations

import pytest
from torch import nn

import actsearch

ODD = """
from torch import nn

class Odd:
    def __reduce__(self):
        return int, ("odd",)

odd = Odd()

def build():
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))

def train(model, report):
    report(0, {"val_loss": odd})
"""


def test_what_cannot_be_made_again_elsewhere_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cell: dict[str, object] = {"__name__": "__main__"}  # what no other process can import
    exec(ODD, cell)
    with pytest.raises(actsearch.ActsearchError, match="invalid literal for int"):
        actsearch.run_search(cell["train"], model=cell["build"], objectives=["val_loss:min"])


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
