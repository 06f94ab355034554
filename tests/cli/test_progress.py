"""What a search prints while it runs, on a pipe and into its log; what it does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from optuna.trial import TrialState, create_trial
from rich.progress import TimeRemainingColumn

from actsearch.tracking.progress import Progress

SEARCH = ("search", "own.Own", "--space", "space.yaml", "--executor", "inline", "--store", "store")
QUICK = ("--trials", 3, "--trainer.max_epochs", 1, "--study", "s", "--learning-rate", "fixed")


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """Leave out what takes a second in each search."""
    monkeypatch.setattr("actsearch.run.write_report", lambda run: None)


def test_lines_say_what_was_tried_and_none_stands_twice(own, actsearch):
    words = ["--trainer.max_epochs", 2, "--confirm", 1, "--seeds", 2, "--verbose"]
    shown = actsearch(*SEARCH, *QUICK, *words)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stderr.splitlines()
    assert len(lines) == len(set(lines))
    head = "\n".join(lines[:8])
    assert "study    s\ntask     own.Own\nsites    2 (1, 3) with relu\n" in head
    assert "choices  3 activations of space.yaml, one for each layer\n" in head
    assert "goal     val_loss (min)\nsize     3 trials" in head
    assert "by function_space, seed 0\nstore    store/studies/s\n" in head
    assert "MLflow   actsearch ui s --store store" in head
    assert any(line.startswith("trial 0, epoch 2 of 2: val_loss ") for line in lines)
    ends = [line for line in lines if ", baseline: " in line or ", search: " in line]
    assert len(ends) == 3 or any("the same functions as trial" in line for line in ends)
    for line in ends:
        assert re.search(r"own learning rate: val_loss \d\.\d{4}", line), line
        assert "; best val_loss" in line
        assert re.search(r"in \d+\.\d s;|not trained again;", line), line
    assert [line for line in lines if line.startswith("confirm")][-1].startswith("confirmed by ")
    log = Path("store/studies/s/search.log").read_text()
    assert [line[20:] for line in log.splitlines()] == lines
    table = [line for line in shown.stdout.splitlines() if line.startswith("│")]
    assert table
    assert all(line.split("│")[1].strip() for line in table), "no row goes on in the next"
    again = actsearch(*SEARCH, *QUICK, *words[:2], "--confirm", 0, "--quiet")
    assert again.stderr == ""
    assert again.stdout.startswith(("Keep your relu", "Reuse it in your training code"))
    more = actsearch("confirm", "s", "--top", 1, "--seeds", 2, "--store", "store")
    assert re.match(r"s: trials \d beside the baseline, \d+ trainings at most\n", more.stderr)
    assert "confirmation, " in more.stdout


def test_bars_have_their_time_left():
    kinds = [type(column) for column in Progress().bars.columns]
    assert TimeRemainingColumn in kinds


@pytest.mark.parametrize(
    ("state", "recorded", "told"),
    [
        (
            TrialState.PRUNED,
            {"reason": "pruned", "history": [[0, {"val_loss": 0.5}]], "seconds": 1.25},
            "pruned at 0.5000 in 1.2 s",
        ),
        (TrialState.PRUNED, {"reason": "refused: constant"}, "refused: constant"),
        (TrialState.FAIL, {"reason": "error: no"}, "failed: error: no"),
        (TrialState.FAIL, {}, "failed"),
    ],
)
def test_an_end_reads_as_what_it_was(state, recorded, told):
    shown = Progress()
    shown.metric = "val_loss"
    trial = create_trial(state=state, user_attrs={"outcome": recorded})
    assert shown._ended(trial) == told


BROKEN = """

class Broken(Own):
    def test_step(self, batch, index):
        raise RuntimeError("the test split is not there")
"""


def test_what_was_searched_is_shown_where_nothing_can_be_confirmed(own, actsearch):
    with (own / "own.py").open("a") as file:
        file.write(BROKEN)
    shown = actsearch("search", "own.Broken", *SEARCH[2:], *QUICK, "--confirm", 1, "--seeds", 2)
    assert shown.returncode == 2
    assert "s: the best of the search\n" in shown.stdout
    last = shown.stderr.splitlines()[-1]
    assert "no pair of trainings of the confirmation ended well" in last
    assert "the test split is not there" in last


NO_DATA = """

class Bare(Own):
    train_dataloader = L.LightningModule.train_dataloader
"""


def test_missing_data_are_asked_for(own, actsearch):
    with (own / "own.py").open("a") as file:
        file.write(NO_DATA)
    shown = actsearch("search", "own.Bare", *SEARCH[2:], *QUICK)
    assert shown.returncode == 2
    assert "Give its LightningDataModule: --data CLASS" in shown.stderr
    assert not Path("store").exists()


def test_dry_run_says_what_would_be_done_and_writes_nothing(own, actsearch):
    before = sorted(own.rglob("*"))
    words = ["--seeds-per-trial", 2, "--objective", "val_loss:max", "--dry-run", "--trials", 30]
    shown = actsearch(*SEARCH, *QUICK, *words)
    assert shown.returncode == 0, shown.stderr
    assert "sites    2 (1, 3) with relu" in shown.stdout
    assert shown.stderr == ""
    assert "goal     val_loss (max)" in shown.stdout
    assert "space    9 placements\n" in shown.stdout
    assert "trains   60 of the search, 32 at most of the confirmation\n" in shown.stdout
    assert re.search(r"takes    about \d+ (s|min) if all train to the end", shown.stdout)
    assert [path for path in sorted(own.rglob("*")) if "__pycache__" not in str(path)] == before
