"""Trials in processes of their own: threads, what the server has loaded, nothing left behind."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path

import pytest

from actsearch.search.executors.local import LocalExecutor
from actsearch.search.executors.threads import THREADS, usable_cores
from actsearch.search.study.config import StudyConfig
from actsearch.search.training.job import Job, Result
from actsearch.search.training.target import Target

CURIOUS = """
import gc, sys
import torch
import own

class Curious(own.Own):
    def validation_step(self, batch, index):
        super().validation_step(batch, index)
        self.log("threads", float(torch.get_num_threads()))
        self.log("frozen", float(gc.get_freeze_count()))
        self.log("loaded", float("sklearn.datasets" in sys.modules))
"""

WORKERS = """
import torch
import own

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 32

    def __getitem__(self, index):
        worker = torch.utils.data.get_worker_info()
        return torch.zeros(2), torch.zeros(1), float(worker.num_workers if worker else 0)

class Workers(own.Own):
    def training_step(self, batch, index):
        return super().training_step(batch[:2], index)

    def validation_step(self, batch, index):
        super().validation_step(batch[:2], index)
        self.log("workers", batch[2].float().mean())

    def _batches(self, seed):
        return torch.utils.data.DataLoader(
            Data(), batch_size=8, num_workers=2, persistent_workers=True
        )
"""

SIGNALLED = """
import os, signal
import own

class Signalled(own.Own):
    def on_train_start(self):
        os.kill(os.getpid(), signal.SIGRTMIN + 6)
"""


@pytest.fixture
def job(own: Path) -> Job:
    (own / "curious.py").write_text(CURIOUS)
    config = Target.resolve("own.Own").configure({"trainer.max_epochs": 1})
    given = StudyConfig(
        "curious.Curious", config=config, objectives=["val_loss:min"], test_metric="test_loss"
    )
    return given.job(None)


def run(executor: LocalExecutor, job: Job) -> Result:
    executor.submit(0, job)
    while not (ended := executor.wait(lambda *_: False)):
        pass
    return ended[0][1]


def test_preload(job):
    with LocalExecutor() as executor:
        metrics = run(executor, job).metrics
    assert metrics["loaded"] == 1, "the server must have loaded what tasks need"
    assert metrics["frozen"] > 0, (
        "the server's objects must be out of the children's garbage collection"
    )


def test_threads(job, monkeypatch):
    def threads(jobs: int, wanted: int = 0) -> float:
        with LocalExecutor(jobs) as executor:
            return run(executor, replace(job, threads=wanted)).metrics["threads"]

    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    cores = usable_cores()
    assert [threads(jobs) for jobs in (1, cores)] == [
        cores,
        1,
    ], "one server serves both, and hands no number on"
    assert threads(1, wanted=3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads(cores, wanted=3) == 2, "the user's own number goes first"


def test_leaves_the_callers_environment_alone():
    script = """
import os
before = dict(os.environ)
from actsearch.search.executors.local import LocalExecutor
with LocalExecutor(2):
    assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())
assert dict(os.environ) == before
server = __import__("multiprocessing.forkserver").forkserver._forkserver._forkserver_pid
if os.path.exists(f"/proc/{server}/environ"):
    while not (given := open(f"/proc/{server}/environ").read()):
        pass  # it is just being started
    wanted = ("GOMP_SPINCOUNT=10000", "MKL_NUM_THREADS=", "OMP_NUM_THREADS=7")
    assert all(name in given for name in wanted), given
"""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in (*THREADS, "GOMP_SPINCOUNT")
    }
    for given in ({}, {"OMP_NUM_THREADS": "7", "GOMP_SPINCOUNT": "10000"}):
        edited = script if given else script.replace("OMP_NUM_THREADS=7", "OMP_NUM_THREADS=")
        subprocess.run(
            [sys.executable, "-c", edited], env=environment | given, check=True, timeout=120
        )


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux alone")


@LINUX
@pytest.mark.long
@pytest.mark.parametrize("torch_is_loaded", [False, True])
def test_a_server_of_a_commands_own_imports(torch_is_loaded, tmp_path):
    (tmp_path / "where.py").write_text(
        """
