"""Faults of a Ray cluster: nodes, workers and the mailbox killed, the command stopped and killed.

Two nodes on this machine; nothing told is lost or told twice, and no process is left.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import TrialState

from actsearch.search.study.record import result_of
from actsearch.search.training.job import Job, Result
from actsearch.search.training.target import Target

from .remains import LINUX, left, marked
from .searches import PATIENCE, Search

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not LINUX, reason="reads /proc"),
]

JOBS = 6
EPOCHS = 4
COORDINATOR = """
import json, os, signal, sys
from pathlib import Path
from ray.cluster_utils import Cluster
from actsearch.search.executors.local import LocalExecutor
from actsearch.search.executors.ray import RayExecutor
from actsearch.search.executors.ray_cluster import _loopback
from actsearch.search.executors.ray_options import RayOptions
from actsearch.search.study.record import result_of
from actsearch.search.training.job import Job

fault, times = sys.argv[1], int(sys.argv[2])
jobs = [Job.loads(file.read_text()) for file in sorted(Path("wanted").iterdir())]
told, faults = [], 0

def named(title):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mine = os.environ["MARK"].encode() in (folder / "environ").read_bytes()
            if mine and (folder / "cmdline").read_text().startswith(title):
                found.append(int(folder.name))
        except OSError:
            pass
    return sorted(found)

def strike():
    global faults
    faults += 1
    if fault == "node":
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        nodes.append(cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1"))
    else:
        title = "ray::Mailbox" if fault == "mailbox" else "ray::actsearch"
        number = signal.SIGTERM if fault == "worker by SIGTERM" else signal.SIGKILL
        os.kill(named(title)[-1], number)

def hear(key, epoch, metrics):
    told.append((key, epoch, metrics["val_loss"]))
    return key == 1 and epoch == 1

def run(executor):
    ended = []
    with executor:
        for key, job in enumerate(jobs):
            executor.submit(key, job)
        while len(ended) < len(jobs):
            ended += [(key, result.dumps()) for key, result in executor.wait(hear)]
            if faults < times and len(told) > 3 * faults + 1:
                strike()
        assert executor.wait(hear) == []
    print(json.dumps({"told": told, "ended": ended, "faults": faults}))

if fault == "none":
    run(LocalExecutor(2))
else:
    with _loopback():
        cluster = Cluster()
        for _ in range(2):
            nodes = [cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")]
        run(RayExecutor(len(jobs), options=RayOptions(address=cluster.address)))
        cluster.shutdown()
"""


def coordinate(folder: Path, fault: str, times: int = 1) -> tuple[dict, set[int]]:
    """Run the jobs, and return what was told and ended, and what is left of the processes."""
    mark = f"{folder}-{fault}-{times}"
    ended = subprocess.run(
        [sys.executable, "-c", COORDINATOR, fault, str(times)],
        cwd=folder,
        env=os.environ | {"MARK": mark, "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(ended.stdout.splitlines()[-1]), left(lambda: marked(f"MARK={mark}"))


def results(found: dict) -> dict[int, Result]:
    return {
        key: replace(Result.loads(text), seconds=0.0, cpu=0.0, reason="")
        for key, text in found["ended"]
    }


@pytest.fixture
def wanted(own: Path) -> Path:
    given = {"trainer.max_epochs": EPOCHS, "task.pause": 0.1}
    config = Target.resolve("own.Own").configure(given)
    (own / "wanted").mkdir()
    for key in range(JOBS):
        folder = str(own / "trials" / str(key))
        job = Job("own.Own", config, ["val_loss"], seed=key, threads=1, folder=folder)
        (own / "wanted" / f"{key}.json").write_text(job.dumps())
    return own


FAULTS = {"node": 2, "worker": 3, "worker by SIGTERM": 2, "mailbox": 2}


def test_what_a_cluster_loses_is_taken_up_and_nothing_is_told_twice(wanted):
    straight, _ = coordinate(wanted, "none", 0)
    wrong = {}
    for fault, times in FAULTS.items():
        found, survivors = coordinate(wanted, fault, times)
        keys = Counter(key for key, _ in found["ended"])
        told = Counter((key, epoch) for key, epoch, _ in found["told"])
        counts = {
            "lost": JOBS - len(keys),
            "doubled": sum(n - 1 for n in keys.values()),
            "told twice": sum(n - 1 for n in told.values()),
            "told otherwise": len(
                {tuple(one) for one in found["told"]} ^ {tuple(one) for one in straight["told"]}
            ),
            "other results": sum(results(found)[k] != r for k, r in results(straight).items()),
            "without weights": sum(
                not (wanted / "trials" / str(key) / "weights.safetensors").exists()
                for key in range(JOBS)
            ),
            "processes": len(survivors),
        }
        print(
            f"\n{fault} killed {found['faults']} times: trainings {JOBS},"
            f" {', '.join(f'{what} {number}' for what, number in counts.items())}"
        )
        wrong |= {(fault, what): number for what, number in counts.items() if number}
        assert found["faults"] == times
    assert not wrong


OPTIONS = "--executor ray --sampler random --learning-rate fixed --pruner none --confirm 0 --jobs 2"
SLOW = "--trainer.max_epochs 2 --task.pause 0.05"


@pytest.mark.parametrize(
    ("send", "number", "code"),
    [
        (os.killpg, signal.SIGINT, 130),
        (os.kill, signal.SIGTERM, 143),
        (os.killpg, signal.SIGTERM, 143),
        (os.kill, signal.SIGKILL, -9),
        (os.killpg, signal.SIGKILL, -9),
    ],
    ids=["Ctrl-C", "terminate", "terminate all", "kill -9", "kill -9 all"],
)
def test_stopped_and_resumed_nothing_is_lost(send, number, code, own):
    search = Search(own, "stopped", f"{OPTIONS} {SLOW}", 6)
    process = search.start()
    while search.ended() < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    send(process.pid, number)
    begin = time.monotonic()
    _, errors = process.communicate(timeout=PATIENCE)
    took = time.monotonic() - begin
    # After a kill -9 Ray's own agents wait up to a minute for a cluster that does not come back.
    survivors, told = left(lambda: marked(f"MARK={search.root}"), within=120), search.told()
    search.finish()
    lost = sum(search.told().get(key) != end for key, end in told.items())
    wrong = search.wrong()
    print(
        f"\n{signal.Signals(number).name} to {send.__name__}: code {process.returncode} after"
        f" {took:.1f} s, told {len(told)}, lost {lost}, left {len(survivors)},"
        f" {', '.join(f'{what} {count}' for what, count in wrong.items())}"
    )
    assert process.returncode == code, errors
    assert code < 0 or "Go on with the same command" in errors
    assert "Traceback" not in errors
    assert not survivors
    assert not lost
    assert not any(wrong.values())


def test_a_training_that_hangs_or_dies_fails_alone(own):
    wrong = "--space space.yaml --task.wrong tanh=hang,elu=killed --trial-timeout 8"
    search = Search(own, "failing", f"{OPTIONS} {SLOW} {wrong}", 6)
    search.finish()
    reasons = Counter(
        reason.partition(" (")[0]
        for reason in (
            result_of(trial).reason
            for trial in search.trials_now()
            if trial.state == TrialState.FAIL
        )
    )
    found = search.wrong()
    print(f"\n{dict(reasons)}, {', '.join(f'{what} {number}' for what, number in found.items())}")
    assert set(reasons) <= {"timeout: longer than 8 s", "killed: by signal 9"}
    assert "timeout: longer than 8 s" in reasons
    assert not any(found.values())
