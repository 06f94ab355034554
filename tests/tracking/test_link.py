"""The link to a study's runs: its filter, its order, and where it leads."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from mlflow import MlflowClient

from actsearch.search.study.config import Objective
from actsearch.tracking.link import pages, runs_link
from actsearch.tracking.replica import Replica


@pytest.mark.parametrize(
    ("goals", "key", "ascending"),
    [
        ((Objective("val_loss", "min"), Objective("latency", "min")), "metrics.`val_loss`", "true"),
        ((Objective("val_f1 (%)", "max"),), "metrics.`val_f1 ___`", "false"),
    ],
)
def test_the_table_of_one_study_the_best_first(searched, monkeypatch, goals, key, ascending):
    run = searched
    Replica(run).connect()
    monkeypatch.setitem(run.config.__dict__, "goals", goals)
    link = urlsplit(runs_link(run, "http://127.0.0.1:5000"))
    assert link.netloc == "127.0.0.1:5000"
    page, _, query = link.fragment.partition("?")
    experiment = MlflowClient(f"sqlite:///{run.store.root}/mlflow.db").get_experiment_by_name(
        "own.Own"
    )
    assert page == f"/experiments/{experiment.experiment_id}/runs"
    assert not set("` '\"<>") & set(query), "as a terminal or a mail keeps it whole"
    assert dict(parse_qsl(query)) == {
        "workflowType": "machine_learning",
        "searchFilter": "tags.`actsearch.study` = 's'",
        "orderByKey": key,
        "orderByAsc": ascending,
    }


def test_the_pages_name_the_server_where_there_is_one(searched, monkeypatch):
    run = searched
    assert pages(run, "store") == ("actsearch ui s --store store    then http://127.0.0.1:5000"), (
        "no experiment yet"
    )
    assert not (run.store.root / "mlflow.db").exists(), "and none is made by asking"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9/")
    assert pages(run, "store") == "http://127.0.0.1:9"
