"""What a study's numbers come from: code by what it does, data by what is in them."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from actsearch.search.training.origin import Origin, code_of, data_figures, origin
from actsearch.task.tensors import TensorLoader

MODEL = '''
"""A model."""
import torch
from . import layers
from mine.blocks.deep import block

class Net:
    """Has layers."""

    def forward(self, x):  # runs
        return layers.twice(block(x))
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package of four modules, and one beside it that nothing imports."""
    (tmp_path / "mine" / "blocks").mkdir(parents=True)
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "blocks" / "__init__.py").write_text("")
    (tmp_path / "mine" / "blocks" / "deep.py").write_text("def block(x):\n    return x + 1\n")
    (tmp_path / "mine" / "layers.py").write_text(
        "import helper_beside\ndef twice(x):\n    return helper_beside.two * x\n"
    )
    (tmp_path / "helper_beside.py").write_text("two = 2\n")
    (tmp_path / "mine" / "unused.py").write_text("a = 1\n")
    (tmp_path / "mine" / "model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [n for n in sys.modules if n.partition(".")[0] in ("mine", "helper_beside")]:
        del sys.modules[name]


def net():
    return importlib.import_module("mine.model").Net


def test_code_is_the_own_modules_that_a_class_imports(package):
    assert sorted(code_of(net())) == [
        "helper_beside",
        "mine",
        "mine.blocks",
        "mine.blocks.deep",
        "mine.layers",
        "mine.model",
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("mine/model.py", "# runs", "# runs often", []),
        ("mine/model.py", '"""Has layers."""', '"""Has two layers."""', []),
        ("mine/model.py", "block(x)", "block(2 * x)", ["code of mine.model changed"]),
        ("mine/blocks/deep.py", "x + 1", "x + 2", ["code of mine.blocks.deep changed"]),
        ("helper_beside.py", "2", "3", ["code of helper_beside changed"]),
        ("mine/unused.py", "1", "2", []),
    ],
)
def test_a_change_of_code_is_told_by_its_module(package, file, old, new, changed):
    then = Origin(code_of(net()))
    text = (package / file).read_text()
    assert old in text
    (package / file).write_text(text.replace(old, new))
    assert then.differences(Origin(code_of(net()))) == changed


def test_code_without_a_file_is_what_it_was_compiled_to():
    def made(body):
        space = {"__name__": "__main__"}
        exec(f"class Net:\n  def forward(self, x):\n    return [{body} for y in x]", space)
        return code_of(space["Net"])

    assert list(made("y")) == ["__main__.Net"]
    assert made("y") == made("y") != made("y + 1")


class Counted(Dataset):
    """Ten samples of two arrays and a name."""

    def __init__(self, factor=1.0, noise=None):
        self.factor, self.noise = factor, noise

    def __len__(self):
        return 10

    def __getitem__(self, index):
        drawn = self.noise() if self.noise else 0.0
        return {"x": np.full(3, self.factor * index) + drawn, "name": f"sample {index}"}


class Stream(torch.utils.data.IterableDataset):
    """An endless stream from a seed of its own."""

    def __iter__(self):
        return iter(torch.randn(100, 2, generator=torch.Generator().manual_seed(0)))


def seed():
    torch.manual_seed(0)
    np.random.seed(0)


ROWS = torch.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize(
    "loader",
    [
        TensorLoader(ROWS, batch_size=2, shuffle=True),
        DataLoader(TensorDataset(ROWS), shuffle=True),
        DataLoader(Counted(), shuffle=True),
        DataLoader(Counted(noise=np.random.rand)),
        DataLoader(Stream(), batch_size=4),
        [(ROWS, ROWS)],
    ],
)
def test_data_are_seen_the_same_each_time(loader):
    assert len(data_figures(loader, seed)) > 1
    assert data_figures(loader, seed) == data_figures(loader, seed)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (TensorDataset(ROWS), TensorDataset(ROWS[:-1])),
        (TensorDataset(ROWS), TensorDataset(ROWS.flip(0))),
        (TensorDataset(ROWS), TensorDataset(ROWS.index_fill(0, torch.tensor(3), 6.5))),
        (Counted(), Counted(factor=1.1)),
    ],
)
def test_other_data_are_told(then, now):
    seen = [origin([], {"training": DataLoader(data)}, seed) for data in (then, now)]
    assert seen[0].differences(seen[0]) == []
    assert seen[0].differences(seen[1]) == ["training data changed"]


def test_data_that_are_drawn_anew_or_cannot_be_read_are_no_difference():
    unseeded = np.random.default_rng()
    assert data_figures(DataLoader(Counted(noise=unseeded.random)), seed) == []
    assert data_figures(None, seed) == []


def test_a_last_digit_that_another_number_of_threads_makes_is_no_difference():
    then, now = (
        origin([], {"training": DataLoader(TensorDataset(rows))}, seed)
        for rows in (ROWS, ROWS * (1 + 1e-7))
    )
    assert then.differences(now) == []


def test_versions_are_told_and_an_older_study_knows_none():
    then, now = Origin(versions={"torch": "2.6.0"}), Origin(versions={"torch": "2.13.0"})
    assert then.differences(now) == ["torch 2.6.0 then, 2.13.0 now"]
    assert Origin().differences(now) == []
