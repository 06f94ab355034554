"""A server of MLflow that fails in any way costs a search some seconds of waiting, and no run.

Once it answers again, ``actsearch sync`` brings over what it missed, once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState

from actsearch.search.study.record import StudyRun, counts, result_of
from actsearch.search.study.store import Store
from actsearch.tracking.database import create_database
from actsearch.tracking.mirror import PATIENCE

from .proxy import Proxy, free_port
from .searches import ACTSEARCH

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

TRIALS = 4
MIDWAY = 14
"""Calls that are answered well before a fault that begins midway: those of one or two trials."""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[int]:
    """The port of a real server."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    options = (
        f"--backend-store-uri sqlite:///{folder}/server.db --artifacts-destination {folder}/served"
        f" --host 127.0.0.1 --port {port} --workers 1"
    )
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *options.split()],
        env=os.environ | quiet,
        stdout=nowhere,
        stderr=nowhere,
        start_new_session=True,
    ) as process:
        while True:
            assert process.poll() is None
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            time.sleep(0.2)
        yield port
        os.killpg(process.pid, signal.SIGKILL)


def opened() -> StudyRun:
    return StudyRun.load(Store("store"), "s")


def search(uri: str = "") -> tuple[bool, float]:
    """Run a search to its end.

    Return whether it told that MLflow is behind, and how long it went on after its last trial.
    """
    options = f"--sampler random --learning-rate fixed --trials {TRIALS} --confirm 0 --study s"
    line = f"search own.Own --space space.yaml {options} --trainer.max_epochs 2 --store store"
    ended = subprocess.run(
        [ACTSEARCH, *line.split()],
        env=os.environ | ({"MLFLOW_TRACKING_URI": uri} if uri else {}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    end = datetime.now()
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    notes = [line for line in ended.stderr.splitlines() if "note: MLflow" in line]
    assert len(notes) <= 1
    assert all("is behind" in note and "actsearch sync s --store" in note for note in notes)
    trials = opened().trials
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert sum(map(counts, trials)) == TRIALS
    return bool(notes), (end - max(t.datetime_complete for t in trials)).total_seconds()


def check_whole(uri: str) -> None:
    """Check that MLflow has a study as the record has it, each thing once."""
    run = opened()
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("own.Own").experiment_id
    runs = client.search_runs([experiment], max_results=1000)
    identity = run.study.user_attrs["actsearch.identity"]
    parents = [one.info for one in runs if one.data.tags.get("actsearch.identity") == identity]
    assert [parent.status for parent in parents] == ["FINISHED"]
    below = [one for one in runs if one.data.tags.get("mlflow.parentRunId") == parents[0].run_id]
    assert {one.info.status for one in below} == {"FINISHED"}
    children = [one for one in below if one.data.tags["actsearch.kind"] in ("baseline", "trial")]
    numbers = [int(one.data.tags["actsearch.trial"]) for one in children]
    assert sorted(numbers) == list(range(len(run.trials)))
    for number, child in zip(numbers, children, strict=True):
        trial, key = run.trials[number], child.info.run_id
        files = [file.path for file in client.list_artifacts(key)]
        assert number == 0 or "placement.json" in files
        given = {name: str(value) for name, value in trial.params.items()}
        assert given.items() <= child.data.params.items()
        points = client.get_metric_history(key, "val_loss")
        history = [(step, metrics["val_loss"]) for step, metrics in result_of(trial).history]
        assert sorted((point.step, point.value) for point in points) == history


def sync(actsearch) -> int:
    """Return how many trials ``actsearch sync`` says that it brought over."""
    result = actsearch("sync", "s", "--store", "store")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return int(result.stdout.splitlines()[-1].split()[0])


MADE = "answers lost where a run is made"
FAULTS = {
    "refused": ("closed", 0),
    "silent": ("silent", 0),
    "errors": ("error", 0),
    "garbage": ("garbage", 0),
    "drops the connection": ("drop", 0),
    "answers lost": ("lose", 0),
    "1 s a call": (1.0, 0),
    "5 s a call": (5.0, 0),
    "dies midway": ("closed", MIDWAY),
    "5 s a call from midway": (5.0, MIDWAY),
    "answers lost from midway": ("lose", MIDWAY),
    "starts late": ("closed", 0),
    MADE: ("lose", 2, "/runs/create"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_server_costs_seconds_and_no_run(name, own, server, actsearch, monkeypatch):
    proxy = Proxy(server, *FAULTS[name])
    uri = f"http://127.0.0.1:{proxy.port}"
    if name == "starts late":
        threading.Timer(6.0, proxy.heal).start()
    behind, waited = search(uri)
    proxy.heal()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    first, second = sync(actsearch), sync(actsearch)
    print(
        f"\n{name}: calls {proxy.calls}, told {behind}, waited {waited:.1f} s, brought over"
        f" {first}, then {second}"
    )
    try:
        check_whole(f"http://127.0.0.1:{server}")
    finally:
        proxy.close()
    assert behind or first == 0
    assert second == 0
    # Beside the waiting, pictures are drawn and the process ends.
    assert waited < PATIENCE + 20


def test_a_locked_database_is_brought_up_later(own, actsearch):
    create_database(own / "store")
    with contextlib.closing(sqlite3.connect("store/mlflow.db")) as database:
        database.execute("BEGIN EXCLUSIVE")
        behind, waited = search()
        database.rollback()
    assert behind
    assert waited < PATIENCE + 20
    assert sync(actsearch) == len(opened().trials)
    assert sync(actsearch) == 0
    check_whole(f"sqlite:///{own}/store/mlflow.db")


def test_a_corrupt_database_is_told_and_made_anew_where_it_is_moved_away(own, actsearch):
    Path("store").mkdir()
    database = Path("store/mlflow.db")
    database.write_bytes(os.urandom(20_000))
    behind, _ = search()
    assert behind
    line = [ACTSEARCH, "sync", "s", "--store", "store"]
    refused = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "file is not a database" in refused.stderr
    database.unlink()
    assert sync(actsearch) == len(opened().trials)
    check_whole(f"sqlite:///{own}/store/mlflow.db")
