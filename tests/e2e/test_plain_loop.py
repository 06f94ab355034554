"""A user's own loop in plain PyTorch: two functions beside the search, or in its script."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from optuna.trial import TrialState

import actsearch as package
from actsearch.errors import ActsearchError
from actsearch.search.study.record import StudyRun, result_of
from actsearch.search.study.store import Store

LOOP = """
import functools
import torch
from torch import nn

ROWS = 30

@functools.cache
def rows(seed):
    x = torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(seed))
    return x, (2 * x[:, :1]).sin() + x[:, 1:]

def build():
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))

def errors(model, seed):
    x, y = rows(seed)
    with torch.no_grad():
        return (model(x) - y).flatten() ** 2

def train(model, report):
    with open("trainings", "a") as file:
        file.write(f"{type(model[1]).__name__}\\n")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x, y = rows(0)
    for epoch in range(4):
        for batch in torch.randperm(ROWS).split(10):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
        rate = optimizer.param_groups[0]["lr"]
        if report(epoch, {"val_loss": errors(model, 1).mean(), "rate": rate}):
            break
    return {"test_loss": errors(model, 2)}
"""

SPLIT = """
def train_on(model, report, split_seed=7):
    with open("splits", "a") as file:
        file.write(f"{split_seed}\\n")
    loss = train(model, report)["test_loss"]
    return {"test_loss": loss + split_seed % 5}
"""

SCRIPT = """
import json
import actsearch

if __name__ == "__main__":
    for executor in ("inline", "local"):
        found = actsearch.run_search(
            train, model=build, space="rectifiers", objectives=["val_loss:min"], trials=4,
            confirm=1, seeds=2, executor=executor, study=executor,
        )
        seen = [[t.state.name, t.params, t.values] for t in found.trials]
        print(json.dumps([seen, found.confirmation.scores, found.confirmation.comparisons[0].rows]))
    print(found.advice)
"""


@pytest.fixture
def loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The user's file, imported as by a script in its folder."""
    (tmp_path / "loops.py").write_text(LOOP + SPLIT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "loops", raising=False)
    import loops

    yield loops
    del sys.modules["loops"]


FEW = package.SearchSpace(
    activations=dict.fromkeys(("relu", "tanh", "elu", "silu")), granularity="layer"
)


def search(loops, train="train", model="build", **changes) -> package.SearchResult:
    """Search as the user does, among few activations and without a confirmation."""
    wanted = {
        "objectives": ["val_loss:min"],
        "trials": 3,
        "confirm": 0,
        "executor": "inline",
        "space": FEW,
    }
    return package.run_search(
        getattr(loops, train), model=getattr(loops, model), **wanted | changes
    )


def trained() -> int:
    """How many trainings there were, the probe's among them."""
    return len(Path("trainings").read_text().splitlines())


def record(found: package.SearchResult) -> list[tuple[object, ...]]:
    return [(t.state, t.params, t.values, t.user_attrs["placement"]) for t in found.trials]


def test_functions_of_a_file_inline_and_in_processes(loops):
    inline, local = (
        search(
            loops, space="general", trials=4, confirm=1, seeds=2, executor=executor, study=executor
        )
        for executor in ("inline", "local")
    )
    assert record(inline) == record(local)
    assert [trial.state for trial in inline.trials].count(TrialState.COMPLETE) >= 4
    assert inline.confirmation.scores == local.confirmation.scores
    assert set(inline.best.sites) == {"1", "3"}
    assert inline.advice.replace("inline", "local") == local.advice