import os, signal, sys, warnings

def where(server):
    assert os.getppid() == server
    assert "torch" in sys.modules
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert warnings.showwarning is not print
    assert "GOMP_SPINCOUNT" in os.environ
"""
    )
    script = f"""
import multiprocessing, os, signal, sys, warnings
from multiprocessing.forkserver import _forkserver
from actsearch.search.executors.server import fork_server
from where import where
{"import torch" * torch_is_loaded}
warnings.showwarning = print
signal.signal(signal.SIGTERM, print)
before = {{name: os.environ.get(name) for name in {(*THREADS, "GOMP_SPINCOUNT", "PYTHONWARNINGS")}}}
fork_server()
assert {{name: os.environ.get(name) for name in before}} == before
assert ("actsearch.search.executors.preload" in sys.modules) is {not torch_is_loaded}
fork_server()  # nothing: one runs
server = _forkserver._forkserver_pid
child = multiprocessing.get_context("forkserver").Process(target=where, args=(server,))
child.start()
child.join()
assert child.exitcode == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, cwd=tmp_path)


@pytest.mark.parametrize(
    "start", ["start_server", pytest.param("fork_server", marks=[LINUX, pytest.mark.long])]
)
def test_interrupt_in_the_first_moment_leaves_the_server_quiet(start):
    script = f"""
import signal, sys, time
from actsearch.search.executors.server import {start}
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
try:
    {start}()
    print("started", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "started\n"
    for _ in range(8):  # while the server imports
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        if process.poll() is None:
            process.wait(10)
    os.killpg(process.pid, signal.SIGKILL)
    errors = process.communicate()[1]
    assert process.returncode == 130
    assert errors == ""


@pytest.mark.long
def test_a_killed_server_is_replaced_and_what_it_had_forked_goes_on(job, own):
    own_job = replace(job, task="own.Own", config={**job.config, "task": {"pause": 0.2}})
    with LocalExecutor(2) as executor:
        executor.submit(0, own_job)
        ended = executor.wait(lambda *_: False)
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
        executor.submit(1, own_job)
        while len(ended) < 2:
            ended += executor.wait(lambda *_: False)
    assert [(key, result.state, result.reason) for key, result in sorted(ended)] == [
        (0, "complete", ""),
        (1, "complete", ""),
    ]


def test_a_signal_after_the_last_training_is_not_lost():
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as stop, LocalExecutor():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.args == (143,)
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="no real-time signals here")
def test_a_real_time_signal_has_no_name_and_ends_one_trial(job, own):
    (own / "signalled.py").write_text(SIGNALLED)
    with LocalExecutor() as executor:
        result = run(executor, replace(job, task="signalled.Signalled"))
    assert result.reason == f"killed: by signal {signal.SIGRTMIN + 6:d}"


def test_loaders_may_have_workers(job, own):
    (own / "workers.py").write_text(WORKERS)
    with LocalExecutor() as executor:
        result = run(executor, replace(job, task="workers.Workers"))
    assert result.state == "complete", result.reason
    assert result.metrics["workers"] == 2


@pytest.mark.long
def test_an_executor_that_nobody_closes_lets_the_interpreter_end(job, own):
    config = {**job.config, "task": {"pause": 600.0}}
    (own / "task.json").write_text(replace(job, task="own.Own", config=config).dumps())
    script = """
from pathlib import Path
from actsearch.search.executors.local import LocalExecutor
from actsearch.search.training.job import Job
executor = LocalExecutor()
executor.submit(0, Job.loads(Path("task.json").read_text()))
executor.wait(lambda *_: False)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_everything_preloaded_exists():
    # The server ignores an ImportError, and each trial would quietly pay for it.
    importlib.import_module("actsearch.search.executors.preload")
    gc.unfreeze()  # this process has others to look after
