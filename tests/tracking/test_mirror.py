"""MLflow is a mirror: out of reach it costs seconds, not the search.

Replayed, nothing is doubled.
"""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient

from actsearch.search.confirm.confirmation import Confirmation
from actsearch.search.study.record import StudyRun
from actsearch.search.study.store import Store
from actsearch.tracking import model
from actsearch.tracking.database import create_database
from actsearch.tracking.mirror import Mirror
from actsearch.tracking.model import bring_winner
from actsearch.tracking.replica import Replica

SEARCH = [
    "search",
    "own.Own",
    "--space",
    "space.yaml",
    "--trials",
    3,
    "--confirm",
    0,
    "--store",
    "store",
    "--study",
    "s",
]
QUICK = ["--trainer.max_epochs", 1]


def children(uri: str) -> list[tuple[str, str]]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("own.Own")
    found = client.search_runs([experiment.experiment_id], "tags.`actsearch.kind` != 'study'")
    return sorted((run.data.tags["actsearch.trial"], run.info.status) for run in found)


def test_out_of_reach_then_replayed(own, actsearch, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    start = time.monotonic()
    result = actsearch(*SEARCH, *QUICK)
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - start < 90, "a server that refuses must not hold the search up"
    assert "actsearch: note: MLflow at http://127.0.0.1:9 is behind" in result.stderr
    assert "actsearch sync s --store" in result.stderr
    refused = actsearch("sync", "s", "--store", "store")
    assert refused.returncode == 2
    assert "MLflow at http://127.0.0.1:9 must answer" in refused.stderr

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "3 trials of s were brought over" in actsearch("sync", "s", "--store", "store").stdout
    assert "0 trials of s were brought over" in actsearch("sync", "s", "--store", "store").stdout
    expected = [("0", "FINISHED"), ("1", "FINISHED"), ("2", "FINISHED")]
    assert children(f"sqlite:///{own}/store/mlflow.db") == expected


CALLS = ("log_text", "set_terminated", "set_tag")


@pytest.mark.parametrize(
    "call", ["log_batch", *(pytest.param(c, marks=pytest.mark.long) for c in CALLS)]
)
def test_what_was_cut_in_the_middle_of_a_trial_is_brought_over(own, actsearch, monkeypatch, call):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert actsearch(*SEARCH, *QUICK, "--executor", "inline").returncode == 0
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    calls = iter([None, ConnectionError("cut")])

    def cut(*arguments, **options):
        if error := next(calls, None):
            raise error
        return whole(*arguments, **options)

    whole = getattr(MlflowClient, call)
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, call, cut)
        assert actsearch("sync", "s", "--store", "store").returncode == 2
    uri = f"sqlite:///{own}/store/mlflow.db"
    assert actsearch("sync", "s", "--store", "store").returncode == 0
    assert children(uri) == [(str(number), "FINISHED") for number in range(3)]
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("own.Own").experiment_id
    for run in client.search_runs([experiment], "tags.`actsearch.kind` = 'trial'"):
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["placement.json"]
        metrics = client.get_metric_history(run.info.run_id, "val_loss")
        assert len({(point.step, point.value) for point in metrics}) == len(metrics)
    assert "0 trials of s were brought over" in actsearch("sync", "s", "--store", "store").stdout


def test_trainings_of_a_confirmation_are_brought_over_while_it_runs(searched, monkeypatch):
    monkeypatch.setattr("actsearch.tracking.mirror.PAUSE", 0.05)
    mirror, scores = Mirror(searched.store), Confirmation.read(searched).scores
    deadline = time.monotonic() + 60
    with mirror.following(searched):
        found = []
        while len(found) < len(scores) and time.monotonic() < deadline:
            time.sleep(0.1)
            if (searched.store.root / "mlflow.db").exists():
                client = MlflowClient(mirror.uri)
                found = client.search_runs(["1"], "tags.`actsearch.kind` = 'confirm'")
        assert len(found) == len(scores)
    assert not mirror.problem
    assert len(client.search_runs(["1"], "tags.`actsearch.kind` = 'confirm'")) == len(scores)


def test_database_is_whole_and_read_while_written(tmp_path):
    (tmp_path / ".mlflow.killed").mkdir()
    create_database(tmp_path)
    assert [file.name for file in tmp_path.glob("*mlflow*")] == ["mlflow.db"], "no draft is left"
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert client.get_experiment(client.create_experiment("e")).name == "e"
    with client._tracking_client.store.engine.connect() as connection:
        setting = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    assert setting == 2, "only the draft's migrations go without waiting for the disk"


@pytest.fixture
def server(tmp_path):
    """A real MLflow server on loopback."""
    port = 5987
    options = (
        f"--backend-store-uri sqlite:///{tmp_path}/server.db"
        f" --artifacts-destination {tmp_path}/served --host 127.0.0.1 --port {port} --workers 1"
    )
    command = [sys.executable, "-m", "mlflow", "server", *options.split()]
    import os

    environment = os.environ | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        uri = f"http://127.0.0.1:{port}"
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=1).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        yield uri
        os.killpg(process.pid, 9)


@pytest.mark.long
def test_real_server(own, actsearch, server, monkeypatch, searched_once):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    result = actsearch(*SEARCH, *QUICK)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("note:") == 0, result.stderr
    assert [status for _, status in children(server)] == ["FINISHED"] * 3
    assert not Path("store/mlflow.db").exists()
    assert "View run" not in result.stdout, "MLflow's own lines"
    last = result.stdout.splitlines()[-1]
    assert last.startswith(f"MLflow's pages: {server}/#/experiments/1/runs?workflowType=")
    asked = actsearch("ui", "s", "--store", "store")
    assert (asked.returncode, asked.stdout) == (0, f"s: {last.partition(': ')[2]}\n")

    replica = Replica(StudyRun.load(Store(searched_once), "s"))
    replica.connect()
    replica.close("FINISHED")
    monkeypatch.setattr(model, "_export", lambda run, number, folder: folder.mkdir() or "")
    assert bring_winner(replica) == "version 1"
    assert bring_winner(replica) == "version 1"
    (version,) = replica.client.search_model_versions("name = 's'")
    assert version.run_id == replica.parent