@pytest.mark.long
def test_functions_of_the_script_itself_inline_and_in_processes(tmp_path):
    (tmp_path / "go.py").write_text(LOOP + SCRIPT)
    environment = os.environ | {"PYTHONWARNINGS": "default::UserWarning:__main__"}
    done = subprocess.run(
        [sys.executable, "go.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    inline, local, *advice = done.stdout.splitlines()
    assert json.loads(inline) == json.loads(local)
    trials, scores, rows = json.loads(inline)
    assert [state for state, *_ in trials].count("COMPLETE") >= 4
    assert len(scores) == 4
    assert rows == 30
    assert any("actsearch confirm local" in line or "Placement.load" in line for line in advice)


def test_a_vector_of_test_losses_gives_an_interval_with_rows(loops):
    found = search(loops, confirm=1, seeds=2)
    measured = found.confirmation
    assert (measured.metric, measured.split) == ("test_loss", "test")
    (compared,) = measured.comparisons
    assert (compared.pairs, compared.rows) == (2, loops.ROWS)
    assert math.isfinite(compared.high - compared.low)
    assert "on this split, with its 30 rows in the interval" in measured.verdict()


def test_the_same_call_trains_nothing_more_and_more_trials_go_on(loops):
    first = search(loops, trials=4, confirm=1, seeds=2)
    before = trained()
    again = search(loops, trials=4, confirm=1, seeds=2)
    assert trained() == before
    assert record(again) == record(first)
    assert again.confirmation.scores == first.confirmation.scores
    more = search(loops, trials=6)
    new = [t for t in more.trials[len(first.trials) :] if not result_of(t).spared]
    assert trained() == before + len(new) == before + 2
    assert record(more)[: len(first.trials)] == record(first)
    assert record(more) == record(search(loops, trials=6, study="straight"))


STOPPED = """
from torch import nn

LOSSES = []

def build():
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))

def train(model, report):
    LOSSES.append(float(len(LOSSES)))  # each training is worse than those before it
    for epoch in range(5):
        if report(epoch, {"val_loss": LOSSES[-1]}):
            break
    with open("epochs", "a") as file:
        file.write(f"{epoch + 1}\\n")
"""


def test_report_answers_when_to_stop(tmp_path, monkeypatch):
    (tmp_path / "stopped.py").write_text(STOPPED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stopped", raising=False)
    import stopped

    found = search(stopped, trials=4, pruner="asha", learning_rate="fixed")
    epochs = [int(line) for line in Path("epochs").read_text().split()]
    ended = [t for t in found.trials if not result_of(t).spared]
    assert [len(result_of(t).history) for t in ended] == epochs, (
        "the loop ends where the search wants it to"
    )
    assert [t.state for t in ended] == [TrialState.COMPLETE] + [TrialState.PRUNED] * 3
    assert epochs[0] == 5, "the baseline is trained to the end, and asha counts it"
    assert all(number < 5 for number in epochs[1:])


WRONG = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))

def build_nothing():
    nn.Sequential(nn.Linear(2, 2))

def train(model, report):
    report(0, {"val_loss": 1.0})

def train_number(model, report):
    return 0.5

def train_text(model, report):
    return {"val_loss": "small"}

def train_tells_nothing(model, report):
    pass

def train_tells_number(model, report):
    report(0, 0.5)

def train_needs_split(model, report, split_seed):
    report(0, {"val_loss": 1.0})

unnamed = lambda model, report: None
number = 3
"""


NO_MAPPING = "metrics must be a mapping such as {'val_loss': 0.3}, but"
NO_NAME = "must be a class, (class, options) or a function with a name, but got"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": "train_number"}, NO_MAPPING),
        ({"train": "train_tells_number"}, NO_MAPPING),
        (
            {"train": "train_text"},
            "metric 'val_loss' must be a number, but wrong.train_text gave 'small'",
        ),
        (
            {"train": "train_tells_nothing"},
            "metric 'val_loss' must be logged by wrong.train_tells_nothing, but",
        ),
        (
            {"objectives": ["val_accuracy:max"]},
            "metric 'val_accuracy' must be logged by wrong.train, but",
        ),
        ({"train": "unnamed"}, f"{NO_NAME} <function <lambda>"),
        ({"model": "unnamed"}, f"{NO_NAME} <function <lambda>"),
        (
            {"model": "build_nothing"},
            "the model must be an nn.Module, but build_nothing returned None",
        ),
        ({"model": "number"}, f"{NO_NAME} 3"),
        ({"train": "train_needs_split"}, "missing 1 required positional argument: 'split_seed'"),
        (
            {"config": {"trainer.max_epochs": 3}},
            "must have no options in config, but got ['trainer.max_epochs']",
        ),
        (
            {"data": "wrong.Data"},
            "a training function must load its data itself, but got data 'wrong.Data'",
        ),
        (
            {"split_option": "fold"},
            "split_option must be an option of what is trained, but got 'fold'",
        ),
        ({"fidelity": "data"}, "fidelity must be epochs for a training function"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(tmp_path, monkeypatch, changes, message):
    (tmp_path / "wrong.py").write_text(WRONG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "wrong", raising=False)
    import wrong

    with pytest.raises(ActsearchError) as raised:
        search(wrong, **changes)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not Store("mlruns").names(), "nothing is written"


def test_the_learning_rate_of_the_study_reaches_the_optimiser(loops):
    found = search(loops, trials=10)
    baseline = [t for t in found.trials if t.user_attrs["stage"] == "baseline"]
    factors = [t.user_attrs["learning_rate_factor"] for t in baseline]
    assert {1.0, 3.0} < set(factors)
    assert len({t.values[0] for t in baseline}) == len(baseline), (
        "another rate must come to another loss"
    )
    for trial in found.trials:
        rate = result_of(trial).metrics.get("rate")  # of a pruned trial there may be none
        assert (
            rate == pytest.approx(1e-2 * trial.user_attrs["learning_rate_factor"]) or rate is None
        )
    assert found.best.learning_rate_factor == StudyRun.load(Store("mlruns"), found.study).factor(
        found.trials[found.best.found["trial"]]
    )


def test_a_split_seed_gives_each_pair_of_the_confirmation_a_split_of_its_own(loops):
    found = search(loops, train="train_on", confirm=1, seeds=3)
    splits = Counter(map(int, Path("splits").read_text().split()))
    searched = splits.pop(7)
    assert searched == 1 + sum(not result_of(t).spared for t in found.trials), (
        "the probe and the trials have the function's own"
    )
    measured = found.confirmation
    assert measured.split_option == "split_seed"
    assert measured.comparisons[0].pairs == 3
    assert sorted(splits.values()) == [2] * 3, (
        "both of a pair have the same split, each pair another"
    )
    assert measured.comparisons[0].rows == 0, "the rows are others with every split"
    assert "each with a split of its own" in measured.verdict()
