"""The life of studies: listed, shown, exported, renamed, deleted."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from actsearch import Placement, run_search
from actsearch.search.study.overview import overviews
from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store
from actsearch.search.study.upkeep import rename_study
from actsearch.tracking.report import best_rows

OPTIONS = {
    "space": "space.yaml",
    "executor": "inline",
    "learning_rate": "fixed",
    "config": {"trainer.max_epochs": 1},
    "store": "store",
}


def search():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actsearch.run.write_report", lambda run: None)  # which takes a second
        run_search("own.Own", trials=2, confirm=0, study="first", **OPTIONS)
        run_search("own.Own", trials=3, confirm=1, seeds=2, study="second", **OPTIONS)


@pytest.fixture
def store(made_once, tmp_path, monkeypatch):
    """A store of two studies, the second one confirmed, for one test."""
    folder = _made(made_once)
    shutil.copytree(folder / "store", tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    return Store("store")


def _made(make, cache={}):  # noqa: B006  # once for all tests of this file
    if not cache:
        cache["folder"] = make(search)
    return cache["folder"]


def test_listed_with_the_latest_first(store, actsearch):
    second, first = overviews(store)
    assert (first.name, first.trials, first.state, first.verdict) == ("first", 2, "finished", "")
    assert (second.name, second.task, second.metric) == ("second", "own.Own", "val_loss")
    run = StudyRun.load(store, "second")
    assert second.best == run.ranked()[0].values[0]
    found = Placement.load(next(run.folder.glob("*.json"))).found
    assert second.state == "confirmed"
    assert (second.gain, second.verdict) == (found["gain"], found["verdict"])
    shown = actsearch("studies", "--store", "store")
    assert shown.stdout == actsearch("show", "--store", "store").stdout
    lines = shown.stdout.splitlines()
    assert [line.split("│")[1].strip() for line in lines if " own.Own " in line] == [
        "second",
        "first",
    ]
    told = json.loads(actsearch("studies", "--json", "--store", "store").stdout)
    assert [one["name"] for one in told] == ["second", "first"]
    assert told[0]["gain"] == pytest.approx(second.gain)


def test_an_empty_store_says_how_to_begin(actsearch, tmp_path):
    shown = actsearch("studies", "--store", tmp_path / "nothing")
    assert "has no studies. Begin one: actsearch search" in shown.stdout
    assert not (tmp_path / "nothing").exists()


def test_a_state_is_told_by_lock_and_record(store):
    state = {one.name: one.state for one in overviews(store)}
    with store.owned("first"):
        assert {one.name: one.state for one in overviews(store)} == state | {"first": "running"}
    (store.folder("first") / "owner.json").write_text("{}")  # as a kill leaves it
    assert {one.name: one.state for one in overviews(store)} == state
    study = store.load("first")
    study.enqueue_trial({})
    assert {one.name: one.state for one in overviews(store)} == state | {"first": "stopped"}


def test_trials_are_exported_one_a_row(store, actsearch):
    run = StudyRun.load(store, "second")
    assert actsearch("export", "second", "--to", "csv", "--store", "store").returncode == 0
    rows = list(csv.DictReader(Path("second.csv").read_text().splitlines()))
    assert [int(row["number"]) for row in rows] == [trial.number for trial in run.trials]
    assert float(rows[1]["values.val_loss"]) == run.trials[1].values[0]
    assert rows[1]["parameters.net.1"] == run.trials[1].params["net.1"]
    assert (
        actsearch(
            "export", "second", "--to", "json", "--store", "store", "--output", "a/b.json"
        ).returncode
        == 0
    )
    data = json.loads(Path("a/b.json").read_text())
    assert data[1]["values"] == {"val_loss": run.trials[1].values[0]}
    assert data[1]["parameters"] == run.choices(run.trials[1])
    assert {"state", "phase", "learning_rate_factor", "seconds", "reason"} <= data[0].keys()


def test_renamed_in_record_folder_and_file(store, actsearch):
    before = [trial.params for trial in store.load("second").trials]
    shown = actsearch("rename", "second", "third", "--store", "store")
    assert shown.returncode == 0, shown.stderr
    assert "actsearch sync third" in shown.stdout
    assert store.names() == ["first", "third"]
    run = StudyRun.load(store, "third")
    assert [trial.params for trial in run.trials] == before
    assert not store.folder("second").exists()
    assert not (run.folder / "owner.json").exists()
    assert Placement.load(next(run.folder.glob("*e*.json"))).found["study"] == "third"
    assert (run.folder / "report/summary.md").read_text().startswith("# third")
    assert {one.name: one.state for one in overviews(store)}["third"] == "confirmed"
    assert actsearch("sync", "third", "--store", "store").returncode == 0
    client = MlflowClient(f"sqlite:///{store.root}/mlflow.db")
    (experiment,) = (e for e in client.search_experiments() if e.name == "own.Own")
    runs = client.search_runs([experiment.experiment_id], "tags.`actsearch.study` = 'third'")
    kinds = Counter(one.data.tags["actsearch.kind"] for one in runs)
    assert kinds.pop("confirm") > 0
    assert kinds == {"study": 1, "baseline": 1, "trial": len(run.trials) - 1}
    assert "third" in [one.info.run_name for one in runs]


def test_who_learns_from_a_renamed_study_still_does(store):
    study = store.load("first")
    options = json.loads(study.user_attrs["actsearch.plan"]) | {"learn_from": ["second"]}
    study.set_user_attr("actsearch.plan", json.dumps(options))
    rename_study(store, "second", "third")
    assert StudyRun.load(store, "first").config.learn_from == ["third"]


def test_deleted_with_its_files(store, actsearch, monkeypatch):
    asked = actsearch("delete", "first", "--store", "store")
    assert asked.returncode == 2
    assert "--yes must be given where nobody can be asked" in asked.stderr
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n", raising=False)
    assert "nothing was deleted" in actsearch("delete", "first", "--store", "store").stdout
    assert store.names() == ["first", "second"]
    shown = actsearch("delete", "first", "--yes", "--store", "store")
    assert shown.returncode == 0, shown.stderr
    assert "MLflow keeps its runs, found by the tag actsearch.identity = " in shown.stdout
    assert store.names() == ["second"]
    assert not store.folder("first").exists()
    assert len(store.load("second").trials) > 1


def test_deleted_in_mlflow_as_well(store, actsearch):
    client = MlflowClient(f"sqlite:///{store.root}/mlflow.db")
    (experiment,) = (e for e in client.search_experiments() if e.name == "own.Own")
    trials = len(store.load("first").trials)
    shown = actsearch("delete", "first", "--yes", "--mlflow", "--store", "store")
    assert f"MLflow: {trials + 1} runs marked as deleted" in shown.stdout
    left = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["actsearch.study"] for run in left} == {"second"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["delete", "frist", "--yes"], "unknown study 'frist'; nearest: first"),
        (["rename", "frist", "third"], "unknown study 'frist'; nearest: first"),
        (["rename", "first", "second"], "the new name must be free, but "),
        (["rename", "first", "a/b"], "a study's name must be 1 to 100 letters"),
        (["export", "first"], "the following arguments are required: --to"),
        (["studies", "--jsn"], "unrecognized arguments: --jsn; nearest: --json"),
    ],
)
def test_refused(arguments, message, store, actsearch):
    told = actsearch(*arguments, *(["--store", "store"] * (arguments[0] != "studies")))
    assert (told.returncode, told.stdout) == (2, "")
    assert message in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert store.names() == ["first", "second"]


@pytest.mark.parametrize("command", [["delete", "first", "--yes"], ["rename", "first", "third"]])
def test_one_that_runs_is_left_alone(command, store, actsearch):
    with store.owned("first"):
        told = actsearch(*command, "--store", "store")
    assert told.returncode == 2
    assert "study 'first' must be run by one process at a time, but process" in told.stderr
    run = StudyRun.load(store, "first")
    assert sum(trial.state == TrialState.COMPLETE for trial in run.trials) == 2


def test_shown_as_json(store, actsearch):
    shown = json.loads(actsearch("show", "second", "--json", "--store", "store").stdout)
    run = StudyRun.load(store, "second")
    assert shown["trials"][0]["number"] == run.ranked()[0].number
    assert shown["confirmation"]["comparisons"]
    assert shown["verdict"] in ("better", "worse", "no difference found")
    assert [rung["name"] for rung in shown["ladder"]][-1] == "confirmed"


def test_of_the_baseline_the_best_rate_alone_is_among_the_best(store):
    run = StudyRun.load(store, "first")
    again = run.study
    number = again.ask().number
    for key, value in run.trials[0].user_attrs.items():
        again._storage.set_trial_user_attr(again.trials[number]._trial_id, key, value)
    again.tell(number, run.trials[0].values[0] + 1)
    _, rows = best_rows(StudyRun.load(store, "first"))
    assert [row[0] for row in rows if "the model's own" in row[-1]] == ["baseline"]


def test_what_a_terminal_would_obey_is_not_printed(store, actsearch):
    study = store.load("first")
    options = json.loads(study.user_attrs["actsearch.plan"]) | {"task": "own\x1b[31m"}
    study.set_user_attr("actsearch.plan", json.dumps(options))
    shown = actsearch("studies", "--store", "store").stdout
    assert "own?[31m" in shown
    assert "\x1b" not in shown + actsearch("studies", "--json", "--store", "store").stdout
