"""kill -9 on the coordinator, again and again.

Nothing told is lost, nothing is left running, the total is exact.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState

from actsearch.errors import ActsearchError
from actsearch.search.study.record import StudyRun, counts
from actsearch.search.study.store import Store

TRIALS = 6


def command(store: str) -> list[str]:
    options = (
        f"--space space.yaml --pruner none --trials {TRIALS} --confirm 0 --study s"
        " --trainer.max_epochs 2 --task.pause 0.03"
    )
    program = str(Path(sys.executable).parent / "actsearch")
    return [program, "search", "own.Own", *options.split(), "--store", store]


def trials(store: Path) -> list[FrozenTrial]:
    try:
        return StudyRun.load(Store(store), "s").trials
    except ActsearchError:
        return []


def count(store: Path) -> int:
    """Return how many trials have ended, cheaply enough to be asked many times a second."""
    if not (store / "optuna.db").exists():
        return 0
    with contextlib.closing(
        sqlite3.connect(f"file:{store / 'optuna.db'}?mode=ro", uri=True)
    ) as database:
        try:
            ((number,),) = database.execute(
                "SELECT COUNT(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED', 'FAIL')"
            )
        except sqlite3.OperationalError:  # the tables are just being made
            return 0
        return int(number)


def finished(store: Path) -> dict[int, tuple[TrialState, list[float] | None]]:
    return {t.number: (t.state, t.values) for t in trials(store) if t.state.is_finished()}


@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.long)])
def test_killed_and_resumed_equals_straight(own, actsearch, kills):
    straight = actsearch(*command("straight")[1:])
    assert straight.returncode == 0, straight.stderr

    choose = random.Random(0)
    told: dict[int, tuple[TrialState, list[float] | None]] = {}
    lost, killed = 0, 0
    for _ in range(kills):
        process = subprocess.Popen(
            command("killed"), cwd=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before = count(own / "killed")
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if count(own / "killed") > before:
                time.sleep(choose.uniform(0, 1.0))
                break
            time.sleep(0.05)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
        now = finished(own / "killed")
        lost += sum(now.get(number) != end for number, end in told.items())
        told = now

    last = actsearch(*command("killed")[1:])
    assert last.returncode == 0, last.stderr
    end = trials(own / "killed")
    lost += sum(finished(own / "killed").get(number) != how for number, how in told.items())
    zombies = sum(t.state in (TrialState.RUNNING, TrialState.WAITING) for t in end)
    print(
        f"kills {killed}, told before the last start {len(told)}, lost {lost}, zombies {zombies},"
        f" total {len(end)}"
    )
    assert killed
    assert (lost, zombies, sum(map(counts, end))) == (0, 0, TRIALS)
    same = [(t.number, t.params, t.values) for t in trials(own / "straight")]
    assert [(t.number, t.params, t.values) for t in end] == same, "resumed must equal straight"

    client = MlflowClient(f"sqlite:///{own / 'killed' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("own.Own")
    children = client.search_runs([experiment.experiment_id], "tags.`actsearch.kind` != 'study'")
    assert sorted(int(r.data.tags["actsearch.trial"]) for r in children) == list(range(len(end)))
    assert {r.info.status for r in children} == {"FINISHED"}


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.long),
        (signal.SIGTERM, 143),
    ],
)
def test_signal_stops_cleanly(number, code, own):
    process = subprocess.Popen(
        command("stopped"), cwd=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while count(own / "stopped") < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Go on with the same command: actsearch search own.Own" in errors
    assert "Traceback" not in errors
    assert all(t.state != TrialState.RUNNING for t in trials(own / "stopped"))
